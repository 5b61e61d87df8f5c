// Random numbers for choices that need not be secret.
#ifndef DATAPLANE_UPSTREAM_RANDOM_H_
#define DATAPLANE_UPSTREAM_RANDOM_H_

#include <cstdint>

namespace portico::upstream {

// xoshiro256** (Blackman and Vigna, 2018): four words of state, a few
// instructions a number. One per worker; not thread-safe.
class Random {
 public:
  // `seed`: any four words; the server takes them from the kernel, tests from a
  // constant.
  explicit Random(const uint64_t (&seed)[4]);

  uint64_t Next() {
    const uint64_t result = RotateLeft(state_[1] * 5, 7) * 9;
    const uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = RotateLeft(state_[3], 45);
    return result;
  }
  // Evenly from 0 to `bound` - 1; `bound` must not be 0. The bias is below
  // bound / 2^32.
  uint32_t Below(uint32_t bound) {
    return static_cast<uint32_t>(((Next() >> 32) * static_cast<uint64_t>(bound)) >> 32);
  }

 private:
  static uint64_t RotateLeft(uint64_t value, int bits) {
    return (value << bits) | (value >> (64 - bits));
  }
  uint64_t state_[4];
};

}  // namespace portico::upstream

#endif  // DATAPLANE_UPSTREAM_RANDOM_H_
