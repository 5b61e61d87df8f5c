// Latency histograms with fixed buckets, for one thread to write.
#ifndef DATAPLANE_OBSERVE_HISTOGRAM_H_
#define DATAPLANE_OBSERVE_HISTOGRAM_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "dataplane/observe/worker_metrics.h"

namespace portico::observe {

// Upper bounds in nanoseconds, inclusive: 100 us to 60 s in steps of 1-2-5. What
// is above the last one goes into one more bucket.
inline constexpr std::array<int64_t, 18> kLatencyBounds = {
    100'000,       200'000,       500'000,       1'000'000,      2'000'000,      5'000'000,
    10'000'000,    20'000'000,    50'000'000,    100'000'000,    200'000'000,    500'000'000,
    1'000'000'000, 2'000'000'000, 5'000'000'000, 10'000'000'000, 30'000'000'000, 60'000'000'000,
};

// Which bucket a duration falls into, the first whose bound is not below it. Bounds are
// at least a factor of two apart, so between two powers of two there is at most one: the
// number of bits tells the bucket but for one comparison.
class LatencyBuckets {
 public:
  static constexpr size_t kBuckets = kLatencyBounds.size() + 1;

  // REQUIRES: nanos >= 0.
  static size_t Of(int64_t nanos) {
    const size_t first = kFirst[static_cast<size_t>(std::bit_width(static_cast<uint64_t>(nanos)))];
    return first + (nanos > kBounds[first] ? 1 : 0);
  }

 private:
  // With one that nothing is above, so that the last bucket needs no case of its own.
  static constexpr std::array<int64_t, kBuckets> kBounds = [] {
    std::array<int64_t, kBuckets> bounds{};
    std::copy(kLatencyBounds.begin(), kLatencyBounds.end(), bounds.begin());
    bounds.back() = std::numeric_limits<int64_t>::max();
    return bounds;
  }();
  // By number of bits: the bucket of the smallest number that has so many.
  static constexpr std::array<uint8_t, 64> kFirst = [] {
    std::array<uint8_t, 64> first{};
    for (size_t bits = 1; bits < first.size(); ++bits) {
      const int64_t smallest = int64_t{1} << (bits - 1);
      first[bits] = static_cast<uint8_t>(
          std::lower_bound(kBounds.begin(), kBounds.end(), smallest) - kBounds.begin());
    }
    return first;
  }();
};

// 160 bytes. Observe() is for one thread; the readers may run on any thread and
// see each bucket at some recent value.
class LatencyHistogram {
 public:
  static constexpr size_t kBuckets = LatencyBuckets::kBuckets;

  // Negative durations count as 0.
  void Observe(int64_t nanos) {
    if (nanos < 0) nanos = 0;
    buckets_[LatencyBuckets::Of(nanos)].Add();
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
