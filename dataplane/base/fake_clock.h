// A clock that moves only when told to.
#ifndef DATAPLANE_BASE_FAKE_CLOCK_H_
#define DATAPLANE_BASE_FAKE_CLOCK_H_

#include <atomic>

#include "dataplane/base/clock.h"

namespace portico::base {

// For tests. Both clocks advance together. Thread-safe.
class FakeClock final : public Clock {
 public:
  // Starts at 1000 s, and at 2026-01-01 00:00:00 UTC.
  FakeClock() = default;

  MonotonicNanos Monotonic() const override { return monotonic_.load(std::memory_order_acquire); }
  UnixNanos Unix() const override { return unix_.load(std::memory_order_acquire); }

  void Advance(int64_t nanos) {
    monotonic_.fetch_add(nanos, std::memory_order_acq_rel);
    unix_.fetch_add(nanos, std::memory_order_acq_rel);
  }
  // Moves only the wall clock, as an administrator or NTP does.
  void SetUnix(UnixNanos nanos) { unix_.store(nanos, std::memory_order_release); }

 private:
  std::atomic<MonotonicNanos> monotonic_{1000 * kNanosPerSecond};
  std::atomic<UnixNanos> unix_{1'767'225'600 * kNanosPerSecond};
};

}  // namespace portico::base

#endif  // DATAPLANE_BASE_FAKE_CLOCK_H_
