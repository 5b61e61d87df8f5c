#include "controlplane/model/clock.h"

#include <utility>

#include "absl/time/clock.h"

namespace portico::control {
namespace {

#ifdef PORTICO_SANITIZED
// TSan does not know the system call that waits on the steady clock.
using WaitClock = std::chrono::system_clock;
#else
// Setting the machine's clock back must not stop what waits.
using WaitClock = std::chrono::steady_clock;
#endif

WaitClock::time_point WaitDeadline(absl::Duration from_now) {
  return WaitClock::now() +
         std::chrono::duration_cast<WaitClock::duration>(absl::ToChronoNanoseconds(from_now));
}

}  // namespace

std::chrono::system_clock::time_point SystemDeadline(absl::Duration from_now) {
  return std::chrono::system_clock::now() +
         std::chrono::duration_cast<std::chrono::system_clock::duration>(
             absl::ToChronoNanoseconds(from_now));
}

absl::Time RealClock::Now() const { return absl::Now(); }

absl::Time RealClock::Steady() const {
  return absl::UnixEpoch() +
         absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

FakeClock::FakeClock(absl::Time start) : now_(start), steady_(start) {}

absl::Time FakeClock::Now() const {
  std::lock_guard lock(mutex_);
  return now_;
}

absl::Time FakeClock::Steady() const {
  std::lock_guard lock(mutex_);
  return steady_;
}

void FakeClock::Advance(absl::Duration by) {
  std::lock_guard lock(mutex_);
  now_ += by;
  steady_ += by;
}

void FakeClock::SetWall(absl::Time now) {
  std::lock_guard lock(mutex_);
  now_ = now;
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
  while (!stopped_.wait_until(lock, WaitDeadline(period), [this] { return stop_; })) {
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
      wakes_.wait_until(lock, WaitDeadline(rest), [this] { return stop_; });
  }
}

}  // namespace portico::control
