// The generic cell rate algorithm as arithmetic on one number: the theoretical
// arrival time (TAT), the moment at which a key is at rest again.
#ifndef DATAPLANE_FILTERS_RATE_LIMIT_GCRA_H_
#define DATAPLANE_FILTERS_RATE_LIMIT_GCRA_H_

#include <algorithm>
#include <cstdint>

#include "dataplane/base/clock.h"

namespace portico::filters {

// A rate, compiled. All durations are nanoseconds.
struct GcraRate {
  // What one request costs; at least 1, so that no rate is above 10^9 a second.
  int64_t interval = 1;
  // How far ahead of now a TAT may be for one more request to be admitted: the
  // cost of `burst` - 1 requests, capped at about 70 years.
  int64_t tolerance = 0;
};

inline GcraRate MakeGcraRate(uint64_t requests, int64_t per_nanos, uint64_t burst) {
  constexpr int64_t kMaxTolerance = int64_t{1} << 61;
  GcraRate rate;
  rate.interval = std::max<int64_t>(1, per_nanos / static_cast<int64_t>(std::max<uint64_t>(1, requests)));
  const int64_t more = static_cast<int64_t>(std::max<uint64_t>(1, burst)) - 1;
  rate.tolerance = more > kMaxTolerance / rate.interval ? kMaxTolerance : more * rate.interval;
  return rate;
}

struct GcraDecision {
  bool admitted = false;
  int64_t tat = 0;          // To be stored; meaningful when admitted.
  int64_t remaining = 0;    // How many more would be admitted right now.
  int64_t rest_in = 0;      // Until the whole burst is available again.
  int64_t retry_after = 0;  // Until one request is admitted; 0 if admitted.
};

// REQUIRES: now >= 0.
inline GcraDecision DecideGcra(const GcraRate& rate, int64_t tat, base::MonotonicNanos now) {
  GcraDecision decision;
  const int64_t ahead = std::max(tat, now) - now;
  decision.admitted = ahead <= rate.tolerance;
  const int64_t after = decision.admitted ? ahead + rate.interval : ahead;
  decision.tat = now + after;
  decision.rest_in = after;
  if (after <= rate.tolerance) decision.remaining = (rate.tolerance - after) / rate.interval + 1;
  if (!decision.admitted) decision.retry_after = ahead - rate.tolerance;
  return decision;
}

}  // namespace portico::filters

#endif  // DATAPLANE_FILTERS_RATE_LIMIT_GCRA_H_
