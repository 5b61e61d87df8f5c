// One gRPC stream, its callbacks turned into events.
#ifndef DATAPLANE_DISCOVERY_STREAM_H_
#define DATAPLANE_DISCOVERY_STREAM_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <cstdint>
#include <memory>

#include "dataplane/discovery/event_queue.h"
#include "proto/portico/discovery/v1/discovery.grpc.pb.h"

namespace portico::discovery_client {

// Reads one message at a time: the next one only when told so, so the server
// cannot fill the queue. Its owner calls ReadNext() after each kRead that is ok and
// Release() after the one that is not; then kEnded comes, exactly once, as the last
// event, and only then may the stream be destroyed: by the owner's thread, because
// the channel goes with it, which waits for gRPC's callback threads.
class Stream final
    : public grpc::ClientBidiReactor<discovery::v1::ProxyMessage, discovery::v1::ServerMessage> {
 public:
  // Opens the stream and reads the first message. `id` marks its events.
  static std::unique_ptr<Stream> Open(std::shared_ptr<grpc::Channel> channel, uint64_t id,
                                      std::shared_ptr<EventQueue> events);

  void ReadNext() { StartRead(&incoming_); }
  // REQUIRES: no write is going on, and Release() was not called.
  void Write(discovery::v1::ProxyMessage message);
  // Breaks the stream. May be called at any time.
  void Cancel() { context_.TryCancel(); }
  void Release() { RemoveHold(); }

 private:
  Stream(std::shared_ptr<grpc::Channel> channel, uint64_t id, std::shared_ptr<EventQueue> events);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<discovery::v1::DiscoveryService::Stub> stub_;
  const uint64_t id_;
  const std::shared_ptr<EventQueue> events_;
  grpc::ClientContext context_;
  discovery::v1::ServerMessage incoming_;
  discovery::v1::ProxyMessage outgoing_;
};

}  // namespace portico::discovery_client

#endif  // DATAPLANE_DISCOVERY_STREAM_H_
