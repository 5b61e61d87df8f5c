// All upstreams of one worker.
#ifndef DATAPLANE_UPSTREAM_CLUSTER_MANAGER_H_
#define DATAPLANE_UPSTREAM_CLUSTER_MANAGER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "dataplane/event/timer.h"
#include "dataplane/snapshot/snapshot.h"
#include "dataplane/upstream/cluster.h"

namespace portico::upstream {

// Clusters appear with the first request for them and take new content with the
// first request of a newer revision: installing a revision costs a worker nothing.
// One worker's thread only.
class ClusterManager {
 public:
  // A cluster without use or connection for so long is forgotten.
  static constexpr int64_t kForgetNanos = 600 * base::kNanosPerSecond;

  explicit ClusterManager(ClusterContext context);
  // Every cluster must be without connections: Close(), then run the loop.
  ~ClusterManager();
  ClusterManager(const ClusterManager&) = delete;
  ClusterManager& operator=(const ClusterManager&) = delete;

  // The cluster of an upstream in revision `revision`. Exchanges of an older
  // revision get the newer content. The reference lives while a request is open.
  Cluster& Get(const std::shared_ptr<const snapshot::UpstreamEntry>& entry, uint64_t revision);

  // Ends connections as they become free; nothing is asked for any more.
  void Close();
  size_t connections() const;

 private:
  struct Slot {
    std::unique_ptr<Cluster> cluster;
    uint64_t revision = 0;
  };
  struct Known {
    const snapshot::UpstreamEntry* entry = nullptr;
    Cluster* cluster = nullptr;
  };
  // Before the cluster gets other content, or goes.
  void Forget(const Cluster& cluster);
  static void OnSweep(event::Timer& timer);
  void Sweep();

  ClusterContext context_;
  absl::flat_hash_map<std::string, Slot> by_name_;
  // By UpstreamEntry::metric_id, so that a request finds its cluster without hashing. The
  // entries are those that the clusters hold; so a pointer cannot be reused for another.
  // Upstreams beyond the cap of metrics share a place: the last one used has it.
  std::vector<Known> known_;
  event::Timer sweep_;
};

}  // namespace portico::upstream

#endif  // DATAPLANE_UPSTREAM_CLUSTER_MANAGER_H_
