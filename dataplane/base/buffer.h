// Fixed blocks of memory that bytes are received into and sent from.
#ifndef DATAPLANE_BASE_BUFFER_H_
#define DATAPLANE_BASE_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "dataplane/base/check.h"

namespace portico::base {

class BufferPool;

// A counted reference to one block. Blocks belong to one worker: the count is
// not atomic, and no Buffer may leave its thread. Moving is free; Share() makes a
// second reference. The block returns to its pool with the last one. A block that
// is shared must not be written to.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    Block* const block = std::exchange(other.block_, nullptr);
    Reset();
    block_ = block;
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { Reset(); }

  explicit operator bool() const { return block_ != nullptr; }
  Buffer Share() const;
  void Reset() {
    if (block_ != nullptr) Release(std::exchange(block_, nullptr));
  }

  // An empty Buffer has no bytes and no room.
  char* data() { return block_ == nullptr ? nullptr : block_->bytes(); }
  const char* data() const { return block_ == nullptr ? nullptr : block_->bytes(); }
  size_t capacity() const { return block_ == nullptr ? 0 : block_->capacity; }
  // Bytes in use, from data() on. Set by who fills it.
  size_t size() const { return block_ == nullptr ? 0 : block_->size; }
  void set_size(size_t size) {
    PORTICO_CHECK(size <= capacity());
    if (block_ != nullptr) block_->size = size;
  }
  // True if another Buffer refers to the same block.
  bool shared() const { return block_ != nullptr && block_->references > 1; }
  std::string_view view() const { return {data(), size()}; }

 private:
  friend class BufferPool;
  // The header of a block; its bytes follow.
  struct alignas(64) Block {
    BufferPool* pool;
    Block* next_free;
    size_t capacity;
    size_t size;
    uint32_t references;
    char* bytes() { return reinterpret_cast<char*>(this + 1); }
  };
  explicit Buffer(Block* block) : block_(block) {}
  static void Release(Block* block);
  Block* block_ = nullptr;
};

// Blocks of a few sizes for one worker, kept for reuse up to a bound. Not
// thread-safe. Must outlive its buffers (aborts if any is live or lent).
class BufferPool {
 public:
  // Sizes are powers of two from kSmall to kHuge: heads, bodies, and bodies that come
  // as fast as they can be received.
  static constexpr size_t kSmall = 16 * 1024;
  static constexpr size_t kLarge = 64 * 1024;
  static constexpr size_t kHuge = 256 * 1024;
  // With more bytes than this handed out, receives get by with kSmall: see Grant().
  static constexpr size_t kGenerousBytes = 32 << 20;

  // `max_idle_bytes`: free blocks kept for reuse; beyond that they are freed.
  explicit BufferPool(size_t max_idle_bytes = 64 << 20);
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // A block of at least `size` bytes, size() == 0. Sizes above kHuge come from
  // the general heap and are not kept.
  Buffer Allocate(size_t size = kSmall);

  // What a receive that would make use of `wanted` bytes is to ask for: large blocks
  // are for speed, and thousands of slow peers must not fill the memory with them.
  size_t Grant(size_t wanted) const { return live_bytes_ < kGenerousBytes || wanted < kSmall ? wanted : kSmall; }

  // The capacity of a block that Allocate(size) gives.
  static size_t CapacityFor(size_t size) { return size > kHuge ? size : kSmall << ClassOf(size); }

  // For buffers that wait in the kernel until bytes come: their block is not live, but
  // lent, until it is reclaimed by the address of its bytes. The buffer is not shared.
  char* Lend(Buffer buffer);
  Buffer Reclaim(char* bytes);

  // Gives the free blocks back to the heap.
  void FreeIdle();

  // Blocks handed out and not yet returned.
  size_t live() const { return live_; }
  // Their capacity.
  size_t live_bytes() const { return live_bytes_; }
  // Capacity of the free blocks that are kept.
  size_t idle_bytes() const { return idle_bytes_; }

 private:
  friend class Buffer;
  Buffer::Block* Create(size_t capacity);
  void Return(Buffer::Block* block);
  void FreeAll(Buffer::Block* list);

  // kSmall << 0 to kSmall << 4.
  static constexpr size_t kClasses = 5;
  static_assert(kSmall << (kClasses - 1) == kHuge);
  static size_t ClassOf(size_t size);

  const size_t max_idle_bytes_;
  Buffer::Block* free_[kClasses] = {};
  size_t idle_bytes_ = 0;
  size_t live_ = 0;
  size_t live_bytes_ = 0;
  size_t lent_ = 0;
};

}  // namespace portico::base

#endif  // DATAPLANE_BASE_BUFFER_H_
