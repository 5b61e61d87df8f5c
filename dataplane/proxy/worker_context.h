// What exchanges of one worker share.
#ifndef DATAPLANE_PROXY_WORKER_CONTEXT_H_
#define DATAPLANE_PROXY_WORKER_CONTEXT_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/event/loop.h"
#include "dataplane/observe/access_log.h"
#include "dataplane/observe/worker_metrics.h"
#include "dataplane/proxy/memory_guard.h"
#include "dataplane/snapshot/snapshot.h"
#include "dataplane/upstream/cluster_manager.h"
#include "dataplane/upstream/limits.h"
#include "dataplane/upstream/random.h"

namespace portico::proxy {

// A listener of a revision, with where its log lines go.
struct ListenerRuntime {
  std::shared_ptr<const snapshot::ListenerEntry> entry;
  // nullptr: no access log.
  std::shared_ptr<const snapshot::AccessLogEntry> access_log;
  uint32_t sink = 0;
};

// A revision as one worker serves it. Each worker has its own, so that pinning it
// writes no memory that another worker reads.
struct ActiveSnapshot {
  std::shared_ptr<const snapshot::Snapshot> snapshot;
  // By listener id (ConnectionInfo::listener_id); `entry` is null for listeners
  // that this revision does not have.
  std::vector<ListenerRuntime> listeners;
};

// Owned by the worker; its thread only.
struct WorkerContext {
  // Constant after construction.
  event::Loop& loop;
  observe::WorkerMetrics& metrics;
  observe::AccessLogWriter& access_log;
  upstream::ClusterManager& clusters;
  upstream::Random& random;

  // Owned by this worker.
  snapshot::PolicyWorkerStates policy_states;
  upstream::RetryBudget retries;
  uint32_t active_requests = 0;
  MemoryGuard memory = {};
  // What new exchanges pin. Null until the first revision.
  std::shared_ptr<const ActiveSnapshot> active;
};

}  // namespace portico::proxy

#endif  // DATAPLANE_PROXY_WORKER_CONTEXT_H_
