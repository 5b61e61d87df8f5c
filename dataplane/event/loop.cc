#include "dataplane/event/loop.h"

#include <utility>

#include "dataplane/base/check.h"

namespace portico::event {
namespace {

// How often deferred work that defers more is followed within one turn.
constexpr int kMaxDeferredRounds = 8;

}  // namespace

Loop::Loop(std::unique_ptr<Engine> engine, const base::Clock& clock) : engine_(std::move(engine)), clock_(clock) {
  ReadClock();
  timers_.Advance(now_);
}

Loop::~Loop() {
  // Suspended tasks would be lost: their owners await them first.
  PORTICO_CHECK(!HasWork());
}

void Loop::Run() {
  while (!stop_.load(std::memory_order_acquire)) RunOnce(-1);
}

void Loop::RunOnce(int64_t max_wait_nanos) {
  PORTICO_CHECK(!in_turn_);
  in_turn_ = true;
  int64_t wait = HasWork() ? 0 : max_wait_nanos;
  if (wait != 0 && timers_.armed() != 0) {
    // The last turn may have taken long.
    ReadClock();
    const int64_t next = timers_.NanosUntilNext(now_);
    if (wait < 0 || next < wait) wait = next;
  }
  engine_->Poll(wait, [this] { ReadClock(); });
  timers_.Advance(now_);
  RunPosted();
  RunDeferred();
  in_turn_ = false;
}

void Loop::Stop() {
  stop_.store(true, std::memory_order_release);
  engine_->Wake();
}

void Loop::Post(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(work));
    has_posted_.store(true, std::memory_order_release);
  }
  engine_->Wake();
}

void Loop::Defer(std::coroutine_handle<> handle) { deferred_.push_back(handle); }

void Loop::CompleteLater(Operation& op, int32_t result) {
  PORTICO_CHECK(op.pending());
  OperationAccess::SetResult(op, result);
  completions_.PushBack(op);
}

void Loop::ReadClock() {
  now_ = clock_.Monotonic();
  unix_now_ = clock_.Unix();
}

void Loop::RunPosted() {
  if (!has_posted_.load(std::memory_order_acquire)) return;
  {
    const std::lock_guard lock(mutex_);
    running_posted_.swap(posted_);
    has_posted_.store(false, std::memory_order_release);
  }
  for (std::function<void()>& work : running_posted_) work();
  running_posted_.clear();
}

void Loop::RunDeferred() {
  for (int round = 0; round < kMaxDeferredRounds && HasWork(); ++round) {
    OperationList completions;
    completions.Swap(completions_);
    while (Operation* op = completions.PopFront()) OperationAccess::Complete(*op, op->result());
    running_deferred_.swap(deferred_);
    for (std::coroutine_handle<> handle : running_deferred_) handle.resume();
    running_deferred_.clear();
  }
}

}  // namespace portico::event
