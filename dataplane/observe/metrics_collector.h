// All workers' counters as Prometheus metrics.
#ifndef DATAPLANE_OBSERVE_METRICS_COLLECTOR_H_
#define DATAPLANE_OBSERVE_METRICS_COLLECTOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/base/clock.h"
#include "dataplane/observe/metric_ids.h"
#include "dataplane/observe/proxy_status.h"
#include "dataplane/observe/worker_metrics.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace portico::observe {

// What the workers hold at one moment, all together: it goes back to where it was
// when the traffic ends, or something leaks.
struct WorkerObjects {
  uint64_t downstream_buffers = 0, upstream_buffers = 0;  // Handed out and not returned
  uint64_t buffer_bytes = 0;                              // Their capacity
  uint64_t idle_buffer_bytes = 0;                         // Free, kept for reuse
  uint64_t lent_buffer_bytes = 0;                         // With the kernel, for bytes to come
  uint64_t frames = 0;                                    // Coroutine frames
  uint64_t timers = 0;                                    // Armed

  void Add(const WorkerObjects& other);
};

// Sums the workers up when it is asked. A route or an upstream has series only
// from its first exchange on, so that 100,000 idle routes cost nothing to scrape.
// docs/metrics.md lists what comes out. Thread-safe.
class MetricsCollector : public prometheus::Collectable {
 public:
  struct Options {
    std::string version;  // Of portico_build_info
    std::string node_id;  // Of portico_build_info
    // Records that the access log had no room for; default: none to report.
    std::function<uint64_t()> access_log_dropped = {};
    // Rate limit keys that lost their counter to another key; default: none to report.
    std::function<uint64_t()> rate_limit_table_full = {};
    // Certificates that listeners show, and when each expires, in Unix seconds; default: none.
    std::function<std::vector<std::pair<std::string, int64_t>>()> certificates = {};
    // What the workers hold now; default: none to report.
    std::function<WorkerObjects()> worker_objects = {};
  };

  // `ids`, `status` and `clock` must outlive it.
  MetricsCollector(const MetricIds& ids, std::vector<std::shared_ptr<const WorkerMetrics>> workers,
                   const ProxyStatus& status, const base::Clock& clock, Options options);

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  using Families = std::vector<prometheus::MetricFamily>;
  void CollectRoutes(Families& out) const;
  void CollectGrpc(Families& out) const;
  void CollectUpstreams(Families& out) const;
  void CollectReasons(Families& out) const;
  void CollectHandshakes(Families& out) const;
  void CollectTotals(Families& out) const;
  void CollectObjects(Families& out) const;
  void CollectStatus(Families& out) const;

  const MetricIds& ids_;
  const std::vector<std::shared_ptr<const WorkerMetrics>> workers_;
  const ProxyStatus& status_;
  const base::Clock& clock_;
  const Options options_;
};

}  // namespace portico::observe

#endif  // DATAPLANE_OBSERVE_METRICS_COLLECTOR_H_
