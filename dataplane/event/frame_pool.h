// Memory of coroutine frames.
#ifndef DATAPLANE_EVENT_FRAME_POOL_H_
#define DATAPLANE_EVENT_FRAME_POOL_H_

#include <cstddef>
#include <cstdint>
#include <new>

namespace portico::event {
namespace internal {

inline constexpr size_t kFrameClassBytes = 64;
inline constexpr size_t kFrameClasses = 32;
#ifdef PORTICO_SANITIZED
inline constexpr bool kFramesPooled = false;
#else
inline constexpr bool kFramesPooled = true;
#endif

// Trivially destructible and constant-initialised, so that using it costs no check.
struct FramePool {
  struct Node {
    Node* next;
  };
  Node* free[kFrameClasses];
  // Bytes of free frames that may still be kept; beyond that they go to the heap.
  int64_t room;
  int64_t live;
};
extern constinit thread_local FramePool frame_pool;

inline size_t FrameClassOf(size_t size) {
  return (size + kFrameClassBytes - 1) / kFrameClassBytes - 1;
}
void* AllocateFrameSlow(size_t size);
void FreeFrameSlow(void* frame) noexcept;

}  // namespace internal

// Frames come from a free list of this thread, in classes of 64 bytes up to 2 KiB;
// larger ones, and all of them in sanitizer builds (a pool would hide a use after
// free), from the general heap. A frame is freed on the thread that made it. Inline:
// the compiler knows the size, so that a frame costs a handful of instructions.
inline void* AllocateFrame(size_t size) {
  internal::FramePool& pool = internal::frame_pool;
  ++pool.live;
  const size_t frame_class = internal::FrameClassOf(size);
  if (internal::kFramesPooled && frame_class < internal::kFrameClasses) {
    if (internal::FramePool::Node* node = pool.free[frame_class]; node != nullptr) {
      pool.free[frame_class] = node->next;
      pool.room += static_cast<int64_t>((frame_class + 1) * internal::kFrameClassBytes);
      return node;
    }
  }
  return internal::AllocateFrameSlow(size);
}

inline void FreeFrame(void* frame, size_t size) noexcept {
  internal::FramePool& pool = internal::frame_pool;
  --pool.live;
  const size_t frame_class = internal::FrameClassOf(size);
  if (internal::kFramesPooled && frame_class < internal::kFrameClasses && pool.room > 0) {
    // owned: by the free list.
    pool.free[frame_class] = ::new (frame) internal::FramePool::Node{pool.free[frame_class]};
    pool.room -= static_cast<int64_t>((frame_class + 1) * internal::kFrameClassBytes);
    return;
  }
  internal::FreeFrameSlow(frame);
}

// Frames of this thread that exist now: for leak checks.
inline int64_t LiveFrames() { return internal::frame_pool.live; }

}  // namespace portico::event

#endif  // DATAPLANE_EVENT_FRAME_POOL_H_
