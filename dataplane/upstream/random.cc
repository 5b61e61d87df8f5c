#include "dataplane/upstream/random.h"

namespace portico::upstream {

Random::Random(const uint64_t (&seed)[4]) {
  // splitmix64 spreads poor seeds, and keeps the state from being all zero.
  uint64_t mixed = 0x9e3779b97f4a7c15;
  for (int i = 0; i < 4; ++i) {
    mixed += seed[i] + 0x9e3779b97f4a7c15;
    uint64_t z = mixed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    state_[i] = z ^ (z >> 31);
  }
  if ((state_[0] | state_[1] | state_[2] | state_[3]) == 0) state_[0] = 1;
}

}  // namespace portico::upstream
