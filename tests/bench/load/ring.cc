#include "tests/bench/load/ring.h"

#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace portico::bench {

int64_t NowNanos() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

absl::StatusOr<std::unique_ptr<Ring>> Ring::Create(unsigned entries) {
  std::unique_ptr<Ring> created(new Ring());
  io_uring_params params = {};
  // COOP_TASKRUN and DEFER_TASKRUN: completions are worked off when this thread waits, in one go,
  // rather than by interrupting it.
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE;
  params.cq_entries = entries * 4;
  const int failed = io_uring_queue_init_params(entries, &created->ring_, &params);
  if (failed < 0) {
    return absl::UnavailableError(absl::StrCat("io_uring_setup: ", strerror(-failed),
                                               "; the benchmarks' load tools need Linux 6.1 with "
                                               "io_uring allowed (sysctl kernel.io_uring_disabled=0)"));
  }
  io_uring_register_ring_fd(&created->ring_);  // Saves a look-up; does without if refused.
  return created;
}

Ring::~Ring() { io_uring_queue_exit(&ring_); }

io_uring_sqe* Ring::Next() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (sqe == nullptr) {
    io_uring_submit(&ring_);
    sqe = io_uring_get_sqe(&ring_);
  }
  return sqe;
}

void Ring::Recv(Tag tag, int fd, void* buffer, size_t size, int flags, bool expect_wait) {
  io_uring_sqe* sqe = Next();
  io_uring_prep_recv(sqe, fd, buffer, size, flags);
  if (expect_wait) sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
  sqe->user_data = tag.Pack();
}

void Ring::Send(Tag tag, int fd, const void* bytes, size_t size) {
  io_uring_sqe* sqe = Next();
  io_uring_prep_send(sqe, fd, bytes, size, MSG_NOSIGNAL | MSG_WAITALL);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  sqe->user_data = tag.Pack();
}

void Ring::Accept(Tag tag, int fd) {
  io_uring_sqe* sqe = Next();
  io_uring_prep_multishot_accept(sqe, fd, nullptr, nullptr, SOCK_CLOEXEC);
  sqe->user_data = tag.Pack();
}

void Ring::Wait(int64_t deadline) {
  if (io_uring_cq_ready(&ring_) > 0) {
    io_uring_submit(&ring_);
    return;
  }
  if (deadline == 0) {
    io_uring_submit_and_wait(&ring_, 1);
    return;
  }
  const int64_t left = std::max<int64_t>(deadline - NowNanos(), 0);
  __kernel_timespec timeout = {.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000};
  io_uring_cqe* unused = nullptr;
  io_uring_submit_and_wait_timeout(&ring_, &unused, 1, &timeout, nullptr);
}

}  // namespace portico::bench
