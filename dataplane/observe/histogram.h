// Latency histograms with fixed buckets, for one thread to write.
#ifndef DATAPLANE_OBSERVE_HISTOGRAM_H_
#define DATAPLANE_OBSERVE_HISTOGRAM_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/observe/worker_metrics.h"

namespace portico::observe {

// Upper bounds in nanoseconds, inclusive: 100 us to 60 s in steps of 1-2-5. What
// is above the last one goes into one more bucket.
inline constexpr std::array<int64_t, 18> kLatencyBounds = {
    100'000,       200'000,       500'000,       1'000'000,      2'000'000,      5'000'000,
    10'000'000,    20'000'000,    50'000'000,    100'000'000,    200'000'000,    500'000'000,
    1'000'000'000, 2'000'000'000, 5'000'000'000, 10'000'000'000, 30'000'000'000, 60'000'000'000,
};

// 160 bytes. Observe() is for one thread; the readers may run on any thread and
// see each bucket at some recent value.
class LatencyHistogram {
 public:
  static constexpr size_t kBuckets = kLatencyBounds.size() + 1;

  // Negative durations count as 0.
  void Observe(int64_t nanos) {
    if (nanos < 0) nanos = 0;
    const auto bound = std::lower_bound(kLatencyBounds.begin(), kLatencyBounds.end(), nanos);
    buckets_[static_cast<size_t>(bound - kLatencyBounds.begin())].Add();
    sum_nanos_.Add(static_cast<uint64_t>(nanos));
  }

  // How many fell into bucket `i` alone, i < kBuckets.
  uint64_t bucket(size_t i) const { return buckets_[i].value(); }
  uint64_t sum_nanos() const { return sum_nanos_.value(); }

 private:
  std::array<Counter, kBuckets> buckets_;
  Counter sum_nanos_;
};

}  // namespace portico::observe

#endif  // DATAPLANE_OBSERVE_HISTOGRAM_H_
