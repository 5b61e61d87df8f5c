// Time, so that tests can hold it still.
#ifndef DATAPLANE_BASE_CLOCK_H_
#define DATAPLANE_BASE_CLOCK_H_

#include <cstdint>

namespace portico::base {

// Nanoseconds of a clock that never goes back. Only differences mean something.
using MonotonicNanos = int64_t;
// Nanoseconds since 1970-01-01 UTC.
using UnixNanos = int64_t;

inline constexpr int64_t kNanosPerMilli = 1'000'000;
inline constexpr int64_t kNanosPerSecond = 1'000'000'000;

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonotonicNanos Monotonic() const = 0;
  virtual UnixNanos Unix() const = 0;
};

// The machine's clocks. Never destroyed.
const Clock& RealClock();

}  // namespace portico::base

#endif  // DATAPLANE_BASE_CLOCK_H_
