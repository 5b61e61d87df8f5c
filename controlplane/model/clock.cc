#include "controlplane/model/clock.h"

#include <chrono>
#include <utility>

#include "absl/time/clock.h"

namespace portico::control {

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
  // system_clock, because TSan does not know the system call that a steady wait uses.
  while (!stopped_.wait_until(
      lock, std::chrono::system_clock::now() + absl::ToChronoNanoseconds(period),
      [this] { return stop_; })) {
    lock.unlock();
    tick_();
    lock.lock();
  }
}

}  // namespace portico::control
