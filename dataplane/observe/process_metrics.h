// The standard process_* metrics.
#ifndef DATAPLANE_OBSERVE_PROCESS_METRICS_H_
#define DATAPLANE_OBSERVE_PROCESS_METRICS_H_

#include <vector>

#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace portico::observe {

// CPU time, memory, descriptors, threads and start time of this process, from
// /proc. What cannot be read is left out. Thread-safe.
class ProcessCollector : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override;
};

}  // namespace portico::observe

#endif  // DATAPLANE_OBSERVE_PROCESS_METRICS_H_
