#include "dataplane/filters/api_key/api_key_policy.h"

#include "dataplane/filters/text.h"

namespace portico::filters {
namespace {

snapshot::LocalReply Refuse(snapshot::PolicyContext& context, const std::string& header, std::string_view reason,
                            std::string_view message) {
  context.response_headers.Set(
      http::HeaderId::kWwwAuthenticate,
      context.arena.Concat({"ApiKey realm=\"portico\", header=\"", header, "\""}));
  return {401, reason, message};
}

}  // namespace

std::optional<snapshot::LocalReply> ApiKeyPolicy::Check(snapshot::PolicyContext& context,
                                                        const std::string& header) const {
  const http::HeaderField* field = context.request.headers.Find(header);
  if (field == nullptr) return std::nullopt;
  const std::string_view key = field->value;
  // The texts stay where they are; only the fields go.
  const size_t fields = context.request.headers.Remove(header);
  context.credentials_seen = true;
  if (fields > 1) {
    return Refuse(context, header, "api_key_malformed",
                  context.arena.Concat({"the field ", header, " was sent more than once"}));
  }
  if (key.empty() || key.size() > kMaxKeyBytes) {
    return Refuse(context, header, "api_key_malformed",
                  context.arena.Concat({"the API key in ", header, key.empty() ? " is empty" : " is too long"}));
  }
  const auto owner = owners_->find(api::Sha256(key));
  if (owner == owners_->end()) {
    return Refuse(context, header, "api_key_unknown",
                  context.arena.Concat({"the API key in ", header, " belongs to no consumer"}));
  }
  if (context.unix_now >= owner->second.expires_at) {
    const int64_t age = (context.unix_now - owner->second.expires_at) / base::kNanosPerSecond;
    return Refuse(context, header, "api_key_expired",
                  context.arena.Concat({"the API key expired ", Decimal(context.arena, age), " s ago"}));
  }
  if (context.identity.source == snapshot::Identity::Source::kNone) {
    context.identity.source = snapshot::Identity::Source::kApiKey;
    context.identity.consumer = owner->second.consumer;
    context.identity.plan = owner->second.plan;
  }
  return std::nullopt;
}

std::optional<snapshot::LocalReply> ApiKeyPolicy::OnRequest(snapshot::PolicyContext& context) const {
  for (const std::string& header : headers_) {
    if (std::optional<snapshot::LocalReply> reply = Check(context, header)) return reply;
  }
  return std::nullopt;
}

}  // namespace portico::filters
