// DiscoveryService: one stream per proxy.
#ifndef CONTROLPLANE_DISCOVERY_SERVER_H_
#define CONTROLPLANE_DISCOVERY_SERVER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "controlplane/discovery/session.h"
#include "controlplane/model/clock.h"
#include "proto/portico/discovery/v1/discovery.grpc.pb.h"

namespace portico::control {

class DiscoveryStream;

struct DiscoveryOptions {
  // Streams at a time; more are refused with RESOURCE_EXHAUSTED.
  size_t max_proxies = 10'000;
  HelloLimits hello;
};

// Streams revisions to proxies. Uses gRPC's callback interface: a stream costs memory, no thread,
// and a proxy that does not read delays nobody. Thread-safe. Must outlive the gRPC server that it
// is registered with.
class DiscoveryServer final : public discovery::v1::DiscoveryService::CallbackService {
 public:
  DiscoveryServer(const SessionContext& context, const DiscoveryOptions& options);

  grpc::ServerBidiReactor<discovery::v1::ProxyMessage, discovery::v1::ServerMessage>* Stream(
      grpc::CallbackServerContext* context) override;

  // The current revision has changed: tells all streams, on a thread of its own. Returns at once.
  void Push() { pusher_.Notify(); }
  // Heartbeats and silence; to be called about once a second.
  void Tick();
  // Ends all streams with UNAVAILABLE and refuses new ones.
  void Shutdown();

 private:
  friend class DiscoveryStream;

  // Makes `id` the stream of that node and ends the older one. False when the node has a newer one.
  bool Claim(const std::string& node_id, uint64_t id);
  void Remove(uint64_t id, const std::string& node_id);
  std::vector<std::shared_ptr<DiscoveryStream>> Streams();

  const SessionContext context_;
  const DiscoveryOptions options_;

  std::mutex mutex_;  // Guards all below. Never held while a stream is called.
  uint64_t last_id_ = 0;
  bool shut_down_ = false;
  std::map<uint64_t, std::shared_ptr<DiscoveryStream>> streams_;
  std::map<std::string, uint64_t> by_node_;

  Notifier pusher_;  // Last: its thread uses the members above.
};

}  // namespace portico::control

#endif  // CONTROLPLANE_DISCOVERY_SERVER_H_
