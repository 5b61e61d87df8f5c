#include "dataplane/filters/require_identity/require_identity.h"

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace portico::filters {

std::optional<snapshot::LocalReply> RequireIdentityPolicy::OnRequest(snapshot::PolicyContext& context) const {
  if (context.identity.source != snapshot::Identity::Source::kNone) return std::nullopt;
  context.response_headers.Set(http::HeaderId::kWwwAuthenticate, challenge_);
  return snapshot::LocalReply{401, "credentials_missing", message_};
}

absl::StatusOr<std::shared_ptr<const snapshot::Policy>> RequireIdentityBuilder::Build(
    const api::StoredResource& route) {
  const v1::Authentication& authentication = route.resource.route().authentication();
  if (authentication.any_of().empty() || authentication.optional()) {
    return std::shared_ptr<const snapshot::Policy>();
  }
  std::vector<std::string> challenges, ways;
  bool bearer = false;
  for (const v1::AuthenticationMethod& method : authentication.any_of()) {
    if (method.has_jwt()) {
      if (bearer) continue;
      bearer = true;
      challenges.push_back("Bearer realm=\"portico\"");
      ways.push_back("a bearer token in Authorization");
    } else if (method.has_api_key()) {
      std::string header = absl::AsciiStrToLower(method.api_key().header());
      if (header.empty()) header = "x-api-key";
      challenges.push_back(absl::StrCat("ApiKey realm=\"portico\", header=\"", header, "\""));
      ways.push_back(absl::StrCat("an API key in ", header));
    }
  }
  std::string challenge = absl::StrJoin(challenges, ", ");
  std::weak_ptr<const snapshot::Policy>& kept = policies_[challenge];
  std::shared_ptr<const snapshot::Policy> policy = kept.lock();
  if (policy == nullptr) {
    policy = std::make_shared<const RequireIdentityPolicy>(
        std::move(challenge), absl::StrCat("credentials are required: send ", absl::StrJoin(ways, " or ")));
    kept = policy;
  }
  return policy;
}

}  // namespace portico::filters
