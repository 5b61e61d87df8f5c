// A proxy that only speaks DiscoveryService, over a real gRPC connection.
#ifndef TESTS_INTEGRATION_CONTROL_PLANE_FAKE_PROXY_H_
#define TESTS_INTEGRATION_CONTROL_PLANE_FAKE_PROXY_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "api/resource/resource.h"
#include "proto/portico/discovery/v1/discovery.grpc.pb.h"

namespace portico::testing {

// A change set as it arrived.
struct ReceivedSet {
  uint64_t nonce = 0;
  uint64_t base_revision = 0;
  uint64_t revision = 0;
  size_t chunks = 0;
  size_t largest_chunk_bytes = 0;
  std::map<api::ResourceKey, std::string> upserts;
  std::map<api::ResourceKey, bool> removals;
  std::string checksum;
};

// Not thread-safe. What it has survives Disconnect, as a proxy's does.
class FakeProxy {
 public:
  FakeProxy(const std::shared_ptr<grpc::Channel>& channel, std::string node_id)
      : stub_(discovery::v1::DiscoveryService::NewStub(channel)), node_id_(std::move(node_id)) {}
  ~FakeProxy() { Disconnect(); }

  // Turns to another control plane. REQUIRES: not connected.
  void MoveTo(const std::shared_ptr<grpc::Channel>& channel) {
    stub_ = discovery::v1::DiscoveryService::NewStub(channel);
  }

  // Opens the stream and says Hello, in several messages of `per_hello` resources.
  void Connect(size_t per_hello = 1000);
  // Cancels the stream if there is one; its status.
  grpc::Status Disconnect();
  // Waits for the other side to end the stream.
  grpc::Status WaitForEnd();

  // The next whole change set; nothing when the stream ends instead, or after 20 s. Heartbeats are
  // counted and passed over.
  std::optional<ReceivedSet> Read();
  // Takes a set over and says so; false when its checksum is wrong.
  bool Apply(const ReceivedSet& set);
  void SendReceived(const ReceivedSet& set);
  void SendApplied(const ReceivedSet& set);
  void Reject(const ReceivedSet& set, const std::string& reason, bool resync = false);
  void SendHeartbeat();
  // Read and Apply; the revision, 0 when there was none.
  uint64_t Take();

  uint64_t revision() const { return revision_; }
  const std::map<api::ResourceKey, std::string>& contents() const { return contents_; }
  // As if it had been lost.
  void Forget(const api::ResourceKey& key) { contents_.erase(key); }
  int heartbeats() const { return heartbeats_; }
  // Waits for one.
  bool ReadHeartbeat();

 private:
  bool ReadMessage(discovery::v1::ServerMessage& message);
  void Write(const discovery::v1::ProxyMessage& message) { stream_->Write(message); }

  std::unique_ptr<discovery::v1::DiscoveryService::Stub> stub_;
  const std::string node_id_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<
      grpc::ClientReaderWriter<discovery::v1::ProxyMessage, discovery::v1::ServerMessage>>
      stream_;
  uint64_t revision_ = 0;
  std::map<api::ResourceKey, std::string> contents_;
  int heartbeats_ = 0;
};

}  // namespace portico::testing

#endif  // TESTS_INTEGRATION_CONTROL_PLANE_FAKE_PROXY_H_
