#include "dataplane/filters/jwt/jwt_policy.h"

#include <utility>

#include "dataplane/filters/jwt/claims.h"
#include "dataplane/filters/text.h"

namespace portico::filters {
namespace {

constexpr std::string_view kScheme = "bearer";

// RFC 6750 section 2.1. nullopt: another scheme.
std::optional<std::string_view> BearerToken(std::string_view value) {
  if (value.size() < kScheme.size() || !http::EqualsIgnoreCase(value.substr(0, kScheme.size()), kScheme)) {
    return std::nullopt;
  }
  std::string_view token = value.substr(kScheme.size());
  if (!token.empty() && token.front() != ' ') return std::nullopt;
  while (!token.empty() && token.front() == ' ') token.remove_prefix(1);
  while (!token.empty() && token.back() == ' ') token.remove_suffix(1);
  return token;
}

// The messages hold no quotes but escaped ones.
snapshot::LocalReply WithChallenge(snapshot::PolicyContext& context, const snapshot::LocalReply& reply) {
  if (reply.status != 401) return reply;
  base::Arena& arena = context.arena;
  char* const description = arena.NewArray<char>(reply.message.size());
  for (size_t i = 0; i < reply.message.size(); ++i) {
    // RFC 6750 section 3 allows neither quotes nor backslashes here.
    const char c = reply.message[i];
    description[i] = c == '"' || c == '\\' ? '\'' : c;
  }
  context.response_headers.Set(
      http::HeaderId::kWwwAuthenticate,
      arena.Concat({"Bearer realm=\"portico\", error=\"invalid_token\", error_description=\"",
                    std::string_view(description, reply.message.size()), "\""}));
  return reply;
}

}  // namespace

JwtPolicy::JwtPolicy(std::vector<std::shared_ptr<const Provider>> providers,
                     std::shared_ptr<const ConsumerPlans> plans)
    : providers_(std::move(providers)), plans_(std::move(plans)) {
  for (const std::shared_ptr<const Provider>& provider : providers_) {
    for (const Provider::ClaimToHeader& entry : provider->claims_to_headers)
      claim_fields_.Add(entry.header.text);
  }
}

void JwtPolicy::Accept(snapshot::PolicyContext& context, const Provider& provider,
                       const VerifiedToken& verified) const {
  const snapshot::ClaimSource* claims = CopyClaims(verified.claims, context.arena);
  context.identity.source = snapshot::Identity::Source::kJwt;
  context.identity.claims = claims;
  if (const auto consumer = claims->Find(provider.consumer_claim); consumer.has_value()) {
    context.identity.consumer = *consumer;
    const auto plan = plans_->find(*consumer);
    if (plan != plans_->end()) context.identity.plan = plan->second;
  }
  http::HeaderList& headers = context.request.headers;
  for (const Provider::ClaimToHeader& entry : provider.claims_to_headers) {
    const std::optional<std::string_view> value = claims->Find(entry.claim);
    if (!value.has_value() || !FitsHeader(*value)) continue;
    if (entry.repeated) {
      headers.Set(entry.header.text, *value);
    } else {
      // OnRequest() has removed what the client sent.
      headers.Add({.name = entry.header.text, .value = *value, .id = entry.header.id});
    }
  }
  if (!provider.forward) context.request.headers.Remove(http::HeaderId::kAuthorization);
}

std::optional<snapshot::LocalReply> JwtPolicy::CheckToken(snapshot::PolicyContext& context,
                                                          std::string_view text) const {
  TokenCache* cache = nullptr;
  if (context.worker_states != nullptr) {
    cache = static_cast<TokenCache*>(
        (*context.worker_states)[static_cast<size_t>(snapshot::PolicyKind::kJwt)].get());
  }
  if (cache != nullptr && text.size() <= kMaxTokenBytes) {
    for (const std::shared_ptr<const Provider>& provider : providers_) {
      const VerifiedToken* hit = cache->Find(provider->fingerprint, text);
      if (hit == nullptr) continue;
      if (auto late = CheckTime(*hit, *provider, context.unix_now, context.arena)) {
        cache->Erase(provider->fingerprint, text);
        return late;
      }
      if (context.metrics != nullptr) context.metrics->jwt_cache_hits_total.Add();
      Accept(context, *provider, *hit);
      return std::nullopt;
    }
  }
  if (context.metrics != nullptr) context.metrics->jwt_cache_misses_total.Add();
  std::string_view error;
  const std::optional<Token> token = ParseToken(text, error);
  if (!token.has_value()) return snapshot::LocalReply{401, "jwt_malformed", error};
  const Provider* provider = ChooseProvider(providers_, *token);
  if (provider == nullptr) {
    return snapshot::LocalReply{401, "jwt_issuer", "the token's issuer is not accepted here"};
  }
  std::variant<VerifiedToken, snapshot::LocalReply> result = VerifyToken(*provider, *token);
  if (const auto* refusal = std::get_if<snapshot::LocalReply>(&result)) return *refusal;
  VerifiedToken& verified = std::get<VerifiedToken>(result);
  if (auto late = CheckTime(verified, *provider, context.unix_now, context.arena)) return late;
  Accept(context, *provider, verified);
  if (cache != nullptr) cache->Insert(provider->fingerprint, text, std::move(verified));
  return std::nullopt;
}

std::optional<snapshot::LocalReply> JwtPolicy::OnRequest(snapshot::PolicyContext& context) const {
  claim_fields_.RemoveFrom(context.request.headers);
  const http::HeaderField* field = context.request.headers.Find(http::HeaderId::kAuthorization);
  if (field == nullptr) return std::nullopt;
  const std::optional<std::string_view> token = BearerToken(field->value);
  const bool several = context.request.headers.Count(http::HeaderId::kAuthorization) > 1;
  if (!token.has_value() && !several) return std::nullopt;
  context.credentials_seen = true;
  std::optional<snapshot::LocalReply> reply;
  if (several) {
    reply = snapshot::LocalReply{401, "jwt_malformed", "the field Authorization was sent more than once"};
  } else if (token->empty()) {
    reply = snapshot::LocalReply{401, "jwt_malformed", "the field Authorization has no token after Bearer"};
  } else {
    reply = CheckToken(context, *token);
  }
  if (!reply.has_value()) return std::nullopt;
  return WithChallenge(context, *reply);
}

}  // namespace portico::filters
