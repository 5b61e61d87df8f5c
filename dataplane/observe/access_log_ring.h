// The memory between one worker and the thread of the access log.
#ifndef DATAPLANE_OBSERVE_ACCESS_LOG_RING_H_
#define DATAPLANE_OBSERVE_ACCESS_LOG_RING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/observe/access_log.h"

namespace portico::observe {

// A bounded queue of records with their texts, for one writer and one reader.
// Neither side locks, allocates in steady state or makes system calls; the reader
// has to look by itself.
class AccessLogRing {
 public:
  // Longer texts are cut; more header fields are left out. So a record has a
  // bound, though a small ring may still be too small for the longest.
  static constexpr size_t kMaxTextBytes = 4096;
  static constexpr size_t kMaxHeaders = 32;  // Request and response together

  // `bytes` is rounded up to a power of two, at least 4096.
  explicit AccessLogRing(size_t bytes);

  // For the writer. False, and counted, when there is no room.
  bool Push(uint32_t sink, const AccessRecord& record);

  // For the reader: calls visit for each record that was there when Drain began.
  // The record's texts live until visit returns. Returns the bytes freed.
  size_t Drain(const std::function<void(uint32_t sink, const AccessRecord& record)>& visit);

  size_t capacity() const { return mask_ + 1; }
  uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

  // Set when the writer is gone: once drained, the ring can go too.
  std::atomic<bool> closed{false};

 private:
  using Headers = std::vector<std::pair<std::string_view, std::string_view>>;

  bool HasRoom(size_t bytes);
  AccessRecord Decode(const char* at, Headers& headers) const;

  const size_t mask_;
  const std::unique_ptr<char[]> memory_;

  // The writer's cache line, and the reader's: the padding keeps them apart wherever
  // the ring lies. Positions only go up.
  char before_writer_[64];
  std::atomic<uint64_t> head_{0};
  uint64_t seen_tail_ = 0;
  std::atomic<uint64_t> dropped_{0};

  char before_reader_[64];
  std::atomic<uint64_t> tail_{0};
  Headers headers_;
};

}  // namespace portico::observe

#endif  // DATAPLANE_OBSERVE_ACCESS_LOG_RING_H_
