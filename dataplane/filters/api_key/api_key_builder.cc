#include "dataplane/filters/api_key/api_key_builder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "dataplane/filters/api_key/api_key_policy.h"

namespace portico::filters {
namespace {

std::vector<std::string> HeadersOf(const api::StoredResource& route) {
  std::vector<std::string> headers;
  for (const v1::AuthenticationMethod& method : route.resource.route().authentication().any_of()) {
    if (!method.has_api_key()) continue;
    std::string header = absl::AsciiStrToLower(method.api_key().header());
    if (header.empty()) header = "x-api-key";
    if (std::find(headers.begin(), headers.end(), header) == headers.end()) headers.push_back(std::move(header));
  }
  return headers;
}

}  // namespace

absl::Status ApiKeyBuilder::BeginSnapshot(const api::ResourceSet& resources) {
  std::shared_ptr<const KeyOwners> owners = MakeKeyOwners(resources);
  changed_ = owners_ == nullptr || *owners_ != *owners;
  if (changed_) {
    owners_ = std::move(owners);
    policies_.clear();
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const snapshot::Policy>> ApiKeyBuilder::Build(const api::StoredResource& route) {
  std::vector<std::string> headers = HeadersOf(route);
  if (headers.empty()) return std::shared_ptr<const snapshot::Policy>();
  std::shared_ptr<const snapshot::Policy>& policy = policies_[headers];
  if (policy == nullptr) policy = std::make_shared<const ApiKeyPolicy>(std::move(headers), owners_);
  return policy;
}

bool ApiKeyBuilder::Affected(const api::StoredResource& route) const {
  return changed_ && !HeadersOf(route).empty();
}

}  // namespace portico::filters
