#include "dataplane/base/buffer.h"

#include <bit>
#include <cstdlib>
#include <new>

namespace portico::base {
namespace {

// A pool hides a use after free from the sanitizers, so there they get the heap.
#ifdef PORTICO_SANITIZED
constexpr bool kKeepFreeBlocks = false;
#else
constexpr bool kKeepFreeBlocks = true;
#endif

constexpr size_t kAlignment = 64;

}  // namespace

Buffer Buffer::Share() const {
  if (block_ == nullptr) return Buffer();
  ++block_->references;
  return Buffer(block_);
}

void Buffer::Release(Block* block) {
  PORTICO_CHECK(block->references > 0);
  if (--block->references == 0) block->pool->Return(block);
}

BufferPool::BufferPool(size_t max_idle_bytes) : max_idle_bytes_(max_idle_bytes) {}

BufferPool::~BufferPool() {
  PORTICO_CHECK(live_ == 0);
  PORTICO_CHECK(lent_ == 0);
  FreeIdle();
}

void BufferPool::FreeIdle() {
  for (Buffer::Block*& list : free_) FreeAll(std::exchange(list, nullptr));
  idle_bytes_ = 0;
}

size_t BufferPool::ClassOf(size_t size) {
  return size <= kSmall ? 0 : static_cast<size_t>(std::bit_width((size - 1) / kSmall));
}

Buffer BufferPool::Allocate(size_t size) {
  Buffer::Block* block = nullptr;
  if (size > kHuge) {
    block = Create(size);
  } else {
    const size_t index = ClassOf(size);
    Buffer::Block*& list = free_[index];
    if (list != nullptr) {
      block = std::exchange(list, list->next_free);
      idle_bytes_ -= block->capacity;
    } else {
      block = Create(kSmall << index);
    }
  }
  block->next_free = nullptr;
  block->size = 0;
  block->references = 1;
  ++live_;
  live_bytes_ += block->capacity;
  return Buffer(block);
}

char* BufferPool::Lend(Buffer buffer) {
  Buffer::Block* block = std::exchange(buffer.block_, nullptr);
  PORTICO_CHECK(block != nullptr && block->references == 1);
  block->references = 0;
  --live_;
  live_bytes_ -= block->capacity;
  ++lent_;
  return block->bytes();
}

Buffer BufferPool::Reclaim(char* bytes) {
  Buffer::Block* block = reinterpret_cast<Buffer::Block*>(bytes) - 1;
  PORTICO_CHECK(block->pool == this && block->references == 0 && lent_ > 0);
  block->size = 0;
  block->references = 1;
  --lent_;
  ++live_;
  live_bytes_ += block->capacity;
  return Buffer(block);
}

Buffer::Block* BufferPool::Create(size_t capacity) {
  const size_t rounded = (sizeof(Buffer::Block) + capacity + kAlignment - 1) / kAlignment * kAlignment;
  void* memory = std::aligned_alloc(kAlignment, rounded);
  PORTICO_CHECK(memory != nullptr);
  // owned: by the pool, freed in Return() or FreeAll().
  return ::new (memory) Buffer::Block{.pool = this, .next_free = nullptr, .capacity = capacity, .size = 0, .references = 0};
}

void BufferPool::Return(Buffer::Block* block) {
  const size_t capacity = block->capacity;
  --live_;
  live_bytes_ -= capacity;
  const bool keep = kKeepFreeBlocks && capacity <= kHuge && idle_bytes_ + capacity <= max_idle_bytes_;
  if (!keep) {
    std::free(block);
    return;
  }
  Buffer::Block*& list = free_[ClassOf(capacity)];
  block->next_free = list;
  list = block;
  idle_bytes_ += capacity;
}

void BufferPool::FreeAll(Buffer::Block* list) {
  while (list != nullptr) std::free(std::exchange(list, list->next_free));
}

}  // namespace portico::base
