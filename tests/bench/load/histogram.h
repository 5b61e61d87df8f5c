// Counts of latencies in fixed buckets, fine enough for percentiles.
#ifndef TESTS_BENCH_LOAD_HISTOGRAM_H_
#define TESTS_BENCH_LOAD_HISTOGRAM_H_

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace portico::bench {

// Values from 0 to 2^40 (as nanoseconds 18 minutes; larger ones count as that), each kept with a relative
// error of at most 1/64. Recording is a few instructions and never allocates.
class Histogram {
 public:
  void Record(int64_t value) {
    const uint64_t bounded = value < 0 ? 0 : value >= kLimit ? kLimit - 1 : static_cast<uint64_t>(value);
    ++counts_[Bucket(bounded)];
    ++total_;
    if (static_cast<int64_t>(bounded) > largest_) largest_ = static_cast<int64_t>(bounded);
  }

  void Clear() { *this = Histogram(); }

  uint64_t total() const { return total_; }
  int64_t largest() const { return largest_; }

  // The value that a share `quantile` (0 to 1) of the recorded ones does not exceed; the middle of its
  // bucket. 0 if nothing was recorded.
  int64_t Quantile(double quantile) const {
    if (total_ == 0) return 0;
    const double wanted = quantile * static_cast<double>(total_);
    uint64_t below = 0;
    for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
      below += counts_[bucket];
      if (counts_[bucket] > 0 && static_cast<double>(below) >= wanted) return Middle(bucket);
    }
    return largest_;
  }

 private:
  static constexpr int kFineBits = 6;
  static constexpr int kLimitBits = 40;
  static constexpr int64_t kLimit = int64_t{1} << kLimitBits;
  static constexpr size_t kFine = size_t{1} << kFineBits;
  static constexpr size_t kBuckets = (kLimitBits - kFineBits + 1) * kFine;

  // Values below 64 have a bucket each; every doubling above is split into 64.
  static size_t Bucket(uint64_t value) {
    if (value < kFine) return value;
    const int shift = std::bit_width(value) - 1 - kFineBits;
    return (static_cast<size_t>(shift) + 1) * kFine + ((value >> shift) - kFine);
  }

  static int64_t Middle(size_t bucket) {
    if (bucket < kFine) return static_cast<int64_t>(bucket);
    const size_t shift = bucket / kFine - 1;
    const int64_t start = static_cast<int64_t>(bucket % kFine + kFine) << shift;
    return start + (int64_t{1} << shift) / 2;
  }

  std::array<uint64_t, kBuckets> counts_ = {};
  uint64_t total_ = 0;
  int64_t largest_ = 0;
};

}  // namespace portico::bench

#endif  // TESTS_BENCH_LOAD_HISTOGRAM_H_
