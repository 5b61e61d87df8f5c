// The engine for every kernel: readiness turned into completions.
#ifndef DATAPLANE_EVENT_EPOLL_ENGINE_H_
#define DATAPLANE_EVENT_EPOLL_ENGINE_H_

#include <sys/epoll.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "dataplane/event/engine.h"
#include "dataplane/event/operation.h"
#include "dataplane/event/pipe.h"

namespace portico::event {

// A socket is registered once, edge-triggered, for everything; what the kernel said
// last is kept as levels. A send is tried at its start. A receive is tried only
// when bytes are known to be there; one that fills less than its buffer has drained
// the socket, so that a request costs one recv and one send on each side.
class EpollEngine final : public Engine {
 public:
  // Takes ownership of both descriptors; `wake_fd` is an eventfd in the epoll set.
  EpollEngine(int epoll_fd, int wake_fd);
  ~EpollEngine() override;

  void StartReceive(ReceiveOperation& op) override;
  void StartSend(SendOperation& op) override;
  void StartAccept(AcceptOperation& op) override;
  void StartConnect(ConnectOperation& op) override;
  void StartHangUpWatch(HangUpOperation& op) override;
  void Cancel(Operation& op) override;
  void Close(int fd) override;
  void Poll(int64_t timeout_nanos, absl::FunctionRef<void()> after_wait) override;
  PipePool* pipes() override { return &pipes_; }
  void Wake() override;

 private:
  // One socket, found by its descriptor.
  struct Socket {
    bool registered = false;
    // Levels: what is known of the socket.
    bool readable = false;
    bool writable = true;
    bool hung_up = false;
    // Pending, until the completion is delivered. A listening socket's accept, and a
    // connect, stand in for receive and send.
    Operation* reader = nullptr;
    Operation* writer = nullptr;
    HangUpOperation* watcher = nullptr;
  };

  // `engine_state` of an operation.
  enum State : uint8_t {
    kWaiting = 0,  // For a level to change.
    kReady = 1,    // In ready_, to be tried.
    kDone = 2,     // In ready_, with its result.
  };

  Socket& SocketOf(int fd) {
    const auto index = static_cast<size_t>(fd);
    if (index < sockets_.size() && sockets_[index] != nullptr) return *sockets_[index];
    return NewSocket(fd);
  }
  Socket& NewSocket(int fd);
  // False if the kernel refused; `op` then completes with the error.
  bool Register(int fd, Socket& socket, Operation& op);
  void MakeReady(Operation& op);
  // Queues a waiting operation's completion.
  void Finish(Operation& op, int32_t result);
  void OnEvent(const epoll_event& event);
  void Deliver();
  void Publish();

  // The result, or nothing if the operation must wait for a level.
  std::optional<int32_t> Try(Operation& op, Socket& socket);
  std::optional<int32_t> TryReceive(ReceiveOperation& op, Socket& socket);
  std::optional<int32_t> TryReceiveIntoPipe(ReceiveOperation& op, Socket& socket);
  std::optional<int32_t> TrySend(SendOperation& op, Socket& socket);
  std::optional<int32_t> TrySendFromPipe(SendOperation& op, Socket& socket);
  std::optional<int32_t> TryAccept(AcceptOperation& op, Socket& socket);

  const int epoll_fd_;
  const int wake_fd_;
  std::vector<std::unique_ptr<Socket>> sockets_;
  std::vector<epoll_event> events_;
  OperationList ready_;
  PipePool pipes_;
  int polls_without_wait_ = 0;
  // What stats() is told of once in a turn.
  uint64_t system_calls_ = 0;
  uint64_t completions_ = 0;
};

}  // namespace portico::event

#endif  // DATAPLANE_EVENT_EPOLL_ENGINE_H_
