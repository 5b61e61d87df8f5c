#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "api/resource/http_syntax.h"
#include "api/resource/jwks.h"
#include "api/resource/strings.h"
#include "api/validation/checks.h"

namespace portico::api {
namespace {

struct Algorithm {
  std::string_view name;
  std::string_view kty;
};
constexpr std::array<Algorithm, 3> kAlgorithms = {
    {{"RS256", "RSA"}, {"ES256", "EC"}, {"HS256", "oct"}}};

bool HasKey(const std::vector<JsonWebKey>& keys, std::string_view kty) {
  return std::any_of(keys.begin(), keys.end(),
                     [&](const JsonWebKey& key) { return key.kty == kty; });
}

void CheckKeys(const v1::JwtProvider& provider, Report& report) {
  if (!report.Required("spec.jwks", provider.jwks(),
                       "put the issuer's key set here: {\"keys\": [...]}"))
    return;
  const JwksInspection set = InspectJwks(provider.jwks());
  for (const JwksProblem& problem : set.problems) {
    report.Add(absl::StrCat("spec.jwks", problem.member.empty() ? "" : ".", problem.member),
               problem.value, problem.reason, problem.fix);
  }
  Duplicates duplicates;
  bool hmac = false;
  for (int i = 0; i < provider.algorithms_size(); ++i) {
    const std::string field = At("spec.algorithms", i);
    const std::string& name = provider.algorithms(i);
    const auto known =
        std::find_if(kAlgorithms.begin(), kAlgorithms.end(),
                     [&](const Algorithm& algorithm) { return algorithm.name == name; });
    if (known == kAlgorithms.end()) {
      report.Add(field, name, "is not a supported algorithm", "use RS256, ES256 or HS256");
      continue;
    }
    duplicates.Check(report, field, name);
    hmac = hmac || known->kty == "oct";
    if (set.problems.empty() && !HasKey(set.keys, known->kty)) {
      report.Add(field, name,
                 absl::StrCat("has no ", Absl(known->kty), " key in jwks that could serve it"),
                 absl::StrCat("add such a key, or remove ", name));
    }
  }
  if (!hmac && HasKey(set.keys, "oct")) {
    report.Add("spec.algorithms", "",
               "does not name HS256, but jwks holds an oct key, which serves nothing else",
               "add HS256 to algorithms if tokens are to be accepted with this shared secret, or "
               "remove the key");
  }
}

void CheckClaims(const v1::JwtProvider& provider, Report& report) {
  constexpr std::array<std::string_view, 6> kOwn = {"authorization",   "x-request-id",
                                                    "x-forwarded-for", "x-forwarded-proto",
                                                    "traceparent",     "tracestate"};
  report.AtMost("spec.claims_to_headers", provider.claims_to_headers_size(), 64, "claims");
  Duplicates duplicates;
  for (int i = 0; i < provider.claims_to_headers_size(); ++i) {
    const std::string at = At("spec.claims_to_headers", i);
    const v1::ClaimToHeader& claim = provider.claims_to_headers(i);
    report.Required(at + ".claim", claim.claim(), "name a claim, as sub");
    const std::string field = at + ".header";
    if (!report.FieldName(field, claim.header())) continue;
    const std::string lower = absl::AsciiStrToLower(claim.header());
    if (lower != claim.header()) {
      report.Add(field, claim.header(), "is not in lower case", absl::StrCat("write ", lower));
    } else if (std::find(kOwn.begin(), kOwn.end(), lower) != kOwn.end()) {
      report.Add(field, claim.header(), "is a field that Portico itself sets or reads",
                 "use another name, as x-user-id");
    } else {
      duplicates.Check(report, field, lower);
    }
  }
}

bool IsSha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

void CheckKey(const v1::ApiKey& key, const std::string& at, Report& report) {
  constexpr char kFix[] = "write what `printf %s KEY | sha256sum` prints";
  if (report.Required(at + ".sha256", key.sha256(), kFix) && !IsSha256(key.sha256())) {
    // It may be the key itself, in the wrong place.
    report.Add(at + ".sha256", "(redacted)", "is not a SHA-256 of 64 lower-case hexadecimal digits",
               kFix);
  }
  report.AtMost(at + ".label", key.label().size(), 256, "bytes");
  const google::protobuf::Timestamp& time = key.expires_at();
  // google/protobuf/timestamp.proto: years 1 to 9999.
  if (time.nanos() < 0 || time.nanos() > 999999999 || time.seconds() < -62135596800 ||
      time.seconds() >= 253402300800) {
    report.Add(at + ".expires_at", absl::StrCat(time.seconds(), "s ", time.nanos(), "ns"),
               "is no valid time", "write it like \"2030-12-31T23:59:59Z\"");
  }
}

}  // namespace

void CheckJwtProvider(const v1::JwtProvider& provider, Report& report) {
  if (report.Required("spec.issuer", provider.issuer(), "write the exact iss of the tokens")) {
    report.AtMost("spec.issuer", provider.issuer().size(), 1024, "bytes");
  }
  if (provider.audiences().empty()) {
    report.Add("spec.audiences", "", "is required and not set",
               "write the aud that tokens for this gateway carry");
  }
  report.AtMost("spec.audiences", provider.audiences_size(), 64, "audiences");
  Duplicates duplicates;
  for (int i = 0; i < provider.audiences_size(); ++i) {
    const std::string field = At("spec.audiences", i);
    if (report.Required(field, provider.audiences(i), "remove the empty one")) {
      duplicates.Check(report, field, provider.audiences(i));
    }
  }
  CheckKeys(provider, report);
  if (provider.has_clock_skew()) {
    report.Range("spec.clock_skew", provider.clock_skew(), absl::ZeroDuration(),
                 absl::Seconds(600));
  }
  CheckClaims(provider, report);
}

void CheckConsumer(const v1::Consumer& consumer, Report& report) {
  report.AtMost("spec.api_keys", consumer.api_keys_size(), 1000, "keys");
  for (int i = 0; i < consumer.api_keys_size(); ++i)
    CheckKey(consumer.api_keys(i), At("spec.api_keys", i), report);
}

}  // namespace portico::api
