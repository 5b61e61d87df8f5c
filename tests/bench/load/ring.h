// An io_uring for one thread, set up for the least cost per operation. What the load
// generator and the upstream of the benchmarks share.
#ifndef TESTS_BENCH_LOAD_RING_H_
#define TESTS_BENCH_LOAD_RING_H_

#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"

namespace portico::bench {

// Nanoseconds of CLOCK_MONOTONIC.
int64_t NowNanos();

// What an operation was for, packed into a completion's user data: the index of the connection,
// how often that index has been used before, and the kind of operation.
struct Tag {
  uint32_t index = 0;
  uint32_t generation = 0;  // 24 bits
  uint8_t operation = 0;

  uint64_t Pack() const {
    return (uint64_t{index} << 32) | (uint64_t{generation & 0xffffff} << 8) | operation;
  }
  static Tag Unpack(uint64_t data) {
    return {.index = static_cast<uint32_t>(data >> 32),
            .generation = static_cast<uint32_t>(data >> 8) & 0xffffff,
            .operation = static_cast<uint8_t>(data)};
  }
};

// Used by the thread that created it only.
class Ring {
 public:
  // `entries`: operations that can be queued before the kernel is entered; a power of two.
  // Errors: Unavailable when this kernel or container does not allow io_uring.
  static absl::StatusOr<std::unique_ptr<Ring>> Create(unsigned entries);
  ~Ring();
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  // Completes with the number of bytes, 0 at the end of the stream, or a negative errno. `flags` are
  // those of recv(2). `expect_wait`: nothing is there yet, so the kernel need not try first.
  void Recv(Tag tag, int fd, void* buffer, size_t size, int flags, bool expect_wait);
  // Sends everything; completes only if that fails. `bytes` stay unchanged until the peer has
  // acted on them.
  void Send(Tag tag, int fd, const void* bytes, size_t size);
  // Completes once for each connection taken; `more` of Reap is false with the last one.
  void Accept(Tag tag, int fd);

  // Enters the kernel until something has completed, at most until `deadline` (NowNanos; 0: no limit).
  void Wait(int64_t deadline);

  // Calls handle(Tag, int result, bool more) for everything that has completed.
  template <typename Handler>
  void Reap(Handler&& handle) {
    unsigned head = 0;
    unsigned seen = 0;
    io_uring_cqe* cqe = nullptr;
    io_uring_for_each_cqe(&ring_, head, cqe) {
      ++seen;
      handle(Tag::Unpack(cqe->user_data), cqe->res, (cqe->flags & IORING_CQE_F_MORE) != 0);
    }
    io_uring_cq_advance(&ring_, seen);
  }

 private:
  Ring() = default;
  io_uring_sqe* Next();

  io_uring ring_ = {};
};

}  // namespace portico::bench

#endif  // TESTS_BENCH_LOAD_RING_H_
