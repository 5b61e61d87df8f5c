#include "dataplane/event/cancel.h"

#include <utility>

#include "dataplane/base/check.h"

namespace portico::event {

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

ChildScope::ChildScope(CancelScope& parent) : parent_(parent) {
  parent_.Link(*this);
  if (parent_.requested()) Request(parent_.reason());
}

ChildScope::~ChildScope() { parent_.Unlink(*this); }

void Deadline::Fire(Timer& timer) {
  auto* self = static_cast<Deadline*>(timer.context);
  self->scope_.Request(absl::DeadlineExceededError(self->what_));
}

bool MovingDeadline::Stalled() {
  const uint64_t made = progress_->made();
  if (made != std::exchange(made_, made)) seen_at_ = loop_.now();
  return loop_.now() - seen_at_ >= period_;
}

void MovingDeadline::Fire(Timer& timer) {
  auto* self = static_cast<MovingDeadline*>(timer.context);
  if (self->scope_ == nullptr) return;
  const base::MonotonicNanos now = self->loop_.now();
  if (self->when_ <= now && self->progress_ != nullptr && !self->Stalled())
    self->when_ = now + self->period_ / kLooks;
  if (self->when_ > now) {
    self->loop_.timers().Arm(timer, self->when_);
    return;
  }
  std::exchange(self->scope_, nullptr)->Request(absl::DeadlineExceededError(self->what_));
}

}  // namespace portico::event
