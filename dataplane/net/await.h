// Waiting for a connection's bytes, as tasks do it.
#ifndef DATAPLANE_NET_AWAIT_H_
#define DATAPLANE_NET_AWAIT_H_

#include <coroutine>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataplane/base/buffer.h"
#include "dataplane/event/cancel.h"
#include "dataplane/event/loop.h"
#include "dataplane/event/operation.h"
#include "dataplane/event/pipe.h"
#include "dataplane/net/address.h"
#include "dataplane/net/byte_stream.h"

namespace portico::net {

// All of these are named locals that are co_awaited, one wait at a time; each may
// be awaited again after it ended. They link into `scope` while they wait. When the
// scope was requested, nothing is started and the result is the scope's reason;
// when it is requested meanwhile, the result is the reason too, unless the
// operation was faster. Other errors: Unavailable (reset, closed, refused,
// unreachable), ResourceExhausted (no descriptor, port or memory), with the name
// of the errno in the message.

// What co_await makes of them. By reference, as GCC 12 would copy an awaitable that is
// a member or a captured variable.
template <typename Awaitable>
class [[nodiscard]] AwaiterOf {
 public:
  explicit AwaiterOf(Awaitable& awaitable) : awaitable_(awaitable) {}
  bool await_ready() { return awaitable_.await_ready(); }
  void await_suspend(std::coroutine_handle<> waiter) { awaitable_.await_suspend(waiter); }
  auto await_resume() { return awaitable_.await_resume(); }

 private:
  Awaitable& awaitable_;
};

// What is common: an operation that one task waits for.
template <typename OperationType>
class OperationAwaiter : private event::Cancellable {
 public:
  OperationAwaiter(const OperationAwaiter&) = delete;
  OperationAwaiter& operator=(const OperationAwaiter&) = delete;

  bool await_ready() const noexcept { return scope_.requested(); }
  void await_suspend(std::coroutine_handle<> waiter) {
    waiter_ = waiter;
    scope_.Link(*this);
    linked_ = true;
    op_.context = this;
    op_.on_complete = [](event::Operation& op) { static_cast<OperationAwaiter*>(op.context)->waiter_.resume(); };
    StartOperation(op_);
  }

 protected:
  explicit OperationAwaiter(event::CancelScope& scope) : scope_(scope) {}
  ~OperationAwaiter() = default;

  virtual void StartOperation(OperationType& op) = 0;
  virtual void CancelOperation(OperationType& op) = 0;

  // The operation's result (0 or more), or why there is none.
  absl::StatusOr<int> Finish(const char* what);

  OperationType op_;
  event::CancelScope& scope_;

 private:
  void RequestCancel() final { CancelOperation(op_); }

  std::coroutine_handle<> waiter_;
  bool linked_ = false;
};

// Unavailable or ResourceExhausted for a positive errno: "receive: Connection reset
// by peer (ECONNRESET)". `what` is a literal.
absl::Status ErrnoStatus(int error, const char* what);

// Bytes as soon as some are there; an empty Buffer at the end of stream.
//   net::Receive receive(stream, scope, pool);
//   absl::StatusOr<base::Buffer> bytes = co_await receive;
class [[nodiscard]] Receive final : public OperationAwaiter<event::ReceiveOperation> {
 public:
  // `size_hint`: the most that one wait takes, in bytes.
  Receive(ByteStream& stream, event::CancelScope& scope, base::BufferPool& pool,
          size_t size_hint = base::BufferPool::kSmall)
      : OperationAwaiter(scope), stream_(stream) {
    op_.pool = &pool;
    op_.size_hint = size_hint;
  }
  // Appends to this buffer if it has room, instead of taking a new one. The result
  // is the same buffer; an empty one at the end of stream. Must not be shared.
  void AppendTo(base::Buffer buffer) { op_.buffer = std::move(buffer); }
  // What was given to AppendTo(), after the end of stream or an error.
  base::Buffer TakeUnused() { return std::move(op_.buffer); }
  // Moves the bytes into this empty pipe of stream.pipes(); the Buffer that comes out
  // is empty, and at the end of stream the pipe is empty, too.
  void Into(event::Pipe* pipe) { op_.pipe = pipe; }

  AwaiterOf<Receive> operator co_await() { return AwaiterOf<Receive>(*this); }
  absl::StatusOr<base::Buffer> await_resume();

 private:
  void StartOperation(event::ReceiveOperation& op) override { stream_.StartReceive(op); }
  void CancelOperation(event::ReceiveOperation& op) override { stream_.Cancel(op); }
  ByteStream& stream_;
};

// Sends all that was added, or fails; afterwards nothing is added any more. A
// failed or cancelled send leaves the stream with an unknown part sent: close it.
//   net::Send send(stream, scope);
//   send.Add(head); send.Add(body);
//   absl::Status sent = co_await send;
class [[nodiscard]] Send final : public OperationAwaiter<event::SendOperation> {
 public:
  static constexpr int kMaxSlices = event::SendOperation::kMaxSlices;

