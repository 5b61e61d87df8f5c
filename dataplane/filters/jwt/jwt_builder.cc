#include "dataplane/filters/jwt/jwt_builder.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "dataplane/filters/jwt/jwt_policy.h"
#include "dataplane/filters/jwt/token_cache.h"

namespace portico::filters {
namespace {

std::vector<std::string> ProvidersOf(const api::StoredResource& route) {
  std::vector<std::string> names;
  for (const v1::AuthenticationMethod& method : route.resource.route().authentication().any_of()) {
    if (!method.has_jwt()) continue;
    const std::string& name = method.jwt().provider();
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

}  // namespace

absl::Status JwtBuilder::BeginSnapshot(const api::ResourceSet& resources) {
  std::map<std::string, Known, std::less<>> providers;
  changed_.clear();
  for (auto at = resources.lower_bound(api::ResourceKey{"JwtProvider", ""});
       at != resources.end() && at->first.kind == "JwtProvider"; ++at) {
    const std::string& name = at->first.name;
    const auto known = providers_.find(name);
    if (known != providers_.end() && known->second.hash == at->second->hash) {
      providers.insert(*known);
      continue;
    }
    absl::StatusOr<std::shared_ptr<const Provider>> provider =
        MakeProvider(*at->second, known == providers_.end() ? nullptr : known->second.provider.get());
    if (!provider.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("JwtProvider/", name, " ", provider.status().message()));
    }
    providers.emplace(name, Known{at->second->hash, *std::move(provider)});
    changed_.insert(name);
  }
  providers_ = std::move(providers);
  std::shared_ptr<const ConsumerPlans> plans = MakeConsumerPlans(resources);
  plans_changed_ = plans_ == nullptr || *plans_ != *plans;
  if (plans_changed_) plans_ = std::move(plans);
  if (plans_changed_ || !changed_.empty()) policies_.clear();
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const snapshot::Policy>> JwtBuilder::Build(const api::StoredResource& route) {
  std::vector<std::string> names = ProvidersOf(route);
  if (names.empty()) return std::shared_ptr<const snapshot::Policy>();
  if (const auto found = policies_.find(names); found != policies_.end()) return found->second;
  std::vector<std::shared_ptr<const Provider>> providers;
  for (const std::string& name : names) {
    const auto known = providers_.find(name);
    if (known == providers_.end()) {
      return absl::InvalidArgumentError(absl::StrCat("spec.authentication.any_of: \"", name,
                                                     "\" is no JwtProvider of this revision; add it"));
    }
    providers.push_back(known->second.provider);
  }
  auto policy = std::make_shared<const JwtPolicy>(std::move(providers), plans_);
  policies_[std::move(names)] = policy;
  return std::shared_ptr<const snapshot::Policy>(std::move(policy));
}

bool JwtBuilder::Affected(const api::StoredResource& route) const {
  if (!plans_changed_ && changed_.empty()) return false;
  const std::vector<std::string> names = ProvidersOf(route);
  return !names.empty() && (plans_changed_ || std::any_of(names.begin(), names.end(), [&](const std::string& name) {
           return changed_.count(name) != 0;
         }));
}

std::unique_ptr<snapshot::PolicyWorkerState> JwtBuilder::MakeWorkerState() {
  return std::make_unique<TokenCache>(cache_bytes_);
}

}  // namespace portico::filters
