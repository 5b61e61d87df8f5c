#include "dataplane/event/await.h"

#include <utility>

#include "dataplane/base/check.h"

namespace portico::event {

void Sleep::await_suspend(std::coroutine_handle<> waiter) {
  waiter_ = waiter;
  scope_.Link(*this);
  linked_ = true;
  timer_.context = this;
  timer_.on_fire = &Sleep::Fire;
  loop_.timers().Arm(timer_, deadline_);
}

void Sleep::Fire(Timer& timer) {
  auto* self = static_cast<Sleep*>(timer.context);
  self->fired_ = true;
  // Deferred, so that all timers of this turn have fired before anybody resumes.
  self->loop_.Defer(self->waiter_);
}

void Sleep::RequestCancel() {
  if (fired_) return;
  loop_.timers().Disarm(timer_);
  loop_.Defer(waiter_);
}

absl::Status Sleep::await_resume() {
  if (linked_) scope_.Unlink(*this);
  linked_ = false;
  return fired_ ? absl::OkStatus() : scope_.reason();
}

WaitList::~WaitList() { PORTICO_CHECK(empty()); }

bool WaitList::WakeOne() {
  Waiter* waiter = head_;
  if (waiter == nullptr) return false;
  Remove(*waiter);
  waiter->woken_ = true;
  loop_.Defer(waiter->waiter_);
  return true;
}

void WaitList::WakeAll() {
  while (WakeOne()) {
  }
}

void WaitList::Append(Waiter& waiter) {
  waiter.queued_ = true;
  waiter.next_waiter_ = nullptr;
  waiter.previous_waiter_ = tail_;
  (tail_ == nullptr ? head_ : tail_->next_waiter_) = &waiter;
  tail_ = &waiter;
}

void WaitList::Remove(Waiter& waiter) {
  waiter.queued_ = false;
  Waiter* next = waiter.next_waiter_;
  Waiter* previous = waiter.previous_waiter_;
  (previous == nullptr ? head_ : previous->next_waiter_) = next;
  (next == nullptr ? tail_ : next->previous_waiter_) = previous;
}

void WaitList::Waiter::await_suspend(std::coroutine_handle<> waiter) {
  waiter_ = waiter;
  scope_.Link(*this);
  linked_ = true;
  list_.Append(*this);
}

void WaitList::Waiter::RequestCancel() {
  // Woken already: it resumes as such.
  if (!queued_) return;
  list_.Remove(*this);
  list_.loop().Defer(waiter_);
}

absl::Status WaitList::Waiter::await_resume() {
  if (linked_) scope_.Unlink(*this);
  linked_ = false;
  return woken_ ? absl::OkStatus() : scope_.reason();
}

TaskGroup::~TaskGroup() { PORTICO_CHECK(running_ == 0); }

void TaskGroup::Spawn(Task<void> task) {
  ++running_;
  task.promise().detached = true;
  task.promise().group = this;
  task.Release().resume();
}

Task<void> TaskGroup::Join() {
  CancelScope never;
  while (running_ != 0) {
    const absl::Status woken = co_await idle_.Wait(never);
    PORTICO_CHECK(woken.ok());
  }
}

void internal::GroupChildEnded(TaskGroup& group) noexcept {
  if (--group.running_ == 0) group.idle_.NotifyAll();
}

}  // namespace portico::event
