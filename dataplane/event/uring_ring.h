// The rings shared with the kernel, and the one system call that moves them on.
#ifndef DATAPLANE_EVENT_URING_RING_H_
#define DATAPLANE_EVENT_URING_RING_H_

#include <errno.h>
#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace portico::event {

// The kernel had no time, rather than an answer.
inline bool IsUringRetry(int32_t result) { return result == -EINTR || result == -EAGAIN; }

// Set up by any thread; from Enable() on used by the thread that called it, only.
// What runs in the kernel for the ring runs inside Enter().
class UringRing {
 public:
  UringRing() = default;
  ~UringRing();
  UringRing(const UringRing&) = delete;
  UringRing& operator=(const UringRing&) = delete;

  // Asks for a disabled ring. 0 or -errno; after an error nothing is open. -EOPNOTSUPP
  // when the kernel gives a ring but lacks something that is needed.
  int Open(unsigned submission_entries, unsigned completion_entries);
  // Makes the calling thread the ring's only user. 0 or -errno.
  int Enable();
  bool enabled() const { return enabled_; }

  // A submission to fill in with io_uring_prep_...(), never nullptr. Submits what is
  // there when the queue is full. Enabled rings only.
  io_uring_sqe* NextSubmission();
  // Its place, below submission_entries(): the same until the kernel has taken it.
  unsigned PlaceOf(const io_uring_sqe* submission) const {
    return static_cast<unsigned>(submission - ring_.sq.sqes);
  }
  unsigned submission_entries() const { return ring_.sq.ring_entries; }
  // Called before every submission, to bring up to date what it refers to.
  std::function<void()> before_submit;

  // How long to wait: for `count` completions within `min_micros` (0: for as long as
  // it takes), after that for one; at most `timeout_nanos` (negative: for ever).
  struct Wait {
    unsigned count = 0;
    unsigned min_micros = 0;
    int64_t timeout_nanos = -1;
  };
  // Submits what is there, lets the kernel do its work for this thread, and waits.
  void Enter(const Wait& wait);
  // One submission and its completion, to see whether they are allowed. 0 or -errno.
  int Try();
  // Whether min_micros works; if not it must be 0.
  bool has_min_wait() const { return has_min_wait_; }

  // Takes the next completion; false if there is none.
  bool Pop(io_uring_cqe& completion) {
    if (saved_next_ != saved_.size()) return PopSaved(completion);
    const unsigned head = *ring_.cq.khead;
    if (head == io_uring_smp_load_acquire(ring_.cq.ktail)) return false;
    completion = ring_.cq.cqes[head & ring_.cq.ring_mask];
    io_uring_smp_store_release(ring_.cq.khead, head + 1);
    return true;
  }
  bool has_completions() const {
    return saved_next_ != saved_.size() || *ring_.cq.khead != io_uring_smp_load_acquire(ring_.cq.ktail);
  }

  // Calls `look` with each completion that Pop() would bring now.
  template <typename Look>
  void ForEachCompletion(Look look) const {
    for (size_t i = saved_next_; i != saved_.size(); ++i) look(saved_[i]);
    const unsigned tail = io_uring_smp_load_acquire(ring_.cq.ktail);
    for (unsigned head = *ring_.cq.khead; head != tail; ++head)
      look(ring_.cq.cqes[head & ring_.cq.ring_mask]);
  }
  // Whether the kernel has taken all submissions, and shows all their completions.
  bool settled() const { return Unsubmitted() == 0 && !overflowed(); }
  // Whether the kernel keeps completions for which the ring has no room.
  bool overflowed() const {
    return (IO_URING_READ_ONCE(*ring_.sq.kflags) & IORING_SQ_CQ_OVERFLOW) != 0;
  }

  // Registers `ring` of `entries` buffers as group `id`. 0 or -errno.
  int RegisterBufferRing(io_uring_buf_ring* ring, unsigned entries, uint16_t id);

  // System calls made by NextSubmission() and Enter().
  uint64_t enters() const { return enters_; }
  uint64_t submissions() const { return submissions_; }

 private:
  int CheckOpcodes();
  bool PopSaved(io_uring_cqe& completion);
  // Takes the completions off the kernel's ring, so that it can go on.
  void Save();
  int Call(const Wait& wait);
  // Submissions that the kernel was not told of.
  unsigned Unsubmitted() const { return tail_ - io_uring_smp_load_acquire(ring_.sq.khead); }

  io_uring ring_ = {};
  bool open_ = false;
  bool enabled_ = false;
  bool has_min_wait_ = false;
  // The fd or its registered index, and the flag that tells which.
  int enter_fd_ = -1;
  unsigned enter_flags_ = 0;
  // Of the submission queue; the kernel's copy follows at submission.
  unsigned tail_ = 0;
  std::vector<io_uring_cqe> saved_;
  size_t saved_next_ = 0;
  uint64_t enters_ = 0;
  uint64_t submissions_ = 0;
};

}  // namespace portico::event

#endif  // DATAPLANE_EVENT_URING_RING_H_
