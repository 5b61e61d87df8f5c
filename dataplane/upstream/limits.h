// Circuit breakers: bounds of one upstream that hold for the whole process.
#ifndef DATAPLANE_UPSTREAM_LIMITS_H_
#define DATAPLANE_UPSTREAM_LIMITS_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "dataplane/upstream/connection_places.h"

namespace portico::upstream {

// Shared by all workers. Thread-safe.
struct SharedLimits {
  // Of connections; written only when one opens or closes, or is waited for.
  ConnectionPlaces connections;
  // Requests waiting for a connection; written only when one has to wait.
  std::atomic<int64_t> pending{0};
  // Places for requests that workers have taken, see RequestAllowance.
  std::atomic<int64_t> request_places{0};
};

// Takes one of `max`; false if all are taken.
bool TryTake(std::atomic<int64_t>& taken, int64_t max);

// Hands every worker the same SharedLimits for the same upstream. Thread-safe;
// used when a worker first sees an upstream.
class LimitRegistry {
 public:
  std::shared_ptr<SharedLimits> Get(std::string_view upstream);

 private:
  std::mutex mutex_;
  // Guarded by mutex_.
  std::map<std::string, std::weak_ptr<SharedLimits>, std::less<>> limits_;
};

// One worker's part of `max_requests`. Places are taken from the shared count
// in batches and kept while used, so that a steady load writes no shared memory.
// Never admits more than `max` in the process; may refuse early by less than
// 2 * kBatch places per worker, and takes single places when few are left.
class RequestAllowance {
 public:
  static constexpr int64_t kBatch = 16;
  explicit RequestAllowance(std::shared_ptr<SharedLimits> shared) : shared_(std::move(shared)) {}
  ~RequestAllowance();
  RequestAllowance(const RequestAllowance&) = delete;
  RequestAllowance& operator=(const RequestAllowance&) = delete;

  // False when `max` requests are in flight.
  bool Take(int64_t max);
  void Return();
  int64_t in_flight() const { return used_; }

 private:
  std::shared_ptr<SharedLimits> shared_;
  int64_t held_ = 0;
  int64_t used_ = 0;
};

// Retries of one worker stay below a fifth of its active requests, or three,
// so that they cannot multiply an overload.
class RetryBudget {
 public:
  static constexpr uint32_t kMinimum = 3;
  static constexpr uint32_t kPercent = 20;
  bool Take(uint32_t active_requests) {
    if (retries_ >= kMinimum && retries_ * 100 >= active_requests * kPercent) return false;
    ++retries_;
    return true;
  }
  void Return() { --retries_; }

 private:
  uint32_t retries_ = 0;
};

}  // namespace portico::upstream

#endif  // DATAPLANE_UPSTREAM_LIMITS_H_
