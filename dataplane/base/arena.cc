#include "dataplane/base/arena.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "dataplane/base/check.h"

#ifdef PORTICO_ARENA_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace portico::base {
namespace {

// So that AddressSanitizer reports a use after Reset().
#ifdef PORTICO_ARENA_ASAN
// Not inline: the compiler would warn that poisoned memory is not initialised.
__attribute__((noinline)) void Poison(char* memory, size_t size) { __asan_poison_memory_region(memory, size); }
void Unpoison(const void* memory, size_t size) { __asan_unpoison_memory_region(memory, size); }
#else
void Poison(char*, size_t) {}
void Unpoison(const void*, size_t) {}
#endif

constexpr size_t kMinBlock = 8 * 1024;
// A larger block is not kept by Reset().
constexpr size_t kMaxSpare = 64 * 1024;

}  // namespace

Arena::Arena() { Poison(inline_, kInline); }

Arena::~Arena() {
  Unpoison(inline_, kInline);
  FreeBlocks(blocks_);
  FreeBlocks(spare_);
}

void* Arena::AllocateHere(size_t size, size_t alignment) {
  const size_t padding = (0 - reinterpret_cast<uintptr_t>(next_)) & (alignment - 1);
  const auto room = static_cast<size_t>(limit_ - next_);
  if (padding > room || size > room - padding) return nullptr;
  char* result = next_ + padding;
  next_ = result + size;
  used_ += size;
  Unpoison(result, size);
  return result;
}

void* Arena::AllocateSlow(size_t size, size_t alignment) {
  PORTICO_CHECK(alignment <= alignof(std::max_align_t) && (alignment & (alignment - 1)) == 0);
  // With AddressSanitizer every allocation comes here.
  if (void* memory = AllocateHere(size, alignment); memory != nullptr) return memory;
  Block* block = nullptr;
  if (spare_ != nullptr && spare_->size >= size) {
    block = std::exchange(spare_, nullptr);
  } else {
    // Grows with what is there already, so that many small pieces need few blocks.
    size_t bytes = used_ > kMinBlock ? used_ : kMinBlock;
    if (bytes > kMaxSpare) bytes = kMaxSpare;
    if (bytes < size) bytes = size;
    void* memory = std::malloc(sizeof(Block) + bytes);
    PORTICO_CHECK(memory != nullptr);
    // owned: by blocks_ or spare_, freed in FreeBlocks().
    block = ::new (memory) Block{.next = nullptr, .size = bytes};
    Poison(block->bytes(), bytes);
  }
  block->next = blocks_;
  blocks_ = block;
  next_ = block->bytes();
  limit_ = next_ + block->size;
  return AllocateHere(size, alignment);
}

std::string_view Arena::Copy(std::string_view text) {
  if (text.empty()) return {};
  char* copy = static_cast<char*>(Allocate(text.size(), 1));
  std::memcpy(copy, text.data(), text.size());
  return {copy, text.size()};
}

std::string_view Arena::Concat(std::initializer_list<std::string_view> parts) {
  size_t size = 0;
  for (std::string_view part : parts) size += part.size();
  if (size == 0) return {};
  char* copy = static_cast<char*>(Allocate(size, 1));
  char* next = copy;
  for (std::string_view part : parts) {
    if (part.empty()) continue;
    std::memcpy(next, part.data(), part.size());
    next += part.size();
  }
  return {copy, size};
}

void Arena::ResetBlocks() {
  // Keeps the largest block that is not too large.
  Block* keep = std::exchange(spare_, nullptr);
  while (blocks_ != nullptr) {
    Block* block = std::exchange(blocks_, blocks_->next);
    block->next = nullptr;
    if (block->size <= kMaxSpare && (keep == nullptr || keep->size < block->size)) std::swap(keep, block);
    FreeBlocks(block);
  }
  if (keep != nullptr) Poison(keep->bytes(), keep->size);
  spare_ = keep;
}

void Arena::Reset() {
  if (blocks_ != nullptr) ResetBlocks();
  Poison(inline_, kInline);
  next_ = inline_;
  limit_ = inline_ + kInline;
  used_ = 0;
}

void Arena::FreeBlocks(Block* list) {
  while (list != nullptr) {
    Block* block = std::exchange(list, list->next);
    Unpoison(block->bytes(), block->size);
    std::free(block);
  }
}

}  // namespace portico::base
