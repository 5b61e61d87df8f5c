// Counts what the hot path must not do: take memory from the general heap, and lock.
#ifndef TESTS_GATE_COUNTERS_H_
#define TESTS_GATE_COUNTERS_H_

#include <cstdint>

namespace portico::gate {

// Of the calling thread, while Count() is on. Whatever comes from malloc counts,
// operator new and libraries included; of locks, pthread mutexes and read-write
// locks, which is what std::mutex and std::shared_mutex are.
struct Counters {
  uint64_t allocations = 0;
  uint64_t allocated_bytes = 0;
  uint64_t locks = 0;
};

// Starts or stops counting in the calling thread.
void Count(bool on);
const Counters& Counted();

// Nothing counts while one of these exists.
class NotCounted {
 public:
  NotCounted();
  ~NotCounted();
  NotCounted(const NotCounted&) = delete;
  NotCounted& operator=(const NotCounted&) = delete;

 private:
  const bool before_;
};

// From now on the first `traces` counted allocations and locks write where they
// come from to standard error.
void TraceCounted(int traces);

}  // namespace portico::gate

#endif  // TESTS_GATE_COUNTERS_H_
