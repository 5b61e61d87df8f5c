// A DiscoveryService whose streams follow a script.
#ifndef DATAPLANE_DISCOVERY_FAKE_CONTROL_PLANE_H_
#define DATAPLANE_DISCOVERY_FAKE_CONTROL_PLANE_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/discovery/test_resources.h"
#include "proto/portico/discovery/v1/discovery.grpc.pb.h"

namespace portico::discovery_client {

// One stream, from the control plane's side.
class Talk {
 public:
  using Rpc = grpc::ServerReaderWriter<discovery::v1::ServerMessage, discovery::v1::ProxyMessage>;
  explicit Talk(Rpc& rpc) : rpc_(rpc) {}

  // The next message that is no heartbeat; nullopt at the end of the stream.
  std::optional<discovery::v1::ProxyMessage> Read() {
    discovery::v1::ProxyMessage message;
    while (rpc_.Read(&message)) {
      if (!message.has_heartbeat()) return message;
    }
    return std::nullopt;
  }
  // True if the next message is a heartbeat.
  bool ReadHeartbeat() {
    discovery::v1::ProxyMessage message;
    return rpc_.Read(&message) && message.has_heartbeat();
  }
  // All Hello messages, joined.
  discovery::v1::Hello ReadHello() {
    discovery::v1::Hello whole;
    while (const auto message = Read()) {
      if (!message->has_hello()) break;
      whole.MergeFrom(message->hello());
      if (!message->hello().more()) break;
    }
    return whole;
  }
  void Send(const std::vector<discovery::v1::Chunk>& chunks) {
    for (const auto& chunk : chunks) {
      discovery::v1::ServerMessage message;
      *message.mutable_chunk() = chunk;
      rpc_.Write(message);
    }
  }
  void SendHeartbeat() {
    discovery::v1::ServerMessage message;
    message.mutable_heartbeat();
    rpc_.Write(message);
  }
  // Reads until the proxy goes.
  void AwaitEnd() {
    while (Read()) {
    }
  }

 private:
  Rpc& rpc_;
};

// The first stream follows the first script, and so on; further ones the last.
class FakeControlPlane final : public discovery::v1::DiscoveryService::Service {
 public:
  using Script = std::function<grpc::Status(Talk&)>;

  explicit FakeControlPlane(std::vector<Script> scripts, const std::string& address = "127.0.0.1:0",
                            const std::shared_ptr<grpc::ServerCredentials>& credentials =
                                grpc::InsecureServerCredentials())
      : scripts_(std::move(scripts)) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, credentials, &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~FakeControlPlane() override { Stop(); }

  void Stop() { server_->Shutdown(gpr_inf_past(GPR_CLOCK_REALTIME)); }
  bool running() const { return server_ != nullptr; }
  int port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  size_t streams() const {
    std::lock_guard lock(mutex_);
    return streams_;
  }

  grpc::Status Stream(grpc::ServerContext* /*context*/, Talk::Rpc* rpc) override {
    size_t index;
    {
      std::lock_guard lock(mutex_);
      index = std::min(streams_++, scripts_.size() - 1);
    }
    Talk talk(*rpc);
    return scripts_[index](talk);
  }

 private:
  const std::vector<Script> scripts_;
  mutable std::mutex mutex_;
  size_t streams_ = 0;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace portico::discovery_client

#endif  // DATAPLANE_DISCOVERY_FAKE_CONTROL_PLANE_H_
