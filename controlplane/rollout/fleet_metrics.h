// The fleet's series, counted when they are read.
#ifndef CONTROLPLANE_ROLLOUT_FLEET_METRICS_H_
#define CONTROLPLANE_ROLLOUT_FLEET_METRICS_H_

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <vector>

#include "controlplane/rollout/fleet.h"

namespace portico::control {

// portico_control_connected_proxies, portico_control_proxies{state} and
// portico_control_proxies_at_revision{revision}: the ten highest revisions, and "older".
class FleetMetrics final : public prometheus::Collectable {
 public:
  // `fleet` must outlive this.
  explicit FleetMetrics(const Fleet& fleet) : fleet_(fleet) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const Fleet& fleet_;
};

}  // namespace portico::control

#endif  // CONTROLPLANE_ROLLOUT_FLEET_METRICS_H_
