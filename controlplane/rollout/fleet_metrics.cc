#include "controlplane/rollout/fleet_metrics.h"

#include <string>
#include <utility>

namespace portico::control {
namespace {

constexpr size_t kMaxRevisions = 10;

constexpr std::pair<ProxyState, const char*> kStates[] = {
    {ProxyState::kCurrent, "current"},           {ProxyState::kBehind, "behind"},
    {ProxyState::kRejected, "rejected"},         {ProxyState::kAhead, "ahead"},
    {ProxyState::kDisconnected, "disconnected"},
};

prometheus::MetricFamily Gauges(const char* name, const char* help) {
  prometheus::MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = prometheus::MetricType::Gauge;
  return family;
}

void Add(prometheus::MetricFamily& family, std::vector<prometheus::ClientMetric::Label> labels,
         size_t value) {
  prometheus::ClientMetric metric;
  metric.label = std::move(labels);
  metric.gauge.value = static_cast<double>(value);
  family.metric.push_back(std::move(metric));
}

}  // namespace

std::vector<prometheus::MetricFamily> FleetMetrics::Collect() const {
  const Fleet::Counts counts = fleet_.Count();
  prometheus::MetricFamily connected =
      Gauges("portico_control_connected_proxies", "Proxies with a discovery stream.");
  Add(connected, {}, counts.connected);

  prometheus::MetricFamily states =
      Gauges("portico_control_proxies", "Proxies connected or seen in the last hour, by state.");
  for (const auto& [state, name] : kStates) {
    const auto found = counts.by_state.find(state);
    Add(states, {{"state", name}}, found == counts.by_state.end() ? 0 : found->second);
  }

  prometheus::MetricFamily revisions = Gauges(
      "portico_control_proxies_at_revision",
      "Connected proxies by the revision they have applied; the ten highest, and older ones.");
  size_t shown = 0;
  size_t older = 0;
  for (auto it = counts.by_revision.rbegin(); it != counts.by_revision.rend(); ++it) {
    if (shown++ < kMaxRevisions) {
      Add(revisions, {{"revision", std::to_string(it->first)}}, it->second);
    } else {
      older += it->second;
    }
  }
  Add(revisions, {{"revision", "older"}}, older);
  return {std::move(connected), std::move(states), std::move(revisions)};
}

}  // namespace portico::control
