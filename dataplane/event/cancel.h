// Asking a family of operations to end.
#ifndef DATAPLANE_EVENT_CANCEL_H_
#define DATAPLANE_EVENT_CANCEL_H_

#include <cstdint>

#include "absl/status/status.h"
#include "dataplane/base/check.h"
#include "dataplane/event/loop.h"
#include "dataplane/event/timer.h"

namespace portico::event {

// Something that can be asked to end. Linked into a CancelScope while it waits.
class Cancellable {
 public:
  // Asks; never resumes anybody inline.
  virtual void RequestCancel() = 0;

 protected:
  Cancellable() = default;
  ~Cancellable() = default;

 private:
  friend class CancelScope;
  Cancellable* next_ = nullptr;
  Cancellable* previous_ = nullptr;
};

// What an exchange (or a connection) waits for. Request() asks everything that is
// linked to end and makes everything started later end at once; each waiter still
// resumes on its own completion. Not thread-safe.
class CancelScope {
 public:
  CancelScope() = default;
  ~CancelScope() { PORTICO_CHECK(head_ == nullptr); }  // Nothing may be linked.
  CancelScope(const CancelScope&) = delete;
  CancelScope& operator=(const CancelScope&) = delete;

  // The first reason stays. `reason` is not OK.
  void Request(absl::Status reason);
  bool requested() const { return !reason_.ok(); }
  const absl::Status& reason() const { return reason_; }
  // Back to the beginning. Nothing may be linked.
  void Reset();

  void Link(Cancellable& waiter) {
    waiter.previous_ = nullptr;
    waiter.next_ = head_;
    if (head_ != nullptr) head_->previous_ = &waiter;
    head_ = &waiter;
  }
  void Unlink(Cancellable& waiter) {
    if (waiter.next_ != nullptr) waiter.next_->previous_ = waiter.previous_;
    if (waiter.previous_ != nullptr) {
      waiter.previous_->next_ = waiter.next_;
    } else {
      PORTICO_CHECK(head_ == &waiter);
      head_ = waiter.next_;
    }
    waiter.next_ = nullptr;
    waiter.previous_ = nullptr;
  }

 private:
  Cancellable* head_ = nullptr;
  absl::Status reason_;
};

// A scope inside another: a connection's and its exchanges'. Requested with the
// parent, but not the other way round. The parent outlives it.
class ChildScope : public CancelScope, private Cancellable {
 public:
  explicit ChildScope(CancelScope& parent);
  ~ChildScope();

 private:
  void RequestCancel() override { Request(parent_.reason()); }
  CancelScope& parent_;
};

// Requests `scope` with DeadlineExceeded("...") at a time, unless destroyed
// before.
class Deadline {
 public:
  // `what` names the deadline in the status; a literal.
  Deadline(Loop& loop, CancelScope& scope, base::MonotonicNanos when, const char* what)
      : Deadline(loop, scope, what) {
    Extend(when);
  }
  // Unarmed until Extend().
  Deadline(Loop& loop, CancelScope& scope, const char* what)
      : loop_(loop), scope_(scope), what_(what) {
    timer_.context = this;
    timer_.on_fire = &Deadline::Fire;
  }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  // Moves it, or arms it again.
  void Extend(base::MonotonicNanos when) { loop_.timers().Arm(timer_, when); }
  void Disarm() { loop_.timers().Disarm(timer_); }

 private:
  static void Fire(Timer& timer);
  Loop& loop_;
  CancelScope& scope_;
  const char* what_;
  Timer timer_;
};

// Something that can tell how far it has come.
class Progress {
 public:
  // Grows with it; constant where that is not known.
  virtual uint64_t made() const = 0;

 protected:
  ~Progress() = default;
};

// A deadline that is moved far more often than it passes: one for all the waits of a
// connection. Moving it costs a few stores: the timer stays where it is, and is armed
// again when it fires too early. So it may stay armed while there is no deadline.
class MovingDeadline {
 public:
  explicit MovingDeadline(Loop& loop) : loop_(loop) {
    timer_.context = this;
    timer_.on_fire = &MovingDeadline::Fire;
  }
  MovingDeadline(const MovingDeadline&) = delete;
  MovingDeadline& operator=(const MovingDeadline&) = delete;

  // `scope` is requested with DeadlineExceeded(what) at `when`, unless Clear() or
  // another Set() comes first. `what` is a literal.
  void Set(CancelScope& scope, base::MonotonicNanos when, const char* what) {
    scope_ = &scope;
    progress_ = nullptr;
    what_ = what;
    when_ = when;
    if (!timer_.armed() || when < timer_.deadline()) loop_.timers().Arm(timer_, when);
  }
  // For something long that is not to stand still: passes `period` (nanoseconds, more
  // than 0) after the last progress that was seen. Looks every quarter of it, so that it
  // may be that much late.
  void SetIdle(CancelScope& scope, int64_t period, const char* what, const Progress& progress) {
    Set(scope, loop_.now() + period / kLooks, what);
    progress_ = &progress;
    period_ = period;
    seen_at_ = loop_.now();
  }
  // Must come before the scope ends.
  void Clear() { scope_ = nullptr; }

 private:
  static constexpr int64_t kLooks = 4;  // In a period.

  static void Fire(Timer& timer);
  // Whether it has stood still for a whole period.
  bool Stalled();
  Loop& loop_;
  CancelScope* scope_ = nullptr;
  const char* what_ = nullptr;
  base::MonotonicNanos when_ = 0;
  const Progress* progress_ = nullptr;
  int64_t period_ = 0;
  uint64_t made_ = 0;                 // When it was last looked at.
  base::MonotonicNanos seen_at_ = 0;  // That it had grown, or that it began.
  Timer timer_;
};

}  // namespace portico::event

#endif  // DATAPLANE_EVENT_CANCEL_H_
