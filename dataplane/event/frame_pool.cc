#include "dataplane/event/frame_pool.h"

#include <cstdlib>
#include <limits>

#include "dataplane/base/check.h"

namespace portico::event::internal {
namespace {

constexpr int64_t kMaxIdleBytes = 16 << 20;

// Frees what the thread kept when it ends. Touched only when the heap is asked, so
// the fast path does not pay for it.
struct PoolCleaner {
  bool armed = false;
  ~PoolCleaner() {
    // What is freed from now on is not kept.
    frame_pool.room = std::numeric_limits<int64_t>::min() / 2;
    for (FramePool::Node*& list : frame_pool.free) {
      while (list != nullptr) {
        FramePool::Node* node = list;
        list = node->next;
        std::free(node);
      }
    }
  }
};
thread_local PoolCleaner cleaner;

}  // namespace

constinit thread_local FramePool frame_pool = {.free = {}, .room = kMaxIdleBytes, .live = 0};

void* AllocateFrameSlow(size_t size) {
  const size_t frame_class = FrameClassOf(size);
  if (kFramesPooled && frame_class < kFrameClasses) {
    cleaner.armed = true;
    size = (frame_class + 1) * kFrameClassBytes;
  }
  void* frame = std::malloc(size);
  PORTICO_CHECK(frame != nullptr);
  return frame;
}

void FreeFrameSlow(void* frame) noexcept { std::free(frame); }

}  // namespace portico::event::internal
