// Buffers lent to the kernel, which picks one when bytes are there.
#ifndef DATAPLANE_EVENT_URING_BUFFERS_H_
#define DATAPLANE_EVENT_URING_BUFFERS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/base/buffer.h"
#include "dataplane/event/uring_ring.h"

namespace portico::event {

// Blocks of one size from one pool. How many are lent follows the need: it starts
// small, grows by one with every receive that found none, and goes back when fewer do.
// The pool outlives it.
class UringBuffers {
 public:
  // At most 0xffff groups of a ring. `entries`: the most that is lent, a power of two.
  UringBuffers(base::BufferPool& pool, size_t capacity, uint16_t id, unsigned entries);
  // The ring must be closed, or nothing that uses the group in flight.
  ~UringBuffers();
  UringBuffers(const UringBuffers&) = delete;
  UringBuffers& operator=(const UringBuffers&) = delete;

  // 0 or -errno.
  int Register(UringRing& ring);

  // Lends blocks until as many are there as are wanted.
  void Refill();
  // The block that the kernel chose, no longer lent.
  base::Buffer Take(uint16_t buffer_id);
  // The kernel chose one but had no use for it.
  void Recycle(uint16_t buffer_id);
  // A receive found none.
  void WantMore();
  // Some fewer from now on, unless there was a shortage since the last call; as few as
  // at first when nothing comes. Only while no completion waits to be read: what was not
  // taken is then still with the kernel, which looks at it inside UringRing::Enter() only.
  void Age();
  void ShrinkToFirst();

  base::BufferPool& pool() const { return pool_; }
  size_t capacity() const { return capacity_; }
  uint16_t id() const { return id_; }
  // Lent now.
  unsigned lent() const { return entries_ - static_cast<unsigned>(free_ids_.size()); }
  bool grown() const { return wanted_ > first_; }

 private:
  struct FreeMemory {
    void operator()(io_uring_buf_ring* ring) const;
  };
  void Lend(uint16_t buffer_id, char* bytes);
  void Shrink(unsigned wanted);

  base::BufferPool& pool_;
  const size_t capacity_;
  const uint16_t id_;
  const unsigned entries_;
  std::unique_ptr<io_uring_buf_ring, FreeMemory> ring_;
  // By id: what is lent; nullptr: not now.
  std::vector<char*> lent_;
  std::vector<uint16_t> free_ids_;
  const unsigned first_;
  unsigned wanted_;
  bool short_ = false;  // Since the last Age().
};

}  // namespace portico::event

#endif  // DATAPLANE_EVENT_URING_BUFFERS_H_
