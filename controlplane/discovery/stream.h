// A Session on a gRPC stream.
#ifndef CONTROLPLANE_DISCOVERY_STREAM_H_
#define CONTROLPLANE_DISCOVERY_STREAM_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "controlplane/discovery/server.h"
#include "controlplane/discovery/session.h"

namespace portico::control {

// Feeds one session with what arrives and writes what it wants to send, one message at a time.
// The server's map owns it until OnDone. Thread-safe.
class DiscoveryStream final
    : public grpc::ServerBidiReactor<discovery::v1::ProxyMessage, discovery::v1::ServerMessage> {
 public:
  // Both must outlive the stream.
  DiscoveryStream(DiscoveryServer& server, grpc::CallbackServerContext& context, uint64_t id);

  // Starts reading. Once, after the server's map owns this.
  void Start();
  // There may be something to send.
  void Poke();
  // As Poke; ends the stream if the proxy has been silent for too long, and cancels one that was to
  // be ended but is still being written to: the proxy then sees CANCELLED.
  void Tick();
  // Ends the stream, after the message that is being written if there is one.
  void End(const absl::Status& status);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  void EndLocked(const absl::Status& status);
  void PumpLocked();

  DiscoveryServer& server_;
  grpc::CallbackServerContext& context_;
  const uint64_t id_;
  discovery::v1::ProxyMessage incoming_;  // The reader's.

  // gRPC's methods are called with it held, so that none is called after Finish. gRPC never calls
  // back from inside of them.
  std::mutex mutex_;
  Session session_;
  bool writing_ = false;
  bool finished_ = false;
  std::optional<absl::Status> ending_;  // Finish with it once the write has ended.
};

}  // namespace portico::control

#endif  // CONTROLPLANE_DISCOVERY_STREAM_H_
