// The engine for kernels with io_uring: everything of a turn in one system call.
#ifndef DATAPLANE_EVENT_URING_ENGINE_H_
#define DATAPLANE_EVENT_URING_ENGINE_H_

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "dataplane/base/buffer.h"
#include "dataplane/event/engine.h"
#include "dataplane/event/operation.h"
#include "dataplane/event/pipe.h"
#include "dataplane/event/uring_buffers.h"
#include "dataplane/event/uring_ring.h"

namespace portico::event {

// An operation is one submission, whose user_data is its address, and one completion. A
// small send that awaits its answer has a completion only if it failed or would have to
// wait: otherwise it would end the wait for the answer. A receive without a buffer lets the kernel
// choose one when bytes are there; more than one submission is made for a send that took a part,
// for a receive that found no buffer, and where there is no group of buffers.
//
// The thread of the first Poll() must make all others. Operations may be started
// before it, by another thread; they wait for it.
class UringEngine final : public Engine {
 public:
  // `ring` is open and not enabled. Takes ownership of both; `wake_fd` is an eventfd.
  // `gather_micros` as for CreateEngines(); 0 where the ring has no minimum wait.
  UringEngine(std::unique_ptr<UringRing> ring, int wake_fd, unsigned gather_micros);
  ~UringEngine() override;

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
  // A listening socket. One submission brings connection after connection; those that
  // nobody waits for are kept.
  struct Listener {
    int fd = -1;  // -1: closed, and kept until the kernel has let go of it.
    bool armed = false;
    bool cancelled = false;
    AcceptOperation* waiting = nullptr;
    std::vector<int> kept;
  };

  // `engine_state` of an operation.
  enum State : uint8_t {
    kInKernel = 0,     // Submitted; a receive with its buffer from the start.
    kBeforeStart = 1,  // In before_start_.
    kReady = 2,        // In ready_, with its result.
    kListening = 3,    // An accept that waits at its listener.
    kPolling = 4,      // A receive without a group that waits for bytes, then
    kOwnBuffer = 5,    // gets a buffer.
    kQuiet = 6,        // A send in quiet_sends_.
    kPipe = 7,         // Waits for the socket, to move bytes into or out of a pipe.
    kFirstGroup = 8,   // A receive from group `state - kFirstGroup`.
  };

  // Bits of sockets_: what is pending, and what is known.
  enum Socket : uint8_t {
    kReceiving = 1,
    kSending = 2,
    kWatching = 4,
    kListens = 8,
    kHasMore = 16,  // After the last receive more bytes were there.
  };

  static uint8_t BitOf(Operation::Kind kind);
  uint8_t& SocketOf(int fd);
  void Begin(Operation& op, Operation::Kind kind, int fd);
  // Hands the operation to the kernel, or keeps it until there is a ring.
  void Submit(Operation& op);
  void SubmitNow(Operation& op);
  void SubmitReceive(ReceiveOperation& op, bool poll_first);
  void SubmitPoll(Operation& op, short events);
  void SubmitSend(SendOperation& op);
  // If the send is one that may be quiet.
  bool SubmitQuietly(SendOperation& op);
  // splice(2) here, and the ring only to wait for the socket: the kernel has other
  // threads do IORING_OP_SPLICE. Nothing when it waits.
  std::optional<int32_t> TryReceiveIntoPipe(ReceiveOperation& op);
  std::optional<int32_t> TrySendFromPipe(SendOperation& op);
  void PrepareSend(SendOperation& op, io_uring_sqe* submission, int flags);
  void SubmitCancel(uint64_t user_data);
  // nullptr: no group for these.
  UringBuffers* BuffersFor(base::BufferPool& pool, size_t size_hint);
  // Looks after what is lent. True if it is more than at first.
  bool AgeBuffers();
  void ShrinkBuffers();

  UringRing::Wait WaitFor(int64_t timeout_nanos, bool buffers_grown) const;
  // Whether it is worth while to wait for several completions.
  bool ShouldGather() const;
  void NoteRest(const ReceiveOperation& op);
  // After an Enter(): quiet sends without a completion have succeeded.
  void EndQuietSends();
  // A completion came of one of them.
  void LeaveQuietSends(Operation& op);

  // Delivers later in this Poll() or in the next.
  void Finish(Operation& op, int32_t result);
  void Complete(Operation& op, int32_t result);
  void Deliver();
  void OnCompletion(const io_uring_cqe& completion);
  void OnOperation(Operation& op, const io_uring_cqe& completion);
  void OnReceive(ReceiveOperation& op, const io_uring_cqe& completion);
  void TakeBuffer(ReceiveOperation& op, UringBuffers& group, const io_uring_cqe& completion);
  void OnSend(SendOperation& op, int32_t result);
  // What was waited for, with the result of the poll.
  void OnSocketForPipe(Operation& op, int32_t result);

  // uring_accept.cc
  void SubmitAccept(AcceptOperation& op);
  void CancelAccept(AcceptOperation& op);
  void CloseListener(int fd);
  void OnAccept(Listener& listener, const io_uring_cqe& completion);
  void OnAcceptEnded(Listener& listener, int32_t result);
  void Arm(Listener& listener);
  void Disarm(Listener& listener);
  // False if the peer has left already; the socket is then closed.
  bool NamePeer(int fd, AcceptOperation& op);
  // A listener that is closed, and of which the kernel has let go.
  void Forget(const Listener& listener);

  void Start();
  void ArmWake();

  const std::unique_ptr<UringRing> ring_;
  const int wake_fd_;
  const unsigned gather_micros_;
  // By descriptor: bits of Socket.
  std::vector<uint8_t> sockets_;
  std::vector<std::unique_ptr<UringBuffers>> groups_;
  // Not asked for again: pools and capacities for which there could be no group.
  std::vector<std::pair<const base::BufferPool*, size_t>> refused_groups_;
  unsigned completions_since_ageing_ = 0;
  std::vector<std::unique_ptr<Listener>> listeners_;
  // For sends of several slices, by the place of the submission.
  std::vector<msghdr> messages_;
  PipePool pipes_;
  OperationList before_start_;
  OperationList ready_;
  OperationList quiet_sends_;
  bool quiet_cancelled_ = false;
  // Completions so far; it may overflow.
  uint32_t delivered_ = 0;
  // Means over the last ones: completions of a turn that brought any; completions from the start
  // of a receive to its own.
  double mean_batch_ = 1;
  double mean_rest_ = 0;
  uint64_t counted_enters_ = 0;
  uint64_t completions_ = 0;  // Not in stats_ yet.
  uint64_t splices_ = 0;      // Not counted yet.
};

}  // namespace portico::event

#endif  // DATAPLANE_EVENT_URING_ENGINE_H_
