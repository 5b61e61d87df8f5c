// Where BoringSSL's memory comes from. It takes some for each record, and gives it back when the
// record is done: from free lists of the thread that costs a handful of instructions and no call
// of the general heap. Records have functions of their own, as their memory is not wiped. In sanitizer builds the heap it is: a pool would hide a use after free.
#ifndef PORTICO_SANITIZED

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace portico::tls {
namespace {

// Classes of 64 bytes up to 2 KiB, and of 1 KiB up to what the largest record takes.
constexpr size_t kFineBytes = 64;
constexpr size_t kFineMax = 2048;
constexpr size_t kCoarseBytes = 1024;
constexpr size_t kCoarseMax = 20 * 1024;
constexpr size_t kFineClasses = kFineMax / kFineBytes;
constexpr size_t kClasses = kFineClasses + kCoarseMax / kCoarseBytes;

// Before each block.
struct alignas(std::max_align_t) Header {
  size_t size;  // As asked for.
};

struct Node {
  Node* next;
};

// Trivially destructible and constant-initialised: BoringSSL may be called at any time of a
// thread's life. What a thread keeps at its end is lost, and bounded.
struct Pool {
  Node* free[kClasses];
  // Bytes that may still be kept; beyond that they go to the heap.
  int64_t room;
};
constexpr int64_t kKept = 1 << 20;
constinit thread_local Pool pool = {.free = {}, .room = kKept};

size_t ClassOf(size_t size) {
  if (size <= kFineMax) return size == 0 ? 0 : (size - 1) / kFineBytes;
  return kFineClasses + (size - 1) / kCoarseBytes;
}

size_t BytesOf(size_t of_class) {
  if (of_class < kFineClasses) return (of_class + 1) * kFineBytes;
  return (of_class - kFineClasses + 1) * kCoarseBytes;
}

Header* HeaderOf(void* block) { return static_cast<Header*>(block) - 1; }

void* Allocate(size_t size) {
  void* memory = nullptr;
  if (size <= kCoarseMax) {
    const size_t of_class = ClassOf(size);
    if (Node* const node = pool.free[of_class]; node != nullptr) {
      pool.free[of_class] = node->next;
      pool.room += static_cast<int64_t>(BytesOf(of_class));
      memory = node;
    } else {
      memory = std::malloc(sizeof(Header) + BytesOf(of_class));
    }
  } else if (size <= SIZE_MAX - sizeof(Header)) {
    memory = std::malloc(sizeof(Header) + size);
  }
  if (memory == nullptr) return nullptr;
  return ::new (memory) Header{size} + 1;
}

void Free(void* block) {
  Header* const header = HeaderOf(block);
  const size_t size = header->size;
  if (size <= kCoarseMax && pool.room > 0) {
    const size_t of_class = ClassOf(size);
    pool.free[of_class] = ::new (static_cast<void*>(header)) Node{pool.free[of_class]};
    pool.room -= static_cast<int64_t>(BytesOf(of_class));
  } else {
    std::free(header);
  }
}

}  // namespace
}  // namespace portico::tls

// BoringSSL calls these instead of malloc() where they exist: see its crypto/mem.c.
extern "C" {
void* OPENSSL_memory_alloc(size_t size);
void OPENSSL_memory_free(void* block);
size_t OPENSSL_memory_get_size(void* block);

void* OPENSSL_memory_alloc(size_t size) { return portico::tls::Allocate(size); }
void OPENSSL_memory_free(void* block) {
  // It may be a key.
  ::explicit_bzero(block, OPENSSL_memory_get_size(block));
  portico::tls::Free(block);
}
size_t OPENSSL_memory_get_size(void* block) { return portico::tls::HeaderOf(block)->size; }

// ssl_buffer.cc, as tools/setup.sh changes it, calls these for the room of one record.
void* PORTICO_record_alloc(size_t size);
void PORTICO_record_free(void* block);

void* PORTICO_record_alloc(size_t size) { return portico::tls::Allocate(size); }
void PORTICO_record_free(void* block) {
  if (block != nullptr) portico::tls::Free(block);
}
}

#endif  // PORTICO_SANITIZED
