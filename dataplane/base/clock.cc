#include "dataplane/base/clock.h"

#include <time.h>

namespace portico::base {
namespace {

int64_t Read(clockid_t id) {
  timespec now;
  clock_gettime(id, &now);
  return int64_t{now.tv_sec} * kNanosPerSecond + now.tv_nsec;
}

class SystemClock final : public Clock {
 public:
  MonotonicNanos Monotonic() const override { return Read(CLOCK_MONOTONIC); }
  UnixNanos Unix() const override { return Read(CLOCK_REALTIME); }
};

}  // namespace

const Clock& RealClock() {
  static const SystemClock clock;
  return clock;
}

}  // namespace portico::base
