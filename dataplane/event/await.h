// What a task can wait for besides I/O. All of it links into a CancelScope, and
// resumes the waiter from the loop, never inside Set(), Notify...() or Request().
#ifndef DATAPLANE_EVENT_AWAIT_H_
#define DATAPLANE_EVENT_AWAIT_H_

#include <coroutine>
#include <cstddef>

#include "absl/status/status.h"
#include "dataplane/base/clock.h"
#include "dataplane/event/cancel.h"
#include "dataplane/event/loop.h"
#include "dataplane/event/task.h"
#include "dataplane/event/timer.h"

namespace portico::event {

// absl::Status status = co_await Sleep(loop, scope, loop.now() + 5 * kNanosPerMilli);
// OK at the deadline, the scope's reason if it is requested before.
class [[nodiscard]] Sleep final : private Cancellable {
 public:
  Sleep(Loop& loop, CancelScope& scope, base::MonotonicNanos deadline)
      : loop_(loop), scope_(scope), deadline_(deadline) {}
  Sleep(const Sleep&) = delete;
  Sleep& operator=(const Sleep&) = delete;

  bool await_ready() const noexcept { return scope_.requested(); }
  void await_suspend(std::coroutine_handle<> waiter);
  absl::Status await_resume();

 private:
  void RequestCancel() override;
  static void Fire(Timer& timer);

  Loop& loop_;
  CancelScope& scope_;
  base::MonotonicNanos deadline_;
  Timer timer_;
  std::coroutine_handle<> waiter_;
  bool linked_ = false;
  bool fired_ = false;
};

// co_await Yield(loop): lets everything else that is ready run first.
class [[nodiscard]] Yield final {
 public:
  explicit Yield(Loop& loop) : loop_(loop) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) { loop_.Defer(waiter); }
  void await_resume() const noexcept {}

 private:
  Loop& loop_;
};

// The waiters of an Event or a Condition, first in, first out.
class WaitList {
 public:
  explicit WaitList(Loop& loop) : loop_(loop) {}
  WaitList(const WaitList&) = delete;
  WaitList& operator=(const WaitList&) = delete;
  // Nobody may wait (checked).
  ~WaitList();

  bool empty() const { return head_ == nullptr; }
  Loop& loop() const { return loop_; }
  // Defers the first waiter; false if there is none.
  bool WakeOne();
  void WakeAll();

  // OK when woken; the scope's reason when it was requested first.
  class [[nodiscard]] Waiter final : private Cancellable {
   public:
    // With `ready`, does not wait (unless the scope is requested: then the reason).
    Waiter(WaitList& list, CancelScope& scope, bool ready) : list_(list), scope_(scope), woken_(ready) {}
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;

    bool await_ready() const noexcept { return woken_ || scope_.requested(); }
    void await_suspend(std::coroutine_handle<> waiter);
    absl::Status await_resume();

   private:
    friend class WaitList;
    void RequestCancel() override;

    WaitList& list_;
    CancelScope& scope_;
    std::coroutine_handle<> waiter_;
    Waiter* next_waiter_ = nullptr;
    Waiter* previous_waiter_ = nullptr;
    bool linked_ = false;  // into the scope
    bool queued_ = false;  // in the list
    bool woken_ = false;
  };

 private:
  void Append(Waiter& waiter);
  void Remove(Waiter& waiter);

  Loop& loop_;
  Waiter* head_ = nullptr;
  Waiter* tail_ = nullptr;
};

// Happens once, until Reset(). Any number of waiters.
class Event {
 public:
  explicit Event(Loop& loop) : waiters_(loop) {}

  void Set() {
    set_ = true;
    waiters_.WakeAll();
  }
  void Reset() { set_ = false; }
  bool is_set() const { return set_; }
  // absl::Status status = co_await event.Wait(scope);
  WaitList::Waiter Wait(CancelScope& scope) { return {waiters_, scope, set_ && !scope.requested()}; }

 private:
  WaitList waiters_;
  bool set_ = false;
};

// Tells waiters to look again. The waiter checks its predicate in a loop:
//   while (queue.empty()) { if (auto s = co_await changed.Wait(scope); !s.ok()) co_return s; }
class Condition {
 public:
  explicit Condition(Loop& loop) : waiters_(loop) {}

  void NotifyOne() { waiters_.WakeOne(); }
  void NotifyAll() { waiters_.WakeAll(); }
  bool has_waiters() const { return !waiters_.empty(); }
  WaitList::Waiter Wait(CancelScope& scope) { return {waiters_, scope, false}; }

 private:
  WaitList waiters_;
};

// Tasks without an owner whose end somebody awaits: the connections of a worker,
// the streams of a connection. Nothing may be running at the end (checked).
class TaskGroup {
 public:
  explicit TaskGroup(Loop& loop) : idle_(loop) {}
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;
  ~TaskGroup();

  // Starts `task` now.
  void Spawn(Task<void> task);
  size_t running() const { return running_; }
  // Ends when nothing runs, also if it takes for ever: cancel the tasks' scopes
  // first. Tasks spawned meanwhile are waited for.
  Task<void> Join();

 private:
  friend void internal::GroupChildEnded(TaskGroup& group) noexcept;
  Condition idle_;
  size_t running_ = 0;
};

}  // namespace portico::event

#endif  // DATAPLANE_EVENT_AWAIT_H_
