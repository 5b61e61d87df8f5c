// Memory that is freed all at once, at the end of an exchange.
#ifndef DATAPLANE_BASE_ARENA_H_
#define DATAPLANE_BASE_ARENA_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#define PORTICO_ARENA_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PORTICO_ARENA_ASAN
#endif
#endif

namespace portico::base {

// A bump allocator. Nothing is destroyed: only trivially destructible things go
// in. The first block is inline; Reset() keeps one more block for reuse, so that
// in steady state the general heap is not touched. Not thread-safe.
class Arena {
 public:
  Arena();
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // `alignment`: a power of two, at most alignof(std::max_align_t).
  void* Allocate(size_t size, size_t alignment = alignof(std::max_align_t)) {
#ifndef PORTICO_ARENA_ASAN
    const size_t padding = (0 - reinterpret_cast<uintptr_t>(next_)) & (alignment - 1);
    const auto room = static_cast<size_t>(limit_ - next_);
    if (padding <= room && size <= room - padding) {
      char* result = next_ + padding;
      next_ = result + size;
      used_ += size;
      return result;
    }
#endif
    return AllocateSlow(size, alignment);
  }

  template <typename T, typename... Args>
  T* New(Args&&... args) {
    static_assert(std::is_trivially_destructible_v<T>);
    return ::new (Allocate(sizeof(T), alignof(T))) T{std::forward<Args>(args)...};
  }
  template <typename T>
  T* NewArray(size_t count) {
    static_assert(std::is_trivially_destructible_v<T>);
    return ::new (Allocate(sizeof(T) * count, alignof(T))) T[count]();
  }
  // A copy that lives as long as the arena's content.
  std::string_view Copy(std::string_view text);
  std::string_view Concat(std::initializer_list<std::string_view> parts);

  // Forgets everything.
  void Reset();
  size_t bytes_used() const { return used_; }

 private:
  // The header of a block from the general heap; its bytes follow.
  struct alignas(std::max_align_t) Block {
    Block* next;
    size_t size;
    char* bytes() { return reinterpret_cast<char*>(this + 1); }
  };
  // The heads and edits of an ordinary exchange, so that it needs no other block.
  static constexpr size_t kInline = 4096;
  void* AllocateSlow(size_t size, size_t alignment);
  // From the block being filled; nullptr if it has no room.
  void* AllocateHere(size_t size, size_t alignment);
  void ResetBlocks();
  void FreeBlocks(Block* list);

  alignas(std::max_align_t) char inline_[kInline];
  char* next_ = inline_;
  char* limit_ = inline_ + kInline;
  Block* blocks_ = nullptr;  // In use; the one being filled first.
  Block* spare_ = nullptr;   // Kept by Reset().
  size_t used_ = 0;
};

}  // namespace portico::base

#endif  // DATAPLANE_BASE_ARENA_H_
