// How long to wait before trying again.
#ifndef DATAPLANE_DISCOVERY_BACKOFF_H_
#define DATAPLANE_DISCOVERY_BACKOFF_H_

#include <algorithm>
#include <cstdint>

namespace portico::discovery_client {

// Doubles from `min` to `max`; each wait is jittered to 50 to 100 % of that, so
// that a fleet does not come back all at once.
class Backoff {
 public:
  Backoff(int64_t min_nanos, int64_t max_nanos) : min_(min_nanos), max_(max_nanos), next_(min_) {}

  // The next wait in nanoseconds. `random` is in [0, 1).
  int64_t Next(double random) {
    const int64_t base = next_;
    next_ = std::min(max_, next_ * 2);
    return base / 2 + static_cast<int64_t>(static_cast<double>(base) / 2 * random);
  }
  void Reset() { next_ = min_; }

 private:
  const int64_t min_, max_;
  int64_t next_;
};

}  // namespace portico::discovery_client

#endif  // DATAPLANE_DISCOVERY_BACKOFF_H_
