// One thread that serves.
#ifndef DATAPLANE_SERVER_WORKER_H_
#define DATAPLANE_SERVER_WORKER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "dataplane/base/clock.h"
#include "dataplane/downstream/acceptor.h"
#include "dataplane/downstream/connection.h"
#include "dataplane/event/engine.h"
#include "dataplane/event/loop.h"
#include "dataplane/event/timer.h"
#include "dataplane/observe/access_log.h"
#include "dataplane/observe/metrics_collector.h"
#include "dataplane/observe/worker_metrics.h"
#include "dataplane/proxy/serve_exchange.h"
#include "dataplane/proxy/worker_context.h"
#include "dataplane/server/listener_table.h"
#include "dataplane/snapshot/snapshot.h"
#include "dataplane/upstream/cluster_manager.h"
#include "dataplane/upstream/limits.h"
#include "dataplane/upstream/random.h"

namespace portico::server {

// A revision on its way to the workers. Shared by them, not written any more.
struct Revision {
  std::shared_ptr<const snapshot::Snapshot> snapshot;
  ListenerPlan plan;
  // By listener id.
  std::vector<proxy::ListenerRuntime> listeners;
};

// What a worker is made of. What is referred to outlives it.
struct WorkerOptions {
  uint32_t index = 0;
  uint32_t workers = 1;
  uint64_t subset_seed = 0;
  // Connections open at once on each listener, all workers together; 0: no limit.
  uint32_t max_connections = 0;
  // The same on all listeners together.
  uint32_t max_process_connections = 0;
  // Bytes that this worker may hold; 0: no limit.
  uint64_t memory_share = 0;
  const base::Clock& clock;
  upstream::LimitRegistry& limits;
  observe::AccessLogService& access_log;
  snapshot::PolicyWorkerStates policy_states;
};

// Owns its loop, acceptors, connections, pools and counters. The public functions
// are thread-safe but for Start() and Join().
class Worker final : private downstream::ConnectionObserver {
 public:
  Worker(WorkerOptions options, std::unique_ptr<event::Engine> engine);
  // After Join(), or never started.
  ~Worker() override;
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void Start();
  // Switches to `revision`, then calls `done` on the worker's thread.
  void Install(std::shared_ptr<const Revision> revision, std::function<void()> done);
  // From now on every response says that its connection closes.
  void AnnounceDrain();
  // Stops accepting, ends every connection at its next rest, and then the thread.
  void Drain();
  // Ends every connection now, and then the thread.
  void ForceClose();
  // Counts what the worker holds, then calls `done` with it on the worker's thread.
  void CountObjects(std::function<void(const observe::WorkerObjects&)> done);
  // Waits for the thread's end.
  void Join();
  // Set at the thread's end.
  bool ended() const { return ended_.load(std::memory_order_acquire); }

  std::shared_ptr<const observe::WorkerMetrics> metrics() const { return metrics_; }
  const event::EngineStats& engine_stats() { return loop_.engine().stats(); }

 private:
  struct Listening {
    std::unique_ptr<downstream::Acceptor> acceptor;
    uint32_t id = 0;
  };

  observe::WorkerObjects Objects();
  void LogLeftOver();
  void Apply(const std::shared_ptr<const Revision>& revision);
  void Listen(const ListenerPlan::Listener& listener);
  void Retire(uint32_t id, bool drain);
  static void OnHousekeeping(event::Timer& timer);
  void Housekeep();
  void ArmHousekeeping();

  void OnConnectionOpened() override { metrics_->downstream_connections_total.Add(); }
  void OnConnectionClosed() override { metrics_->downstream_connections_closed_total.Add(); }
  void OnConnectionHandedOver() override { metrics_->connections_handed_over_total.Add(); }
  void OnProtocolError(std::string_view reason) override { metrics_->ProtocolError(reason); }
  void OnConnectionRefused(std::string_view reason) override { metrics_->ProtocolError(reason); }
  void OnHandshake(const net::TlsInfo& info) override {
    metrics_->Handshake(info.version == "TLSv1.3", info.resumed);
  }
  void OnHandshakeFailed(std::string_view reason) override { metrics_->HandshakeFailed(reason); }

  // Constant after construction.
  const uint32_t index_;
  const uint32_t max_connections_;
  const uint32_t max_process_connections_;
  const std::shared_ptr<observe::WorkerMetrics> metrics_;

  // Owned by the worker's thread once it runs.
  event::Loop loop_;
  upstream::Random random_;
  std::unique_ptr<observe::AccessLogWriter> access_log_;
  // Refers to `clusters_`, which looks at its memory guard.
  proxy::WorkerContext context_;
  upstream::ClusterManager clusters_;
  proxy::Proxy proxy_;
  std::vector<Listening> listening_;
  // No longer accepting, with connections left.
  std::vector<Listening> retired_;
  event::Timer housekeeping_;
  bool announce_close_ = false;
  bool draining_ = false;
  bool closing_clusters_ = false;

  // Atomic.
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

}  // namespace portico::server

#endif  // DATAPLANE_SERVER_WORKER_H_
