// The conversation with one proxy, without the network.
#ifndef CONTROLPLANE_DISCOVERY_SESSION_H_
#define CONTROLPLANE_DISCOVERY_SESSION_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "controlplane/compile/compiler.h"
#include "controlplane/model/clock.h"
#include "controlplane/model/metrics.h"
#include "controlplane/rollout/fleet.h"
#include "controlplane/store/catalog.h"
#include "proto/portico/discovery/v1/discovery.pb.h"

namespace portico::control {

// What sessions share. All of it must outlive them.
struct SessionContext {
  Catalog& catalog;
  Compiler& compiler;
  Fleet& fleet;
  const Clock& clock;
  Metrics& metrics;
};

// Bounds on what a proxy may say about itself.
struct HelloLimits {
  size_t max_resources = 400'000;
  size_t max_bytes = 64 << 20;  // All Hello messages of a stream together.
  size_t max_node_id_bytes = 253;
  size_t max_labels = 64;
  size_t max_text_bytes = 1024;  // Of a label, a value, the build.
  size_t max_process_bytes = 64;
};

// Silence after which a heartbeat is sent, and after which the other side is taken for dead.
inline constexpr absl::Duration kHeartbeatInterval = absl::Seconds(10);
inline constexpr absl::Duration kSilenceLimit = absl::Seconds(30);

// Decides what to send to one proxy and what to make of its answers (DiscoveryService). Not
// thread-safe: the stream that owns it serializes the calls.
class Session {
 public:
  // `id` is unique in this process and rises; `address` is the proxy's.
  Session(const SessionContext& context, uint64_t id, std::string address,
          const HelloLimits& limits = {});

  // A message came. An error ends the stream with that status.
  absl::Status OnMessage(const discovery::v1::ProxyMessage& message);
  // The next message to write; null if there is none now. To be asked after every event, as long as
  // nothing is being written. The message lives until OnWritten. An error ends the stream.
  absl::StatusOr<const discovery::v1::ServerMessage*> Next();
  void OnWritten();
  // An error when the proxy has been silent for too long.
  absl::Status OnTick() const;
  // The stream has ended.
  void OnEnd();

  // Empty until the Hello is complete.
  const std::string& node_id() const { return identity_.node_id; }
  bool greeted() const { return greeted_; }

 private:
  absl::Status OnHello(const discovery::v1::Hello& hello);
  absl::Status CheckHello(const discovery::v1::Hello& hello);
  absl::Status Greet();
  absl::Status CheckAnswer(uint64_t nonce, uint64_t revision, const char* what) const;
  absl::Status OnReceived(const discovery::v1::Received& received);
  absl::Status OnApplied(const discovery::v1::Applied& applied);
  absl::Status OnRejected(const discovery::v1::Rejected& rejected);
  absl::Status StartChangeSet();

  const SessionContext context_;
  const uint64_t id_;
  const HelloLimits limits_;

  ProxyIdentity identity_;
  bool hello_started_ = false;
  bool greeted_ = false;
  size_t hello_bytes_ = 0;
  HashList hello_list_;
  uint64_t hello_revision_ = 0;

  Base base_;                      // What the proxy has.
  uint64_t rejected_ = 0;          // Not to be sent again.
  std::optional<uint64_t> whole_;  // The revision to send whole, after a resync.
  ChangeSetPtr in_flight_;         // Until it is answered for good.
  size_t next_chunk_ = 0;          // Chunks of it that were handed out.
  ChangeSetPtr writing_;           // Keeps the message alive that is being written.
  absl::Time greeted_at_ = absl::InfiniteFuture();
  absl::Time last_sent_;
  absl::Time last_heard_;
};

}  // namespace portico::control

#endif  // CONTROLPLANE_DISCOVERY_SESSION_H_
