// An event engine without a kernel: sockets are queues of bytes in this process.
#ifndef TESTS_GATE_MEMORY_ENGINE_H_
#define TESTS_GATE_MEMORY_ENGINE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "dataplane/event/engine.h"
#include "dataplane/event/operation.h"

namespace portico::gate {

// Who is at the other end of a socket.
class Peer {
 public:
  virtual ~Peer() = default;
  // The data plane sent `op`, whose bytes are there during the call. The peer may
  // call MemoryEngine::Feed().
  virtual void OnSent(const event::SendOperation& op, size_t bytes) = 0;
};

// Sends are taken whole and at once, as a kernel with room does; their completions
// come in the same turn. What is fed arrives with the next Poll(). The descriptors
// are real, idle ones, so that the data plane may set options and close them.
// Costs a few dozen instructions an operation, and a copy of what is received.
class MemoryEngine final : public event::Engine {
 public:
  // The peer of a connection that the data plane opens. Outlives it.
  using Connector = std::function<Peer*(int fd)>;

  explicit MemoryEngine(Connector connector) : connector_(std::move(connector)) {}
  ~MemoryEngine() override;

  // A new client, which the pending accept gets. Returns its descriptor.
  int Connect(Peer& peer);
  // `bytes` arrive at the data plane's end of `fd`; they stay until all are
  // received. What was fed before must have been received.
  void Feed(int fd, std::string_view bytes);
  bool AllReceived(int fd) { return SocketOf(fd).incoming.empty(); }
  // Orderly end of stream from the peer.
  void FeedEnd(int fd);

  void StartReceive(event::ReceiveOperation& op) override;
  void StartSend(event::SendOperation& op) override;
  void StartAccept(event::AcceptOperation& op) override;
  void StartConnect(event::ConnectOperation& op) override;
  void StartHangUpWatch(event::HangUpOperation& op) override;
  void Cancel(event::Operation& op) override;
  void Close(int fd) override;
  // Does not wait: who is driven by nothing but itself need not.
  void Poll(int64_t timeout_nanos, absl::FunctionRef<void()> after_wait) override;
  void Wake() override {}

 private:
  struct Socket {
    Peer* peer = nullptr;
    std::string_view incoming;
    bool ended = false;
    event::Operation* reader = nullptr;
    event::Operation* writer = nullptr;
    event::Operation* watcher = nullptr;
    bool readable() const { return ended || !incoming.empty(); }
  };

  Socket& SocketOf(int fd);
  void Finish(event::Operation& op, int32_t result);
  int32_t Receive(event::ReceiveOperation& op, Socket& socket);

  const Connector connector_;
  std::vector<Socket> sockets_;  // By descriptor.
  event::OperationList ready_;
  // Becomes ready with the next Poll().
  event::OperationList arrived_;
};

}  // namespace portico::gate

#endif  // TESTS_GATE_MEMORY_ENGINE_H_
