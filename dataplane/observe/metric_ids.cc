#include "dataplane/observe/metric_ids.h"

#include <algorithm>

#include "absl/strings/string_view.h"

namespace portico::observe {

MetricIds::MetricIds(uint32_t max_routes, uint32_t max_upstreams)
    : max_routes_(std::min(max_routes, kMaxRoutes)),
      max_upstreams_(std::min(max_upstreams, kMaxUpstreams)) {
  routes_.names.emplace_back("_overflow");
  upstreams_.names.emplace_back("_overflow");
}

uint32_t MetricIds::Get(Table& table, std::string_view name, uint32_t max) {
  if (auto found = table.index.find(absl::string_view(name.data(), name.size()));
      found != table.index.end())
    return found->second;
  if (table.names.size() > max) return 0;
  const uint32_t index = static_cast<uint32_t>(table.names.size());
  table.names.emplace_back(name);
  table.index.emplace(std::string(name), index);
  return index;
}

RouteId MetricIds::Route(std::string_view name) {
  std::lock_guard lock(mutex_);
  return RouteId{Get(routes_, name, max_routes_)};
}

UpstreamId MetricIds::Upstream(std::string_view name) {
  std::lock_guard lock(mutex_);
  return UpstreamId{Get(upstreams_, name, max_upstreams_)};
}

std::vector<std::string> MetricIds::RouteNames() const {
  std::lock_guard lock(mutex_);
  return routes_.names;
}

std::vector<std::string> MetricIds::UpstreamNames() const {
  std::lock_guard lock(mutex_);
  return upstreams_.names;
}

}  // namespace portico::observe
