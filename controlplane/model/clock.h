// Time as the control plane sees it. Nothing else in controlplane/ reads a clock.
#ifndef CONTROLPLANE_MODEL_CLOCK_H_
#define CONTROLPLANE_MODEL_CLOCK_H_

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "absl/time/time.h"

namespace portico::control {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // Wall time. Jumps when the machine's clock is set.
  virtual absl::Time Now() const = 0;
  // For measuring how long something took: never jumps, and only differences mean anything.
  virtual absl::Time Steady() const { return Now(); }
};

// The system's clock.
class RealClock final : public Clock {
 public:
  absl::Time Now() const override;
  absl::Time Steady() const override;
};

// A clock for tests: stands still until told otherwise.
class FakeClock final : public Clock {
 public:
  // Starts at `start`.
  explicit FakeClock(absl::Time start = absl::FromUnixSeconds(1'000'000'000));
  absl::Time Now() const override;
  absl::Time Steady() const override;
  void Advance(absl::Duration by);
  // Sets the wall clock, forwards or back, without any time passing.
  void SetWall(absl::Time now);

 private:
  mutable std::mutex mutex_;
  absl::Time now_;
  absl::Time steady_;
};

// A moment from now on the clock that gRPC waits on.
std::chrono::system_clock::time_point SystemDeadline(absl::Duration from_now);

// Calls `tick` on a thread of its own every `period`, until it is destroyed. A tick that takes
// longer than the period delays the next one; missed ticks are not made up for.
class Ticker {
 public:
  Ticker(absl::Duration period, std::function<void()> tick);
  ~Ticker();
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

 private:
  void Run(absl::Duration period);

  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stop_ = false;
  const std::function<void()> tick_;
  std::thread thread_;  // Last: it uses the members above.
};

// Calls `work` on a thread of its own soon after Notify. Notifications that come while it runs, or
// before the rest that it asked for by its result is over, cause one more call, not several.
class Notifier {
 public:
  explicit Notifier(std::function<absl::Duration()> work);
  // Does not wait for a rest to end; waits for a running call.
  ~Notifier();
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  // Thread-safe; returns at once.
  void Notify();

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable wakes_;
  bool wanted_ = false;
  bool stop_ = false;
  const std::function<absl::Duration()> work_;
  std::thread thread_;  // Last: it uses the members above.
};

}  // namespace portico::control

#endif  // CONTROLPLANE_MODEL_CLOCK_H_
