// I/O operations as completions: started once, completed once.
#ifndef DATAPLANE_EVENT_OPERATION_H_
#define DATAPLANE_EVENT_OPERATION_H_

#include <sys/socket.h>
#include <sys/uio.h>

#include <coroutine>
#include <cstdint>

#include "dataplane/base/buffer.h"

namespace portico::event {

class CancelScope;

// The state of one operation. It lives in the frame or object of whoever started
// it, does not move, and must not be destroyed while pending() (checked).
//
// Completion: `on_complete(op)` is called once from the loop, never from inside
// Start...(), with `result` set: >= 0 success, otherwise -errno (-ECANCELED after
// Cancel). Inside the callback the operation is no longer pending and may be
// started again or destroyed.
class Operation {
 public:
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
  int32_t result_ = 0;
  // For the engine's queues.
  Operation* next_ = nullptr;
  Operation* previous_ = nullptr;
};

// Lets implementations of Engine and ByteStream move an operation's state.
class OperationAccess {
 public:
  static void SetPending(Operation& op) { op.pending_ = true; }
  static bool cancel_wanted(const Operation& op) { return op.cancel_wanted_; }
  static void SetCancelWanted(Operation& op) { op.cancel_wanted_ = true; }
  static Operation*& next(Operation& op) { return op.next_; }
  static Operation*& previous(Operation& op) { return op.previous_; }
  // Clears pending, stores the result, calls on_complete.
  static void Complete(Operation& op, int32_t result);
};

// Completes with the number of bytes received, 0 at end of stream. The buffer is
// taken from `pool` only when bytes are there, so a resting connection holds none.
struct ReceiveOperation : Operation {
  int fd = -1;
  base::BufferPool* pool = nullptr;
  size_t size_hint = base::BufferPool::kSmall;
  // On completion: the bytes, size() set. If a buffer is set before the start and
  // has room, bytes are appended to it instead.
  base::Buffer buffer;
};

// Completes when all bytes are taken (the sum as result), or with an error. What
// `slices` point to must stay until then.
struct SendOperation : Operation {
  int fd = -1;
  static constexpr int kMaxSlices = 16;
  iovec slices[kMaxSlices];
  int slice_count = 0;
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
