// FleetService: what the proxies have.
#ifndef CONTROLPLANE_MANAGEMENT_FLEET_SERVICE_H_
#define CONTROLPLANE_MANAGEMENT_FLEET_SERVICE_H_

#include <cstddef>
#include <memory>
#include <mutex>
#include <set>

#include "api/portico/v1/fleet_service.grpc.pb.h"
#include "controlplane/management/peer.h"
#include "controlplane/model/clock.h"
#include "controlplane/rollout/fleet.h"
#include "controlplane/store/catalog.h"

namespace portico::control {

class RolloutWatcher;

// Uses gRPC's callback interface: a watcher costs memory, no thread. Thread-safe. Must outlive the
// gRPC server that it is registered with.
class FleetServiceImpl final : public v1::FleetService::CallbackService {
 public:
  // Watchers at a time; more are refused with RESOURCE_EXHAUSTED.
  static constexpr size_t kMaxWatchers = 1000;

  // All must outlive the service.
  FleetServiceImpl(const Catalog& catalog, const Fleet& fleet, const Operators& operators);

  grpc::ServerUnaryReactor* ListProxies(grpc::CallbackServerContext* context,
                                        const v1::ListProxiesRequest* request,
                                        v1::ListProxiesResponse* response) override;
  grpc::ServerWriteReactor<v1::RolloutStatus>* WatchRollout(
      grpc::CallbackServerContext* context, const v1::WatchRolloutRequest* request) override;

  // The fleet has changed: looks at all rollouts that are watched, on a thread of its own. Returns
  // at once.
  void Notify() { notifier_.Notify(); }
  // Ends all watchers with UNAVAILABLE and refuses new ones.
  void Shutdown();

 private:
  friend class RolloutWatcher;

  std::set<std::shared_ptr<RolloutWatcher>> Watchers();
  void Remove(const std::shared_ptr<RolloutWatcher>& watcher);
  absl::Duration UpdateAll();

  const Catalog& catalog_;
  const Fleet& fleet_;
  const Operators& operators_;

  std::mutex mutex_;  // Guards the next two. Never held while a watcher is called.
  bool shut_down_ = false;
  std::set<std::shared_ptr<RolloutWatcher>> watchers_;

  Notifier notifier_;  // Last: its thread uses the members above.
};

}  // namespace portico::control

#endif  // CONTROLPLANE_MANAGEMENT_FLEET_SERVICE_H_
