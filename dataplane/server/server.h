// The proxy as a whole: workers, revisions, readiness, drain.
#ifndef DATAPLANE_SERVER_SERVER_H_
#define DATAPLANE_SERVER_SERVER_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "api/portico/v1/resource.pb.h"
#include "api/resource/resource.h"
#include "dataplane/base/clock.h"
#include "dataplane/discovery/revision_sink.h"
#include "dataplane/event/engine.h"
#include "dataplane/event/engine_factory.h"
#include "dataplane/net/address.h"
#include "dataplane/observe/access_log.h"
#include "dataplane/observe/metric_ids.h"
#include "dataplane/observe/metrics_collector.h"
#include "dataplane/observe/proxy_status.h"
#include "dataplane/server/engine_metrics.h"
#include "dataplane/server/listener_table.h"
#include "dataplane/server/worker.h"
#include "dataplane/snapshot/snapshot.h"
#include "dataplane/upstream/limits.h"

namespace portico::server {

struct ServerOptions {
  std::string node_id;
  uint32_t workers = 1;
  uint32_t max_connections = 0;  // Per listener, all workers together; 0: no limit
  uint32_t max_process_connections = 0;
  uint64_t memory_limit = 0;  // Bytes, all workers together; 0: no limit
  // Time between "not ready" and the end of accepting, so that balancers notice.
  int64_t drain_grace_nanos = 5 * base::kNanosPerSecond;
  // Time for open exchanges after that; then they are cut.
  int64_t drain_timeout_nanos = 30 * base::kNanosPerSecond;
  event::EngineKind io_engine = event::EngineKind::kAuto;
  uint32_t io_gather_micros = 0;  // As for event::CreateEngines().
  std::map<std::string, net::SocketAddress> listener_addresses;
};

using Violations = discovery_client::ApplyResult;

// Everything public is thread-safe. What the constructor takes outlives it.
class Server final : public discovery_client::RevisionSink {
 public:
  Server(ServerOptions options, const base::Clock& clock, observe::ProxyStatus& status,
         observe::MetricIds& ids, observe::AccessLogService& access_log,
         snapshot::PolicyBuilders policies);
  ~Server() override;
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Starts the workers and the configuration thread. Errors: FailedPrecondition when
  // the event engine asked for is not possible, and what to do.
  absl::Status Start();

  // Makes a complete set of resources live on all workers, or leaves everything as
  // it is. `done` is called once, on the configuration thread. An offer that waits
  // while a newer one comes is still made in its turn.
  void Offer(uint64_t revision, api::ResourceSet resources,
             std::function<void(Violations)> done) override;

  // What is live; nullptr before the first revision.
  std::shared_ptr<const snapshot::Snapshot> live() const;
  // Names of the certificates that listeners show, and when they expire, in Unix seconds.
  std::vector<std::pair<std::string, int64_t>> certificates() const;
  // Called on the configuration thread after a change of the listeners' addresses.
  void OnListenersChanged(
      std::function<void(const std::vector<std::pair<std::string, net::SocketAddress>>&)> callback);

  // A complete revision is live on all workers, and no drain has begun.
  bool ready() const;
  // Not ready from now on; keeps accepting for the grace time, finishes what is
  // open, then the workers end. Returns at once; may be called again.
  void Drain();
  // Waits until a drain has begun and the workers have ended.
  void WaitUntilDrained();

  std::vector<std::shared_ptr<const observe::WorkerMetrics>> worker_metrics() const;
  // After Start().
  const EngineChoice& engine_choice() const { return engine_choice_; }
  // Of every worker; valid as long as the server.
  std::vector<const event::EngineStats*> engine_stats() const;
  // What the workers hold now. Asks each of them and waits for the answers: a quarter
  // of a second at most; a worker that is busy for longer, or has ended, counts as
  // holding nothing.
  observe::WorkerObjects CountObjects() const;

 private:
  struct Work {
    uint64_t revision = 0;
    api::ResourceSet resources;
    std::function<void(Violations)> done;
  };
  void RunConfiguration();
  void FreeRetired();
  Violations Apply(Work& work);
  std::optional<Revision> Compile(Work& work, Violations& violations);
  bool OpenAccessLogs(Revision& revision, Violations& violations);
  void InstallOnAll(std::shared_ptr<const Revision> revision);
  void RunDrain();
  bool WaitForWorkers(int64_t nanos);

  // Constant after construction.
  const ServerOptions options_;
  const base::Clock& clock_;
  observe::ProxyStatus& status_;
  observe::AccessLogService& access_log_;
  upstream::LimitRegistry limits_;

  // Owned by the configuration thread once it runs.
  snapshot::SnapshotBuilder builder_;
  ListenerTable listeners_;
  std::function<void(const std::vector<std::pair<std::string, net::SocketAddress>>&)>
      on_listeners_changed_;
  std::shared_ptr<const Revision> installed_;
  // Those before it that exchanges may still hold. The last reference is kept here, so that it is
  // this thread that frees a revision, which takes long, and never a worker.
  std::vector<std::shared_ptr<const Revision>> retired_;

  EngineChoice engine_choice_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::thread configuration_;
  std::thread drain_;

  // Guarded by mutex_; changed_ tells of every change.
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Work> queue_;
  bool stopping_ = false;
  bool drain_wanted_ = false;
  bool drained_ = false;
  std::shared_ptr<const snapshot::Snapshot> live_;
};

}  // namespace portico::server

#endif  // DATAPLANE_SERVER_SERVER_H_
