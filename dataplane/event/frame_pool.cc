#include "dataplane/event/frame_pool.h"

#include <cstdlib>
#include <new>

#include "dataplane/base/check.h"

namespace portico::event {
namespace {

#ifdef PORTICO_SANITIZED
constexpr bool kPooled = false;
#else
constexpr bool kPooled = true;
#endif

constexpr size_t kClassBytes = 64;
constexpr size_t kClasses = 32;
// Free frames kept by one thread; beyond that they go back to the heap.
constexpr size_t kMaxIdleBytes = 16 << 20;

struct FreeFrameNode {
  FreeFrameNode* next;
};

// Trivially destructible, so that using it costs no check for initialisation.
struct Pool {
  FreeFrameNode* free[kClasses];
  size_t idle_bytes;
  int64_t live;
  bool closed;
};
constinit thread_local Pool pool = {};

// Frees what the thread kept when it ends. Touched only when the heap is asked, so
// the fast path does not pay for it.
struct PoolCleaner {
  bool armed = false;
  ~PoolCleaner() {
    pool.closed = true;
    for (FreeFrameNode*& list : pool.free) {
      while (list != nullptr) {
        FreeFrameNode* node = list;
        list = node->next;
        std::free(node);
      }
    }
    pool.idle_bytes = 0;
  }
};
thread_local PoolCleaner cleaner;

size_t ClassOf(size_t size) { return (size + kClassBytes - 1) / kClassBytes - 1; }

}  // namespace

void* AllocateFrame(size_t size) {
  ++pool.live;
  const size_t frame_class = ClassOf(size);
  if (kPooled && frame_class < kClasses) {
    if (FreeFrameNode* node = pool.free[frame_class]; node != nullptr) {
      pool.free[frame_class] = node->next;
      pool.idle_bytes -= (frame_class + 1) * kClassBytes;
      return node;
    }
    cleaner.armed = true;
    size = (frame_class + 1) * kClassBytes;
  }
  void* frame = std::malloc(size);
  PORTICO_CHECK(frame != nullptr);
  return frame;
}

void FreeFrame(void* frame, size_t size) noexcept {
  --pool.live;
  const size_t frame_class = ClassOf(size);
  if (kPooled && frame_class < kClasses && !pool.closed && pool.idle_bytes < kMaxIdleBytes) {
    // owned: by the free list.
    auto* node = ::new (frame) FreeFrameNode{pool.free[frame_class]};
    pool.free[frame_class] = node;
    pool.idle_bytes += (frame_class + 1) * kClassBytes;
    return;
  }
  std::free(frame);
}

int64_t LiveFrames() { return pool.live; }

}  // namespace portico::event
