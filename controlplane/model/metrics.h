// What the control plane counts. One registry, given to whoever exposes it.
#ifndef CONTROLPLANE_MODEL_METRICS_H_
#define CONTROLPLANE_MODEL_METRICS_H_

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <memory>
#include <string>

namespace portico::control {

// Every series but those of the fleet, which are counted when they are read (rollout/).
// Thread-safe: prometheus-cpp's metrics are. Series with labels exist from the start, at 0.
class Metrics {
 public:
  Metrics();

  // How an Apply or a Rollback ended.
  enum class ApplyResult { kAccepted, kUnchanged, kDryRun, kInvalid, kConflict, kError };
  void CountApply(ApplyResult result);

  // Operation: "load", "commit", "load_revision" or "list_revisions".
  prometheus::Histogram& StoreSeconds(const std::string& operation);

  const std::shared_ptr<prometheus::Registry>& registry() const { return registry_; }

 private:
  const std::shared_ptr<prometheus::Registry> registry_;
  prometheus::Family<prometheus::Counter>& applies_;
  prometheus::Family<prometheus::Histogram>& store_seconds_;

 public:
  // The current revision.
  prometheus::Gauge& revision;
  // Resources in it.
  prometheus::Gauge& resources;
  // Accepted to applied, per proxy.
  prometheus::Histogram& push_seconds;
  // Change sets that proxies refused, and those they could not assemble.
  prometheus::Counter& rejections;
  prometheus::Counter& resyncs;
  // Change sets sent whole.
  prometheus::Counter& pushes;
  prometheus::Counter& discovery_sent_bytes;
  // Streams ended because a newer one of the same node id came.
  prometheus::Counter& replaced_streams;
  // Streams refused: above --max-proxies, or a bad Hello.
  prometheus::Counter& refused_streams;
};

}  // namespace portico::control

#endif  // CONTROLPLANE_MODEL_METRICS_H_
