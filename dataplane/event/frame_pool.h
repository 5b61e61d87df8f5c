// Memory of coroutine frames.
#ifndef DATAPLANE_EVENT_FRAME_POOL_H_
#define DATAPLANE_EVENT_FRAME_POOL_H_

#include <cstddef>
#include <cstdint>

namespace portico::event {

// Frames come from a free list of this thread, in classes of 64 bytes up to 2 KiB;
// larger ones, and all of them in sanitizer builds (a pool would hide a use after
// free), from the general heap. A frame is freed on the thread that made it.
void* AllocateFrame(size_t size);
void FreeFrame(void* frame, size_t size) noexcept;

// Frames of this thread that exist now: for leak checks.
int64_t LiveFrames();

}  // namespace portico::event

#endif  // DATAPLANE_EVENT_FRAME_POOL_H_
