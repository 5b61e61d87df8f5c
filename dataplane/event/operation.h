// I/O operations as completions: started once, completed once.
#ifndef DATAPLANE_EVENT_OPERATION_H_
#define DATAPLANE_EVENT_OPERATION_H_

#include <sys/socket.h>
#include <sys/uio.h>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "dataplane/base/buffer.h"

namespace portico::event {

class CancelScope;
class Pipe;

// The state of one operation. It lives in the frame or object of whoever started
// it, does not move, and must not be destroyed while pending() (checked).
//
// Completion: `on_complete(op)` is called once from the loop, never from inside
// Start...(), with `result` set: >= 0 success, otherwise -errno (-ECANCELED after
// Cancel). Inside the callback the operation is no longer pending and may be
// started again or destroyed.
class Operation {
 public:
  enum class Kind : uint8_t { kNone, kReceive, kSend, kAccept, kConnect, kHangUp };
  using Callback = void (*)(Operation& op);

  Operation() = default;
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  ~Operation();

  bool pending() const { return pending_; }
  int32_t result() const { return result_; }

  // Set by the starter before Start...().
  Callback on_complete = nullptr;
  void* context = nullptr;

 private:
  friend class OperationAccess;  // For engines and byte streams.
  bool pending_ = false;
  bool cancel_wanted_ = false;
  Kind kind_ = Kind::kNone;
  uint8_t engine_state_ = 0;
  int32_t result_ = 0;
  // For the engine's queues.
  Operation* next_ = nullptr;
  Operation* previous_ = nullptr;
};

// Lets implementations of Engine and ByteStream move an operation's state.
class OperationAccess {
 public:
  // Marks the start. Nothing may be pending (checked).
  static void Begin(Operation& op, Operation::Kind kind);
  static Operation::Kind kind(const Operation& op) { return op.kind_; }
  // A byte for the engine's own use, 0 at the start.
  static uint8_t& engine_state(Operation& op) { return op.engine_state_; }
  static uint8_t engine_state(const Operation& op) { return op.engine_state_; }
  static bool cancel_wanted(const Operation& op) { return op.cancel_wanted_; }
  static void SetCancelWanted(Operation& op) { op.cancel_wanted_ = true; }
  // A result that is delivered later: Complete(op, op.result()).
  static void SetResult(Operation& op, int32_t result) { op.result_ = result; }
  static Operation*& next(Operation& op) { return op.next_; }
  static Operation*& previous(Operation& op) { return op.previous_; }
  // Clears pending, stores the result, calls on_complete.
  static void Complete(Operation& op, int32_t result);
};

// Operations in a row, linked through themselves.
class OperationList {
 public:
  bool empty() const { return head_ == nullptr; }
  Operation* front() const { return head_; }
  void PushBack(Operation& op);
  void Remove(Operation& op);
  Operation* PopFront();
  // Puts all of `other` before its own.
  void Prepend(OperationList& other) {
    if (other.empty()) return;
    while (Operation* op = PopFront()) other.PushBack(*op);
    Swap(other);
  }
  // Takes over all of `other`.
  void Swap(OperationList& other) {
    std::swap(head_, other.head_);
    std::swap(tail_, other.tail_);
  }

 private:
  Operation* head_ = nullptr;
  Operation* tail_ = nullptr;
};

// Completes with the number of bytes received, 0 at end of stream. The buffer is
// taken from `pool` only when bytes are there, so a resting connection holds none.
struct ReceiveOperation : Operation {
  int fd = -1;
  base::BufferPool* pool = nullptr;
  // The capacity of a new buffer, in bytes.
  size_t size_hint = base::BufferPool::kSmall;
  // On completion: the bytes, size() set. If a buffer is set before the start and
  // has room, bytes are appended to it instead; it then also stays at the end of
  // stream and after an error.
  base::Buffer buffer;
  // If set, an empty pipe of Engine::pipes(): at most `size_hint` bytes are moved into
  // it, no buffer is used and `pool` is not needed.
  Pipe* pipe = nullptr;
};

// Completes when all bytes are taken (the sum as result, at most 2^31 - 1), or with
// an error. What `slices` point to must stay until then; the slices themselves are
// used up by a send that takes several steps.
struct SendOperation : Operation {
  int fd = -1;
  static constexpr int kMaxSlices = 16;
  iovec slices[kMaxSlices];
  int slice_count = 0;
  // If set, a pipe of Engine::pipes() whose bytes follow the slices.
  Pipe* pipe = nullptr;
  // The starter does nothing before the peer answers on the same socket, for which a
  // receive is pending: where that spares a system call, the completion may come as late
  // as the next one of the loop, at most 10 ms later, and before that of the answer.
  bool awaits_answer = false;

  // The engine's progress, reset by it at the start.
  int first_slice = 0;
  int32_t sent = 0;
};

// Completes with the new socket (non-blocking, close-on-exec).
struct AcceptOperation : Operation {
  int fd = -1;
  sockaddr_storage peer;
  socklen_t peer_length = 0;
};

// Completes with 0 when connected.
struct ConnectOperation : Operation {
  int fd = -1;
  sockaddr_storage peer;
  socklen_t peer_length = 0;
};

// Completes with 0 when the peer closed its side or the connection broke,
// without reading. One per socket.
struct HangUpOperation : Operation {
  int fd = -1;
};

}  // namespace portico::event

#endif  // DATAPLANE_EVENT_OPERATION_H_
