// One worker's loop: completions, timers, posted work.
#ifndef DATAPLANE_EVENT_LOOP_H_
#define DATAPLANE_EVENT_LOOP_H_

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "dataplane/base/buffer.h"
#include "dataplane/base/clock.h"
#include "dataplane/event/engine.h"
#include "dataplane/event/operation.h"
#include "dataplane/event/timer.h"

namespace portico::event {

class Loop {
 public:
  // `clock` outlives the loop.
  Loop(std::unique_ptr<Engine> engine, const base::Clock& clock);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Runs until Stop(). RunOnce() makes one turn, waiting at most
  // `max_wait_nanos`; tests drive the loop with it.
  void Run();
  void RunOnce(int64_t max_wait_nanos);

  // Thread-safe. Run() returns after the current turn; called before, at once.
  void Stop();
  // Thread-safe. Runs `work` on the loop's thread, in order of posting.
  void Post(std::function<void()> work);

  // Loop's thread only. Runs `handle.resume()` later in this turn; how a
  // coroutine is resumed without growing somebody else's stack.
  void Defer(std::coroutine_handle<> handle);
  // Loop's thread only. Completes a started operation with `result` later in this
  // turn: for byte streams that have the answer at once. Such an operation cannot be
  // cancelled any more: the stream's Cancel() leaves it alone.
  void CompleteLater(Operation& op, int32_t result);

  // Read once a turn, so equal within one.
  base::MonotonicNanos now() const { return now_; }
  base::UnixNanos unix_now() const { return unix_now_; }

  Engine& engine() { return *engine_; }
  TimerWheel& timers() { return timers_; }
  // Clients and upstreams draw from different pools, so that waiting requests
  // cannot hold what responses need.
  base::BufferPool& downstream_buffers() { return downstream_buffers_; }
  base::BufferPool& upstream_buffers() { return upstream_buffers_; }

 private:
  void ReadClock();
  void RunPosted();
  void RunDeferred();
  bool HasWork() const { return !deferred_.empty() || !completions_.empty(); }

  // Owned by the loop's thread.
  base::BufferPool downstream_buffers_;
  base::BufferPool upstream_buffers_;
  std::unique_ptr<Engine> engine_;
  const base::Clock& clock_;
  TimerWheel timers_;
  base::MonotonicNanos now_ = 0;
  base::UnixNanos unix_now_ = 0;
  std::vector<std::coroutine_handle<>> deferred_;
  std::vector<std::coroutine_handle<>> running_deferred_;
  std::vector<std::function<void()>> running_posted_;
  OperationList completions_;
  bool in_turn_ = false;

  // Shared. The flags spare a turn without posted work the lock.
  std::atomic<bool> has_posted_{false};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;  // Guarded by mutex_.
};

}  // namespace portico::event

#endif  // DATAPLANE_EVENT_LOOP_H_
