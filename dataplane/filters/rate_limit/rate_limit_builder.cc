#include "dataplane/filters/rate_limit/rate_limit_builder.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "api/resource/duration.h"

namespace portico::filters {
namespace {

LimitRate MakeRate(const std::string& policy, const v1::Rate& spec) {
  const int64_t per = std::max<int64_t>(1, absl::ToInt64Nanoseconds(api::ToAbslDuration(spec.per())));
  const uint64_t burst = spec.burst() == 0 ? spec.requests() : spec.burst();
  LimitRate rate;
  rate.gcra = MakeGcraRate(spec.requests(), per, burst);
  rate.quota = spec.requests();
  rate.window_seconds = static_cast<uint64_t>((per + base::kNanosPerSecond - 1) / base::kNanosPerSecond);
  // The window is announced in whole seconds: 10 in 100 ms are 100 in 1 s.
  if (per < base::kNanosPerSecond) rate.quota = spec.requests() * static_cast<uint64_t>(base::kNanosPerSecond / per);
  rate.announced = absl::StrCat("\"", policy, "\";q=", rate.quota, ";w=", rate.window_seconds);
  return rate;
}

Limit::KeyPart MakePart(const v1::RateLimitKey& key) {
  switch (key.part_case()) {
    case v1::RateLimitKey::kConsumer:
      return {Limit::Part::kConsumer, ""};
    case v1::RateLimitKey::kRoute:
      return {Limit::Part::kRoute, ""};
    case v1::RateLimitKey::kHeader:
      return {Limit::Part::kHeader, absl::AsciiStrToLower(key.header())};
    case v1::RateLimitKey::kClaim:
      return {Limit::Part::kClaim, key.claim()};
    case v1::RateLimitKey::kClientCertificate:
      return {Limit::Part::kClientCertificate, ""};
    case v1::RateLimitKey::kClientAddress:
    case v1::RateLimitKey::PART_NOT_SET:
      break;
  }
  return {Limit::Part::kClientAddress, ""};
}

bool SameRate(const LimitRate& a, const LimitRate& b) {
  return std::tie(a.gcra.interval, a.gcra.tolerance, a.quota, a.window_seconds) ==
         std::tie(b.gcra.interval, b.gcra.tolerance, b.quota, b.window_seconds);
}

bool Same(const Limit& a, const Limit& b) {
  return SameRate(a.rate, b.rate) &&
         std::equal(a.key.begin(), a.key.end(), b.key.begin(), b.key.end(),
                    [](const auto& x, const auto& y) { return x.part == y.part && x.name == y.name; }) &&
         std::equal(a.plans.begin(), a.plans.end(), b.plans.begin(), b.plans.end(),
                    [](const auto& x, const auto& y) { return x.first == y.first && SameRate(x.second, y.second); });
}

template <typename Visit>
void ForEachOf(const api::ResourceSet& resources, const char* kind, Visit visit) {
  for (auto at = resources.lower_bound(api::ResourceKey{kind, ""});
       at != resources.end() && at->first.kind == kind; ++at) {
    visit(at->first.name, at->second->resource);
  }
}

std::map<std::string, std::shared_ptr<Limit>, std::less<>> MakeLimits(const api::ResourceSet& resources) {
  std::map<std::string, std::shared_ptr<Limit>, std::less<>> limits;
  ForEachOf(resources, "RateLimitPolicy", [&](const std::string& name, const v1::Resource& resource) {
    const v1::RateLimitPolicy& spec = resource.rate_limit_policy();
    auto limit = std::make_shared<Limit>();
    limit->name = name;
    limit->state_start = absl::StrCat("\"", name, "\";r=");
    limit->rate = MakeRate(name, spec.rate());
    for (const v1::RateLimitKey& key : spec.key()) limit->key.push_back(MakePart(key));
    limits[name] = std::move(limit);
  });
  // Plans come in the order of their names, which is how they are looked up.
  ForEachOf(resources, "Plan", [&](const std::string& name, const v1::Resource& resource) {
    for (const v1::PlanRate& rate : resource.plan().rate_limits()) {
      const auto limit = limits.find(rate.policy());
      if (limit != limits.end())
        limit->second->plans.emplace_back(name, MakeRate(rate.policy(), rate.rate()));
    }
  });
  const auto whole = [](const LimitRate& rate) { return rate.gcra.tolerance + rate.gcra.interval; };
  for (auto& [name, limit] : limits) {
    limit->ceiling = whole(limit->rate);
    for (const auto& [plan, rate] : limit->plans) limit->ceiling = std::max(limit->ceiling, whole(rate));
  }
  return limits;
}

}  // namespace

absl::Status RateLimitBuilder::BeginSnapshot(const api::ResourceSet& resources) {
  changed_.clear();
  std::map<std::string, std::shared_ptr<const Limit>, std::less<>> limits;
  for (auto& [name, limit] : MakeLimits(resources)) {
    if (limit->key.size() > Limit::kMaxParts) {
      return absl::InvalidArgumentError(
          absl::StrCat("RateLimitPolicy/", name, " spec.key: has ", limit->key.size(), " parts; use at most ",
                       Limit::kMaxParts));
    }
    const auto before = limits_.find(name);
    if (before != limits_.end() && Same(*before->second, *limit)) {
      limits[name] = before->second;
    } else {
      changed_.insert(name);
      limits[name] = limit;
    }
  }
  limits_ = std::move(limits);
  if (!changed_.empty()) policies_.clear();
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const snapshot::Policy>> RateLimitBuilder::Build(const api::StoredResource& route) {
  const auto& names = route.resource.route().rate_limits();
  if (names.empty()) return std::shared_ptr<const snapshot::Policy>();
  if (names.size() > static_cast<int>(RateLimitPolicy::kMaxLimits)) {
    return absl::InvalidArgumentError(absl::StrCat("spec.rate_limits: names ", names.size(),
                                                   " policies; use at most ", RateLimitPolicy::kMaxLimits));
  }
  std::vector<std::string> unique;
  std::vector<std::shared_ptr<const Limit>> limits;
  for (const std::string& name : names) {
    if (std::find(unique.begin(), unique.end(), name) != unique.end()) continue;
    const auto limit = limits_.find(name);
    if (limit == limits_.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("spec.rate_limits: \"", name, "\" is no RateLimitPolicy of this revision; add it"));
    }
    unique.push_back(name);
    limits.push_back(limit->second);
  }
  std::shared_ptr<const snapshot::Policy>& policy = policies_[std::move(unique)];
  if (policy == nullptr) policy = std::make_shared<const RateLimitPolicy>(std::move(limits), table_);
  return policy;
}

bool RateLimitBuilder::Affected(const api::StoredResource& route) const {
  if (changed_.empty()) return false;
  const auto& names = route.resource.route().rate_limits();
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) { return changed_.count(name) != 0; });
}

}  // namespace portico::filters
