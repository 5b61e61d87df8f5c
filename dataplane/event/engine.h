// The kernel's side of a loop, behind which are io_uring and epoll; see
// engine_factory.h for how one is chosen.
#ifndef DATAPLANE_EVENT_ENGINE_H_
#define DATAPLANE_EVENT_ENGINE_H_

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "dataplane/event/operation.h"
#include "dataplane/event/pipe.h"

namespace portico::event {

// What an engine has done. Written by its thread, read by any.
struct EngineStats {
  std::atomic<uint64_t> system_calls{0};
  std::atomic<uint64_t> completions{0};
  // Receives that found bytes but none of the buffers lent to the kernel.
  std::atomic<uint64_t> buffer_shortages{0};
  // Sizes of buffers that the kernel would not borrow: receives of these wait for bytes
  // first, which costs one more completion each.
  std::atomic<uint64_t> buffer_refusals{0};
  // What is lent to the kernel now, in bytes.
  std::atomic<uint64_t> lent_buffer_bytes{0};
};

// Not thread-safe but for Wake() and stats(). At most one receive, one send and one hang-up
// watch are pending per socket.
class Engine {
 public:
  virtual ~Engine() = default;

  virtual void StartReceive(ReceiveOperation& op) = 0;
  virtual void StartSend(SendOperation& op) = 0;
  virtual void StartAccept(AcceptOperation& op) = 0;
  virtual void StartConnect(ConnectOperation& op) = 0;
  virtual void StartHangUpWatch(HangUpOperation& op) = 0;

  // Asks a pending operation to end; it completes from the loop, with -ECANCELED
  // or, if it was faster, its result. An engine may have accepted more connections than
  // it was asked for: who stops accepting starts and cancels again until the result is
  // -ECANCELED, as Close() of the listening socket closes what nobody took.
  virtual void Cancel(Operation& op) = 0;

  // Forgets a socket of which nothing is pending, and closes it.
  virtual void Close(int fd) = 0;

  // Waits at most `timeout_nanos` (negative: for ever, 0: not at all) for
  // completions and delivers them, a bounded number in one call. Between the wait
  // and the first delivery it calls `after_wait`, where the loop reads its clocks.
  virtual void Poll(int64_t timeout_nanos, absl::FunctionRef<void()> after_wait) = 0;

  // Where pipes for receives and sends come from; nullptr if this engine does not move
  // bytes through them: they then go through buffers.
  virtual PipePool* pipes() { return nullptr; }

  // Ends a Poll() that waits, now or the next one. Thread-safe.
  virtual void Wake() = 0;

  const EngineStats& stats() const { return stats_; }

 protected:
  // One writer: no locked instruction.
  static void Count(std::atomic<uint64_t>& counter, uint64_t more) {
    counter.store(counter.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
  }

  EngineStats stats_;
};

// Errors: ResourceExhausted when the kernel gives no descriptor.
absl::StatusOr<std::unique_ptr<Engine>> CreateEpollEngine();

}  // namespace portico::event

#endif  // DATAPLANE_EVENT_ENGINE_H_
