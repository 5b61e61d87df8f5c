#include "dataplane/http/h2_memory.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>

#include "dataplane/event/frame_pool.h"

namespace portico::http {
namespace {

// In front of every block: nghttp2 does not say how large what it frees is.
struct alignas(std::max_align_t) Header {
  size_t size;
};

void* Allocate(size_t size) {
  // What nghttp2 asks for is bounded by its own limits.
  void* const memory = event::AllocateFrame(sizeof(Header) + size);
  // owned: by nghttp2, until it calls Free().
  Header* const header = ::new (memory) Header{size};
  return header + 1;
}

void Free(void* block, void*) {
  if (block == nullptr) return;
  Header* const header = static_cast<Header*>(block) - 1;
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
  const size_t before = (static_cast<Header*>(block) - 1)->size;
  if (size <= before && before - size < 64) return block;
  void* const moved = Allocate(size);
  std::memcpy(moved, block, std::min(before, size));
  Free(block, nullptr);
  return moved;
}

nghttp2_mem memory = {nullptr, Malloc, Free, Calloc, Realloc};

}  // namespace

nghttp2_mem* H2Memory() { return &memory; }

}  // namespace portico::http