  Send(ByteStream& stream, event::CancelScope& scope) : OperationAwaiter(scope), stream_(stream) {}
  // The bytes must stay until the end. Empty pieces are dropped, adjacent ones
  // merged. False if there is no slice left: send first.
  bool Add(std::string_view bytes);
  // What this pipe of stream.pipes() holds, after all other bytes. It must stay, too.
  void Add(event::Pipe& pipe) {
    op_.pipe = &pipe;
    bytes_ += pipe.size();
  }
  size_t bytes() const { return bytes_; }
  // For the next wait: see SendOperation::awaits_answer.
  void AwaitAnswer(bool awaits) { op_.awaits_answer = awaits; }

  AwaiterOf<Send> operator co_await() { return AwaiterOf<Send>(*this); }
  absl::Status await_resume();

 private:
  void StartOperation(event::SendOperation& op) override { stream_.StartSend(op); }
  void CancelOperation(event::SendOperation& op) override { stream_.Cancel(op); }
  ByteStream& stream_;
  size_t bytes_ = 0;
};

// A new connection, without delay (TCP_NODELAY).
//   net::Connect connect(loop, scope, address);
//   absl::StatusOr<std::unique_ptr<ByteStream>> stream = co_await connect;
class [[nodiscard]] Connect final : public OperationAwaiter<event::ConnectOperation> {
 public:
  Connect(event::Loop& loop, event::CancelScope& scope, const SocketAddress& address);
  ~Connect();

  // No wait when the kernel gives no socket: the result is then the error.
  bool await_ready();
  AwaiterOf<Connect> operator co_await() { return AwaiterOf<Connect>(*this); }
  absl::StatusOr<std::unique_ptr<ByteStream>> await_resume();

 private:
  void StartOperation(event::ConnectOperation& op) override;
  void CancelOperation(event::ConnectOperation& op) override;
  event::Loop& loop_;
  SocketAddress address_;
  int socket_error_ = 0;
};

struct AcceptedSocket {
  int fd = -1;  // Owned by who gets it: MakeTcpStream().
  SocketAddress peer;
};

// The next connection of a listening socket. On ResourceExhausted the caller pauses
// (Sleep) before it waits again; other errors of single connections are skipped.
//   net::Accept accept(loop, scope, listen_fd);
//   absl::StatusOr<net::AcceptedSocket> socket = co_await accept;
class [[nodiscard]] Accept final : public OperationAwaiter<event::AcceptOperation> {
 public:
  Accept(event::Loop& loop, event::CancelScope& scope, int listen_fd)
      : OperationAwaiter(scope), loop_(loop) {
    op_.fd = listen_fd;
  }
  AwaiterOf<Accept> operator co_await() { return AwaiterOf<Accept>(*this); }
  absl::StatusOr<AcceptedSocket> await_resume();

 private:
  void StartOperation(event::AcceptOperation& op) override { loop_.engine().StartAccept(op); }
  void CancelOperation(event::AcceptOperation& op) override { loop_.engine().Cancel(op); }
  event::Loop& loop_;
};

// Notices, without reading, that the peer closed its side or that the connection
// broke. A peer that only half-closes looks the same: whether it then still gets
// its answer is the owner's choice, by watching or not.
//
// Lives beside the stream, on the connection; armed once for all its exchanges.
class HangUpWatch {
 public:
  explicit HangUpWatch(ByteStream& stream) : stream_(stream) {}
  HangUpWatch(const HangUpWatch&) = delete;
  HangUpWatch& operator=(const HangUpWatch&) = delete;
  // Must be quiet: not started, hung up, or stopped (checked).
  ~HangUpWatch() = default;

  // From now on a hang-up requests `scope` with Cancelled("the peer closed the
  // connection"), at once if it has happened. Replaces the scope before.
  void Watch(event::CancelScope& scope);
  // Leaves the watch armed but tells nobody.
  void Unwatch() { scope_ = nullptr; }
  // Only known between the first Watch() and Stop().
  bool hung_up() const { return hung_up_; }

  // co_await watch.Stop(): disarms it, and resumes when nothing is pending.
  class [[nodiscard]] Stopped {
   public:
    explicit Stopped(HangUpWatch& watch) : watch_(watch) {}
    bool await_ready() const noexcept { return !watch_.op_.pending(); }
    void await_suspend(std::coroutine_handle<> waiter) noexcept {
      watch_.waiter_ = waiter;
      watch_.stream_.Cancel(watch_.op_);
    }
    void await_resume() const noexcept {}

   private:
    HangUpWatch& watch_;
  };
  Stopped Stop() {
    scope_ = nullptr;
    return Stopped(*this);
  }

 private:
  static void OnComplete(event::Operation& op);

  ByteStream& stream_;
  event::CancelScope* scope_ = nullptr;
  event::HangUpOperation op_;
  std::coroutine_handle<> waiter_;
  bool hung_up_ = false;
};

}  // namespace portico::net

#endif  // DATAPLANE_NET_AWAIT_H_
