#include "tests/gate/counters.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

// glibc's own allocator, which the functions below stand in front of.
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
}

namespace portico::gate {
namespace {

thread_local bool t_counting = false;
thread_local Counters t_counters;
int g_traces = 0;

void Trace(const char* what) {
  if (g_traces == 0) return;
  --g_traces;
  t_counting = false;  // backtrace() allocates.
  void* frames[24];
  const int count = ::backtrace(frames, 24);
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, what, std::strlen(what));
  ::backtrace_symbols_fd(frames, count, STDERR_FILENO);
  t_counting = true;
}

void NoteAllocation(size_t size) {
  if (!t_counting) return;
  ++t_counters.allocations;
  t_counters.allocated_bytes += size;
  Trace("-- an allocation\n");
}

void NoteLock() {
  if (!t_counting) return;
  ++t_counters.locks;
  Trace("-- a lock\n");
}

// The C library's function of this name, looked up once.
template <typename Function>
Function Real(const char* name, Function& known) {
  if (known == nullptr) {
    void* found = ::dlsym(RTLD_NEXT, name);
    std::memcpy(&known, &found, sizeof(known));
  }
  return known;
}

}  // namespace

NotCounted::NotCounted() : before_(t_counting) { t_counting = false; }
NotCounted::~NotCounted() { t_counting = before_; }

void Count(bool on) { t_counting = on; }
const Counters& Counted() { return t_counters; }
void TraceCounted(int traces) { g_traces = traces; }

}  // namespace portico::gate

extern "C" {

void* malloc(size_t size) {
  portico::gate::NoteAllocation(size);
  return __libc_malloc(size);
}

void* calloc(size_t count, size_t size) {
  portico::gate::NoteAllocation(count * size);
  return __libc_calloc(count, size);
}

void* realloc(void* memory, size_t size) {
  portico::gate::NoteAllocation(size);
  return __libc_realloc(memory, size);
}

void* aligned_alloc(size_t alignment, size_t size) {
  portico::gate::NoteAllocation(size);
  return __libc_memalign(alignment, size);
}

void* memalign(size_t alignment, size_t size) {
  portico::gate::NoteAllocation(size);
  return __libc_memalign(alignment, size);
}

int posix_memalign(void** memory, size_t alignment, size_t size) {
  portico::gate::NoteAllocation(size);
  *memory = __libc_memalign(alignment, size);
  return *memory == nullptr ? ENOMEM : 0;
}

using MutexFunction = int (*)(pthread_mutex_t*);
using RwlockFunction = int (*)(pthread_rwlock_t*);

int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  static MutexFunction real;
  portico::gate::NoteLock();
  return portico::gate::Real("pthread_mutex_lock", real)(mutex);
}

int pthread_mutex_trylock(pthread_mutex_t* mutex) noexcept {
  static MutexFunction real;
  portico::gate::NoteLock();
  return portico::gate::Real("pthread_mutex_trylock", real)(mutex);
}

int pthread_rwlock_rdlock(pthread_rwlock_t* lock) noexcept {
  static RwlockFunction real;
  portico::gate::NoteLock();
  return portico::gate::Real("pthread_rwlock_rdlock", real)(lock);
}

int pthread_rwlock_wrlock(pthread_rwlock_t* lock) noexcept {
  static RwlockFunction real;
  portico::gate::NoteLock();
  return portico::gate::Real("pthread_rwlock_wrlock", real)(lock);
}

}  // extern "C"
