// How much of a body to receive at once.
#ifndef DATAPLANE_NET_RECEIVE_SIZE_H_
#define DATAPLANE_NET_RECEIVE_SIZE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "dataplane/base/buffer.h"
#include "dataplane/base/clock.h"
#include "dataplane/event/pipe.h"

namespace portico::net {

// For the receives of one body. Large ones spare system calls while both sides are
// fast. A body whose taker is slow gains nothing by them and would only hold memory, so
// its receives fall back to BufferPool::kSmall at once, and grow again by doubling.
class ReceiveSize {
 public:
  // A taker that needs longer than this for one piece is slow.
  static constexpr int64_t kSlow = 50 * base::kNanosPerMilli;

  // The size of the receive that begins now. `remaining`: no more is to come; 0 if that
  // is not known.
  size_t Next(const base::BufferPool& pool, uint64_t remaining, base::MonotonicNanos now) {
    if (received_at_ != 0 && now - received_at_ > kSlow) size_ = base::BufferPool::kSmall;
    asked_ = pool.Grant(size_);
    if (remaining != 0) asked_ = static_cast<size_t>(std::min<uint64_t>(asked_, remaining));
    return asked_;
  }

  // The same into a pipe, which holds nothing of the pool: only after Next(), and while
  // WorthAPipe(). Small pieces are cheaper to copy than to move.
  bool WorthAPipe(uint64_t remaining) const {
    return size_ >= base::BufferPool::kLarge &&
           (remaining == 0 || remaining >= base::BufferPool::kLarge);
  }
  size_t NextInPipe(uint64_t remaining) {
    asked_ = event::PipePool::kPipeBytes;
    if (remaining != 0) asked_ = static_cast<size_t>(std::min<uint64_t>(asked_, remaining));
    return asked_;
  }

  // What came of it; the next call of Next() is when the bytes were taken.
  void Received(size_t bytes, base::MonotonicNanos now) {
    received_at_ = now;
    if (bytes >= asked_) {
      size_ = std::min(size_ * 2, base::BufferPool::kHuge);
    } else if (bytes < asked_ / 4) {
      size_ = std::max(size_ / 2, base::BufferPool::kSmall);
    }
  }

  size_t size() const { return size_; }

 private:
  size_t size_ = base::BufferPool::kLarge;
  size_t asked_ = 0;
  base::MonotonicNanos received_at_ = 0;
};

// For the receives that begin messages: what the last ones together were like, so that
// a message of some 16 KiB comes with its head in one receive and leaves in one send.
class MessageSize {
 public:
  // For the next message.
  size_t hint() const { return hint_; }
  // One was complete, head and body together; above BufferPool::kLarge all are the same.
  void Received(uint64_t bytes) {
    size_t wanted = base::BufferPool::kSmall;
    while (wanted < bytes && wanted < base::BufferPool::kLarge) wanted *= 2;
    hint_ = std::max(wanted, hint_ / 2);
  }

 private:
  size_t hint_ = base::BufferPool::kSmall;
};

}  // namespace portico::net

#endif  // DATAPLANE_NET_RECEIVE_SIZE_H_
