#include "dataplane/filters/jwt/provider.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "api/resource/duration.h"
#include "dataplane/filters/jwt/claims.h"
#include "dataplane/filters/text.h"

namespace portico::filters {
namespace {

// Length and text, so that neighbours cannot run into each other.
void AppendPart(std::string& out, std::string_view part) {
  out += std::to_string(part.size());
  out += ':';
  out += part;
}

api::Digest FingerprintOf(const v1::JwtProvider& spec, const std::vector<JwtAlgorithm>& algorithms) {
  std::string text;
  AppendPart(text, spec.issuer());
  AppendPart(text, spec.jwks());
  for (const std::string& audience : spec.audiences()) AppendPart(text, audience);
  text += '|';
  for (const JwtAlgorithm algorithm : algorithms) text += static_cast<char>('0' + static_cast<int>(algorithm));
  return api::Sha256(text);
}

absl::StatusOr<std::vector<JwtAlgorithm>> AlgorithmsOf(const v1::JwtProvider& spec, const KeySet& keys) {
  std::vector<JwtAlgorithm> algorithms;
  for (const std::string& name : spec.algorithms()) {
    const std::optional<JwtAlgorithm> algorithm = ParseJwtAlgorithm(name);
    if (!algorithm.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("spec.algorithms: \"", name, "\" is not supported; use RS256, ES256 or HS256"));
    }
    algorithms.push_back(*algorithm);
  }
  if (!algorithms.empty()) return algorithms;
  for (const JwtAlgorithm algorithm : {JwtAlgorithm::kRs256, JwtAlgorithm::kEs256}) {
    if (keys.ServesPublic(algorithm)) algorithms.push_back(algorithm);
  }
  return algorithms;
}

snapshot::LocalReply Refuse(std::string_view reason, std::string_view message) { return {401, reason, message}; }

int64_t SecondsOf(base::UnixNanos now) {
  return now / base::kNanosPerSecond - (now % base::kNanosPerSecond < 0 ? 1 : 0);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Provider>> MakeProvider(const api::StoredResource& stored,
                                                             const Provider* previous) {
  const v1::JwtProvider& spec = stored.resource.jwt_provider();
  auto provider = std::make_shared<Provider>();
  provider->name = stored.resource.name();
  provider->issuer = spec.issuer();
  provider->audiences.assign(spec.audiences().begin(), spec.audiences().end());
  // Whole seconds, as the dates in tokens are.
  provider->skew_seconds = absl::ToInt64Seconds(
      absl::Ceil(api::DurationOr(spec.has_clock_skew(), spec.clock_skew(), absl::Seconds(60)), absl::Seconds(1)));
  provider->forward = spec.forward();
  for (const v1::ClaimToHeader& entry : spec.claims_to_headers()) {
    FieldName header(absl::AsciiStrToLower(entry.header()));
    const bool repeated =
        std::any_of(provider->claims_to_headers.begin(), provider->claims_to_headers.end(),
                    [&](const auto& before) { return before.header.text == header.text; });
    provider->claims_to_headers.push_back({entry.claim(), std::move(header), repeated});
  }
  provider->consumer_claim = spec.consumer_claim().empty() ? "sub" : spec.consumer_claim();
  absl::StatusOr<std::shared_ptr<const KeySet>> keys = KeySet::Parse(spec.jwks());
  if (!keys.ok()) return absl::InvalidArgumentError(absl::StrCat("spec.jwks: ", keys.status().message()));
  provider->keys = *std::move(keys);
  absl::StatusOr<std::vector<JwtAlgorithm>> algorithms = AlgorithmsOf(spec, *provider->keys);
  if (!algorithms.ok()) return algorithms.status();
  provider->algorithms = *std::move(algorithms);
  provider->fingerprint = FingerprintOf(spec, provider->algorithms);
  if (previous != nullptr && previous->fingerprint == provider->fingerprint) provider->keys = previous->keys;
  return std::shared_ptr<const Provider>(std::move(provider));
}

std::optional<snapshot::LocalReply> CheckTime(const VerifiedToken& token, const Provider& provider,
                                              base::UnixNanos now, base::Arena& arena) {
  const int64_t seconds = SecondsOf(now);
  if (seconds >= token.expires + provider.skew_seconds) {
    return Refuse("jwt_expired",
                  arena.Concat({"the token expired ", Decimal(arena, seconds - token.expires), " s ago"}));
  }
  if (token.not_before > seconds + provider.skew_seconds) {
    return Refuse("jwt_not_yet_valid", arena.Concat({"the token is valid in ",
                                                     Decimal(arena, token.not_before - seconds), " s, not before"}));
  }
  return std::nullopt;
}

const Provider* ChooseProvider(const std::vector<std::shared_ptr<const Provider>>& providers, const Token& token) {
  if (providers.size() == 1) return providers[0].get();
  for (const std::shared_ptr<const Provider>& provider : providers) {
    if (token.issuer.has_value() && *token.issuer == provider->issuer) return provider.get();
  }
  return nullptr;
}

std::variant<VerifiedToken, snapshot::LocalReply> VerifyToken(const Provider& provider, const Token& token) {
  const std::vector<JwtAlgorithm>& algorithms = provider.algorithms;
  if (!token.algorithm.has_value() ||
      std::find(algorithms.begin(), algorithms.end(), *token.algorithm) == algorithms.end()) {
    return Refuse("jwt_algorithm", "the token's algorithm is not accepted here");
  }
  switch (provider.keys->Verify(*token.algorithm, token.kid, token.signed_text, token.signature)) {
    case KeySet::Outcome::kGood:
      break;
    case KeySet::Outcome::kUnknownKid:
      return Refuse("jwt_unknown_kid", "the token names a key that the issuer's key set does not have");
    case KeySet::Outcome::kWrongAlgorithm:
      return Refuse("jwt_algorithm", "the token's algorithm does not fit its key");
    case KeySet::Outcome::kBadSignature:
      return Refuse("jwt_bad_signature", "the token's signature does not verify");
  }
  if (!token.issuer.has_value() || *token.issuer != provider.issuer) {
    return Refuse("jwt_issuer", "the token's issuer is not accepted here");
  }
  const bool wanted = std::any_of(token.audiences.begin(), token.audiences.end(), [&](const std::string& audience) {
    return std::find(provider.audiences.begin(), provider.audiences.end(), audience) != provider.audiences.end();
  });
  if (!wanted) return snapshot::LocalReply{403, "jwt_audience", "the token is meant for another audience"};
  if (!token.expires.has_value()) return Refuse("jwt_missing_exp", "the token has no expiry (\"exp\")");
  VerifiedToken verified;
  verified.claims = PackClaims(token.claims.values);
  verified.expires = *token.expires;
  verified.not_before = std::max(token.not_before.value_or(INT64_MIN), token.issued.value_or(INT64_MIN));
  return verified;
}

}  // namespace portico::filters
