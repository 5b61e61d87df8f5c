#include "dataplane/upstream/limits.h"

#include <iterator>

namespace portico::upstream {

bool TryTake(std::atomic<int64_t>& taken, int64_t max) {
  int64_t now = taken.load(std::memory_order_relaxed);
  while (now < max) {
    if (taken.compare_exchange_weak(now, now + 1, std::memory_order_relaxed)) return true;
  }
  return false;
}

std::shared_ptr<SharedLimits> LimitRegistry::Get(std::string_view upstream) {
  const std::lock_guard lock(mutex_);
  // Upstreams that no worker uses any more are forgotten here: this runs rarely.
  for (auto it = limits_.begin(); it != limits_.end();) {
    it = it->second.expired() ? limits_.erase(it) : std::next(it);
  }
  const auto found = limits_.find(upstream);
  if (found != limits_.end()) {
    if (auto alive = found->second.lock()) return alive;
  }
  auto fresh = std::make_shared<SharedLimits>();
  limits_.insert_or_assign(std::string(upstream), fresh);
  return fresh;
}

RequestAllowance::~RequestAllowance() {
  shared_->request_places.fetch_sub(held_, std::memory_order_relaxed);
}

bool RequestAllowance::Take(int64_t max) {
  if (used_ < held_) {
    ++used_;
    return true;
  }
  std::atomic<int64_t>& places = shared_->request_places;
  // A whole batch if there is room for it, else one.
  int64_t taken = places.load(std::memory_order_relaxed);
  while (taken + kBatch <= max) {
    if (places.compare_exchange_weak(taken, taken + kBatch, std::memory_order_relaxed)) {
      held_ += kBatch;
      ++used_;
      return true;
    }
  }
  if (!TryTake(places, max)) return false;
  ++held_;
  ++used_;
  return true;
}

void RequestAllowance::Return() {
  --used_;
  // Keeps up to a batch for the next requests; gives back what is beyond.
  if (held_ - used_ >= 2 * kBatch) {
    held_ -= kBatch;
    shared_->request_places.fetch_sub(kBatch, std::memory_order_relaxed);
  }
}

}  // namespace portico::upstream
