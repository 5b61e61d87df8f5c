// Counters by a short machine-readable name, for one thread to write.
#ifndef DATAPLANE_OBSERVE_REASON_TABLE_H_
#define DATAPLANE_OBSERVE_REASON_TABLE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "dataplane/observe/worker_metrics.h"

namespace portico::observe {

// Interns reasons as they come, at most kMaxReasons of them; later ones, and what
// is no reason name (1 to kMaxReasonLength characters of a-z, 0-9 and "_"), count
// under "other". So the number of series is bounded whatever the callers do.
//
// Add() is for one thread and neither locks nor allocates; the readers may run on
// any thread.
class ReasonTable {
 public:
  static constexpr uint32_t kMaxReasons = 128;
  static constexpr uint32_t kMaxReasonLength = 47;

  void Add(std::string_view reason);

  // Calls visit(std::string_view reason, uint64_t count) for each reason seen.
  template <typename Visitor>
  void ForEach(Visitor&& visit) const {
    const uint32_t size = size_.load(std::memory_order_acquire);
    for (uint32_t i = 0; i < size; ++i) {
      const Entry& entry = entries_[i];
      visit(std::string_view(entry.name.data(), entry.length), entry.count.value());
    }
    if (const uint64_t other = other_.value(); other != 0) visit(std::string_view("other"), other);
  }

 private:
  struct Entry {
    std::array<char, kMaxReasonLength> name{};
    uint8_t length = 0;
    Counter count;
  };
  static constexpr uint32_t kSlots = 256;  // A power of two above kMaxReasons.

  // Written by the one thread; an entry's name does not change once size_ covers it.
  std::array<Entry, kMaxReasons> entries_;
  std::array<uint8_t, kSlots> slots_{};  // 1 + place in entries_; 0: free. The writer's only.
  Counter other_;
  std::atomic<uint32_t> size_{0};
};

}  // namespace portico::observe

#endif  // DATAPLANE_OBSERVE_REASON_TABLE_H_
