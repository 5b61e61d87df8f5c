#include "dataplane/event/cancel.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "dataplane/base/check.h"

namespace portico::event {

CancelScope::~CancelScope() { PORTICO_CHECK(head_ == nullptr); }

void CancelScope::Request(absl::Status reason) {
  PORTICO_CHECK(!reason.ok());
  if (requested()) return;
  reason_ = std::move(reason);
  // A waiter may unlink itself while it is asked, but never another one: nobody
  // resumes in here.
  for (Cancellable* waiter = head_; waiter != nullptr;) {
    Cancellable* next = waiter->next_;
    waiter->RequestCancel();
    waiter = next;
  }
}

void CancelScope::Reset() {
  PORTICO_CHECK(head_ == nullptr);
  reason_ = absl::OkStatus();
}

void CancelScope::Link(Cancellable& waiter) {
  waiter.previous_ = nullptr;
  waiter.next_ = head_;
  if (head_ != nullptr) head_->previous_ = &waiter;
  head_ = &waiter;
}

void CancelScope::Unlink(Cancellable& waiter) {
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

ChildScope::ChildScope(CancelScope& parent) : parent_(parent) {
  parent_.Link(*this);
  if (parent_.requested()) Request(parent_.reason());
}

ChildScope::~ChildScope() { parent_.Unlink(*this); }

Deadline::Deadline(Loop& loop, CancelScope& scope, const char* what) : loop_(loop), scope_(scope), what_(what) {
  timer_.context = this;
  timer_.on_fire = &Deadline::Fire;
}

Deadline::Deadline(Loop& loop, CancelScope& scope, base::MonotonicNanos when, const char* what)
    : Deadline(loop, scope, what) {
  Extend(when);
}

void Deadline::Extend(base::MonotonicNanos when) { loop_.timers().Arm(timer_, when); }

void Deadline::Disarm() { loop_.timers().Disarm(timer_); }

void Deadline::Fire(Timer& timer) {
  auto* self = static_cast<Deadline*>(timer.context);
  self->scope_.Request(absl::DeadlineExceededError(self->what_));
}

}  // namespace portico::event
