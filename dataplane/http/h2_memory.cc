#include "dataplane/http/h2_memory.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <new>

#include "dataplane/event/frame_pool.h"

namespace portico::http {
namespace {

// In front of every block: nghttp2 does not say how large what it frees is.
struct alignas(std::max_align_t) Header {
  size_t size;
};

// nghttp2's NGHTTP2_FRAMEBUF_CHUNKLEN: a frame of the usual largest size, its head, and a byte for
// padding.
constexpr size_t kFrameBufferBytes = 16384 + 9 + 1;
constexpr size_t kSharedSize = std::numeric_limits<size_t>::max();

struct SharedBlock {
  Header header{kSharedSize};
  char bytes[kFrameBufferBytes];
};
thread_local std::unique_ptr<SharedBlock> shared_block;
constinit thread_local int sharing = 0;
constinit thread_local uint64_t held_bytes = 0;

void* Allocate(size_t size) {
  if (size == kFrameBufferBytes && sharing > 0) {
    if (shared_block == nullptr) shared_block = std::make_unique<SharedBlock>();
    return &shared_block->bytes;
  }
  // What nghttp2 asks for is bounded by its own limits.
  void* const memory = event::AllocateFrame(sizeof(Header) + size);
  held_bytes += sizeof(Header) + size;
  // owned: by nghttp2, until it calls Free().
  Header* const header = ::new (memory) Header{size};
  return header + 1;
}

void Free(void* block, void*) {
  if (block == nullptr) return;
  Header* const header = static_cast<Header*>(block) - 1;
  if (header->size == kSharedSize) return;
  held_bytes -= sizeof(Header) + header->size;
  event::FreeFrame(header, sizeof(Header) + header->size);
}

void* Malloc(size_t size, void*) { return Allocate(size); }

void* Calloc(size_t count, size_t size, void*) {
  if (size != 0 && count > std::numeric_limits<size_t>::max() / 2 / size) return nullptr;
  void* const block = Allocate(count * size);
  std::memset(block, 0, count * size);
  return block;
}

void* Realloc(void* block, size_t size, void*) {
  if (block == nullptr) return Allocate(size);
  size_t before = (static_cast<Header*>(block) - 1)->size;
  if (before == kSharedSize) before = kFrameBufferBytes;
  if (size <= before && before - size < 64) return block;
  void* const moved = Allocate(size);
  std::memcpy(moved, block, std::min(before, size));
  Free(block, nullptr);
  return moved;
}

nghttp2_mem memory = {nullptr, Malloc, Free, Calloc, Realloc};

}  // namespace

nghttp2_mem* H2Memory() { return &memory; }

H2SharedFrameBuffer::H2SharedFrameBuffer() { ++sharing; }
H2SharedFrameBuffer::~H2SharedFrameBuffer() { --sharing; }

uint64_t H2HeldBytes() { return held_bytes; }

H2Held::H2Held(size_t bytes) : bytes_(bytes) { held_bytes += bytes; }
H2Held::~H2Held() { held_bytes -= bytes_; }

}  // namespace portico::http
