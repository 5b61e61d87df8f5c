// Asking a family of operations to end.
#ifndef DATAPLANE_EVENT_CANCEL_H_
#define DATAPLANE_EVENT_CANCEL_H_

#include "absl/status/status.h"
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
  ~CancelScope();  // Nothing may be linked (checked).
  CancelScope(const CancelScope&) = delete;
  CancelScope& operator=(const CancelScope&) = delete;

  // The first reason stays. `reason` is not OK.
  void Request(absl::Status reason);
  bool requested() const { return !reason_.ok(); }
  const absl::Status& reason() const { return reason_; }
  // Back to the beginning. Nothing may be linked.
  void Reset();

  void Link(Cancellable& waiter);
  void Unlink(Cancellable& waiter);

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
  Deadline(Loop& loop, CancelScope& scope, base::MonotonicNanos when, const char* what);
  // Unarmed until Extend().
  Deadline(Loop& loop, CancelScope& scope, const char* what);
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  // Moves it, or arms it again.
  void Extend(base::MonotonicNanos when);
  void Disarm();

 private:
  static void Fire(Timer& timer);
  Loop& loop_;
  CancelScope& scope_;
  const char* what_;
  Timer timer_;
};

}  // namespace portico::event

#endif  // DATAPLANE_EVENT_CANCEL_H_
