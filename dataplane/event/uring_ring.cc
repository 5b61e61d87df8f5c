#include "dataplane/event/uring_ring.h"

#include <errno.h>

#include <cstdlib>
#include <memory>

#include "dataplane/base/check.h"
#include "dataplane/base/clock.h"

namespace portico::event {
namespace {

// Later than the liburing that we are built with.
constexpr unsigned kFeatureMinTimeout = 1u << 15;  // Kernel 6.12

constexpr unsigned kSetupFlags = IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL |
                                 IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;

constexpr unsigned kNeededFeatures = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE |
                                     IORING_FEAT_FAST_POLL | IORING_FEAT_POLL_32BITS | IORING_FEAT_EXT_ARG |
                                     IORING_FEAT_CQE_SKIP;

constexpr int kNeededOpcodes[] = {IORING_OP_RECV,    IORING_OP_SEND,     IORING_OP_SENDMSG,     IORING_OP_ACCEPT,
                                  IORING_OP_CONNECT, IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL};

}  // namespace

UringRing::~UringRing() {
  if (!open_) return;
  // A registered index belongs to the thread that registered it, which has ended or
  // takes it along.
  io_uring_queue_exit(&ring_);
}

int UringRing::Open(unsigned submission_entries, unsigned completion_entries) {
  io_uring_params params = {};
  params.flags = kSetupFlags;
  params.cq_entries = completion_entries;
  if (const int error = io_uring_queue_init_params(submission_entries, &ring_, &params); error != 0) return error;
  int error = -EOPNOTSUPP;
  if ((params.features & kNeededFeatures) == kNeededFeatures) error = CheckOpcodes();
  if (error != 0) {
    io_uring_queue_exit(&ring_);
    return error;
  }
  open_ = true;
  enter_fd_ = ring_.ring_fd;
  has_min_wait_ = (params.features & kFeatureMinTimeout) != 0;
  // Submissions are used in order, always.
  for (unsigned i = 0; i < ring_.sq.ring_entries; ++i) ring_.sq.array[i] = i;
  return 0;
}

int UringRing::CheckOpcodes() {
  const std::unique_ptr<io_uring_probe, decltype(&io_uring_free_probe)> probe(io_uring_get_probe_ring(&ring_),
                                                                              &io_uring_free_probe);
  if (probe == nullptr) return -EOPNOTSUPP;
  for (const int opcode : kNeededOpcodes) {
    if (io_uring_opcode_supported(probe.get(), opcode) == 0) return -EOPNOTSUPP;
  }
  return 0;
}

int UringRing::Enable() {
  const auto fd = static_cast<unsigned>(ring_.ring_fd);
  if (const int error = io_uring_register(fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0); error < 0) return error;
  enabled_ = true;
  // Spares every call the look-up of the descriptor; without it all works the same.
  if (io_uring_register_ring_fd(&ring_) == 1) {
    enter_fd_ = ring_.enter_ring_fd;
    enter_flags_ = IORING_ENTER_REGISTERED_RING;
  }
  return 0;
}

io_uring_sqe* UringRing::NextSubmission() {
  PORTICO_CHECK(enabled_);
  while (Unsubmitted() == ring_.sq.ring_entries) {
    // The kernel may ask for room on the other ring first.
    Save();
    Enter({});
  }
  return &ring_.sq.sqes[tail_++ & ring_.sq.ring_mask];
}

void UringRing::Enter(const Wait& wait) {
  const int result = Call(wait);
  // Nothing came in time, a signal, or the kernel is short of something: the caller
  // goes round its loop. All else is ours.
  PORTICO_CHECK(result >= 0 || result == -ETIME || result == -EINTR || result == -EBUSY || result == -EAGAIN);
}

int UringRing::Try() {
  io_uring_prep_nop(NextSubmission());
  const int result = Call({.count = 1, .min_micros = 0, .timeout_nanos = base::kNanosPerSecond});
  if (result < 0) return result;
  io_uring_cqe completion;
  return Pop(completion) ? completion.res : -EOPNOTSUPP;
}

int UringRing::Call(const Wait& wait) {
  if (before_submit) before_submit();
  io_uring_smp_store_release(ring_.sq.ktail, tail_);
  __kernel_timespec timeout = {};
  io_uring_getevents_arg arg = {};
  static_assert(sizeof(arg) == 24);
  if (wait.count != 0) {
    arg.pad = wait.min_micros;  // min_wait_usec in newer headers
    if (wait.timeout_nanos >= 0) {
      timeout.tv_sec = wait.timeout_nanos / base::kNanosPerSecond;
      timeout.tv_nsec = wait.timeout_nanos % base::kNanosPerSecond;
      arg.ts = reinterpret_cast<uint64_t>(&timeout);
    }
  }
  ++enters_;
  const int result =
      io_uring_enter2(static_cast<unsigned>(enter_fd_), Unsubmitted(), wait.count,
                      IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | enter_flags_,
                      reinterpret_cast<sigset_t*>(&arg), sizeof(arg));
  if (result > 0) submissions_ += static_cast<unsigned>(result);
  return result;
}

void UringRing::Save() {
  if (saved_next_ == saved_.size()) {
    saved_.clear();
    saved_next_ = 0;
  }
  for (unsigned head = *ring_.cq.khead; head != io_uring_smp_load_acquire(ring_.cq.ktail); ++head) {
    saved_.push_back(ring_.cq.cqes[head & ring_.cq.ring_mask]);
    io_uring_smp_store_release(ring_.cq.khead, head + 1);
  }
}

bool UringRing::PopSaved(io_uring_cqe& completion) {
  completion = saved_[saved_next_++];
  return true;
}

int UringRing::RegisterBufferRing(io_uring_buf_ring* ring, unsigned entries, uint16_t id) {
  io_uring_buf_reg registration = {};
  registration.ring_addr = reinterpret_cast<uint64_t>(ring);
  registration.ring_entries = entries;
  registration.bgid = id;
  return io_uring_register_buf_ring(&ring_, &registration, 0);
}

}  // namespace portico::event
