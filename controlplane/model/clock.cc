#include "controlplane/model/clock.h"

#include <utility>

#include "absl/time/clock.h"

namespace portico::control {

std::chrono::system_clock::time_point SystemDeadline(absl::Duration from_now) {
  // Not the steady clock, because TSan does not know the system call that waits on it.
  return std::chrono::system_clock::now() +
         std::chrono::duration_cast<std::chrono::system_clock::duration>(
             absl::ToChronoNanoseconds(from_now));
}

absl::Time RealClock::Now() const { return absl::Now(); }

FakeClock::FakeClock(absl::Time start) : now_(start) {}

absl::Time FakeClock::Now() const {
  std::lock_guard lock(mutex_);
  return now_;
}

void FakeClock::Advance(absl::Duration by) {
  std::lock_guard lock(mutex_);
  now_ += by;
}

Ticker::Ticker(absl::Duration period, std::function<void()> tick)
    : tick_(std::move(tick)), thread_([this, period] { Run(period); }) {}

Ticker::~Ticker() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stopped_.notify_all();
  thread_.join();
}

void Ticker::Run(absl::Duration period) {
  std::unique_lock lock(mutex_);
  while (!stopped_.wait_until(lock, SystemDeadline(period), [this] { return stop_; })) {
    lock.unlock();
    tick_();
    lock.lock();
  }
}

Notifier::Notifier(std::function<absl::Duration()> work)
    : work_(std::move(work)), thread_([this] { Run(); }) {}

Notifier::~Notifier() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wakes_.notify_all();
  thread_.join();
}

void Notifier::Notify() {
  {
    std::lock_guard lock(mutex_);
    wanted_ = true;
  }
  wakes_.notify_all();
}

void Notifier::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wakes_.wait(lock, [this] { return wanted_ || stop_; });
    if (stop_) return;
    wanted_ = false;
    lock.unlock();
    const absl::Duration rest = work_();
    lock.lock();
    if (rest > absl::ZeroDuration())
      wakes_.wait_until(lock, SystemDeadline(rest), [this] { return stop_; });
  }
}

}  // namespace portico::control
