#include "dataplane/event/uring_engine.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "dataplane/base/check.h"
#include "dataplane/base/clock.h"
#include "dataplane/event/engine_common.h"
#include "dataplane/event/uring_tags.h"

namespace portico::event {
namespace {

// Fairness: what one Poll() delivers at most.
constexpr int kDeliveriesPerPoll = 512;

// Gathering, where it is asked for: a worker that is half busy spends much of its time on falling
// asleep and waking up, and waits a little for more than one completion. That is worth while only if what comes
// does not wait for us in turn: a few clients that each await their answer would be slowed
// down, and fall asleep themselves. So there must be more than one completion a turn on
// average, and the sockets must have rested for many times as many completions before bytes
// came for them, as those of many independent clients do.
constexpr unsigned kGatherCount = 16;
constexpr double kLeastBatchToGather = 1.2;
constexpr double kLeastRestPerBatch = 12;
// What rested longer does not count for more.
constexpr uint32_t kMostRest = 128;
// Of what a mean is made: the last so many, about.
constexpr double kBatchesInMean = 16;
constexpr double kRestsInMean = 64;

// How long the end of a quiet send may wait.
constexpr int64_t kMaxQuietNanos = 10 * base::kNanosPerMilli;

// What is lent beyond the first goes back bit by bit, and at once when nothing came for
// this long.
constexpr unsigned kCompletionsPerAgeing = 16 * 1024;
constexpr int64_t kIdleNanos = 100 * base::kNanosPerMilli;

// The most that is lent to the kernel of one size, in bytes and in blocks.
constexpr size_t kMaxLentBytes = 16 << 20;
constexpr unsigned kMaxLent = 1024;
constexpr size_t kMaxGroups = 64;

unsigned MostLent(size_t capacity) {
  return std::min(kMaxLent, static_cast<unsigned>(std::max<size_t>(kMaxLentBytes / capacity, 1)));
}

}  // namespace

UringEngine::UringEngine(std::unique_ptr<UringRing> ring, int wake_fd, unsigned gather_micros)
    : ring_(std::move(ring)),
      wake_fd_(wake_fd),
      gather_micros_(ring_->has_min_wait() ? gather_micros : 0),
      messages_(ring_->submission_entries()) {
  ring_->before_submit = [this] {
    for (const std::unique_ptr<UringBuffers>& group : groups_) group->Refill();
  };
}

UringEngine::~UringEngine() {
  PORTICO_CHECK(ready_.empty() && quiet_sends_.empty() && before_start_.empty());
  for (const std::unique_ptr<Listener>& listener : listeners_) {
    for (const int fd : listener->kept) ::close(fd);
  }
  ::close(wake_fd_);
}

uint8_t UringEngine::BitOf(Operation::Kind kind) {
  switch (kind) {
    case Operation::Kind::kReceive:
    case Operation::Kind::kAccept:
      return kReceiving;
    case Operation::Kind::kSend:
    case Operation::Kind::kConnect:
      return kSending;
    case Operation::Kind::kHangUp:
      return kWatching;
    case Operation::Kind::kNone:
      break;
  }
  return 0;
}

uint8_t& UringEngine::SocketOf(int fd) {
  PORTICO_CHECK(fd >= 0);
  const auto index = static_cast<size_t>(fd);
  if (index >= sockets_.size()) sockets_.resize(std::max(index + 1, sockets_.size() * 2));
  return sockets_[index];
}

void UringEngine::Begin(Operation& op, Operation::Kind kind, int fd) {
  OperationAccess::Begin(op, kind);
  uint8_t& socket = SocketOf(fd);
  PORTICO_CHECK((socket & BitOf(kind)) == 0);
  socket |= BitOf(kind);
}

void UringEngine::StartReceive(ReceiveOperation& op) {
  PORTICO_CHECK(op.pipe == nullptr ? op.pool != nullptr : op.pipe->size() == 0 && op.size_hint > 0);
  Begin(op, Operation::Kind::kReceive, op.fd);
  // Until it completes, the result says since when it rests.
  OperationAccess::SetResult(op, static_cast<int32_t>(delivered_));
  Submit(op);
}

void UringEngine::StartSend(SendOperation& op) {
  Begin(op, Operation::Kind::kSend, op.fd);
  size_t bytes = 0;
  for (int i = 0; i < op.slice_count; ++i) bytes += op.slices[i].iov_len;
  PORTICO_CHECK(bytes <= static_cast<size_t>(std::numeric_limits<int32_t>::max()));
  op.first_slice = 0;
  op.sent = 0;
  if (bytes == 0 && (op.pipe == nullptr || op.pipe->size() == 0)) {
    Finish(op, 0);
  } else {
    Submit(op);
  }
}

void UringEngine::StartAccept(AcceptOperation& op) {
  Begin(op, Operation::Kind::kAccept, op.fd);
  Submit(op);
}

void UringEngine::StartConnect(ConnectOperation& op) {
  Begin(op, Operation::Kind::kConnect, op.fd);
  Submit(op);
}

void UringEngine::StartHangUpWatch(HangUpOperation& op) {
  Begin(op, Operation::Kind::kHangUp, op.fd);
  Submit(op);
}

void UringEngine::Submit(Operation& op) {
  if (ring_->enabled()) {
    SubmitNow(op);
    return;
  }
  OperationAccess::engine_state(op) = kBeforeStart;
  before_start_.PushBack(op);
}

void UringEngine::SubmitNow(Operation& op) {
  OperationAccess::engine_state(op) = kInKernel;
  switch (OperationAccess::kind(op)) {
    case Operation::Kind::kReceive: {
      auto& receive = static_cast<ReceiveOperation&>(op);
      if (receive.pipe != nullptr) {
        if (const std::optional<int32_t> count = TryReceiveIntoPipe(receive)) Finish(op, *count);
        break;
      }
      SubmitReceive(receive, (SocketOf(receive.fd) & kHasMore) == 0);
      break;
    }
    case Operation::Kind::kSend: {
      auto& send = static_cast<SendOperation&>(op);
      if (AdvanceSlices(send, 0)) {
        if (const std::optional<int32_t> sent = TrySendFromPipe(send)) Finish(op, *sent);
      } else if (!SubmitQuietly(send)) {
        SubmitSend(send);
      }
      break;
    }
    case Operation::Kind::kConnect: {
      auto& connect = static_cast<ConnectOperation&>(op);
      io_uring_sqe* submission = ring_->NextSubmission();
      io_uring_prep_connect(submission, connect.fd, reinterpret_cast<sockaddr*>(&connect.peer),
                            connect.peer_length);
      submission->user_data = UringTags::Of(op);
      break;
    }
    case Operation::Kind::kHangUp: {
      SubmitPoll(op, POLLRDHUP);
      break;
    }
    case Operation::Kind::kAccept:
      SubmitAccept(static_cast<AcceptOperation&>(op));
      break;
    case Operation::Kind::kNone:
      break;
  }
}

void UringEngine::SubmitPoll(Operation& op, short events) {
  io_uring_sqe* submission = ring_->NextSubmission();
  io_uring_prep_poll_add(submission, FdOf(op), static_cast<unsigned>(events));
  submission->user_data = UringTags::Of(op);
}

void UringEngine::SubmitReceive(ReceiveOperation& op, bool poll_first) {
  uint8_t& state = OperationAccess::engine_state(op);
  const bool append = op.buffer.size() < op.buffer.capacity();
  UringBuffers* group = nullptr;
  if (!append && state != kOwnBuffer) {
    op.buffer.Reset();
    group = BuffersFor(*op.pool, op.size_hint);
    if (group == nullptr) state = kPolling;
  }
  io_uring_sqe* submission = ring_->NextSubmission();
  if (state == kPolling) {
    io_uring_prep_poll_add(submission, op.fd, POLLIN);
  } else if (group != nullptr) {
    state = static_cast<uint8_t>(kFirstGroup + group->id());
    io_uring_prep_recv(submission, op.fd, nullptr, group->capacity(), 0);
    submission->flags |= IOSQE_BUFFER_SELECT;
    submission->buf_group = group->id();
  } else {
    const size_t start = op.buffer.size();
    io_uring_prep_recv(submission, op.fd, op.buffer.data() + start, op.buffer.capacity() - start,
                       0);
  }
  if (poll_first && state != kPolling) submission->ioprio |= IORING_RECVSEND_POLL_FIRST;
  submission->user_data = UringTags::Of(op);
}

void UringEngine::SubmitCancel(uint64_t user_data) {
  io_uring_sqe* submission = ring_->NextSubmission();
  io_uring_prep_cancel64(submission, user_data, 0);
  // What was cancelled says so itself.
  submission->flags |= IOSQE_CQE_SKIP_SUCCESS;
  submission->user_data = UringTags::kIgnored;
}

UringBuffers* UringEngine::BuffersFor(base::BufferPool& pool, size_t size_hint) {
  const size_t capacity = base::BufferPool::CapacityFor(size_hint);
  for (const std::unique_ptr<UringBuffers>& group : groups_) {
    if (&group->pool() == &pool && group->capacity() == capacity) return group.get();
  }
  const std::pair<const base::BufferPool*, size_t> key(&pool, capacity);
  if (capacity > base::BufferPool::kHuge || groups_.size() == kMaxGroups ||
      std::find(refused_groups_.begin(), refused_groups_.end(), key) != refused_groups_.end()) {
    return nullptr;
  }
  auto group = std::make_unique<UringBuffers>(pool, capacity, static_cast<uint16_t>(groups_.size()),
                                              MostLent(capacity));
  if (group->Register(*ring_) != 0) {
    refused_groups_.push_back(key);
    Count(stats_.buffer_refusals, 1);
    return nullptr;
  }
  groups_.push_back(std::move(group));
  return groups_.back().get();
}

bool UringEngine::AgeBuffers() {
  const bool age = completions_since_ageing_ >= kCompletionsPerAgeing &&
                   !ring_->has_completions() && !ring_->overflowed();
  if (age) completions_since_ageing_ = 0;
  bool grown = false;
  size_t lent_bytes = 0;
  for (const std::unique_ptr<UringBuffers>& group : groups_) {
    if (age) group->Age();
    grown = grown || group->grown();
    lent_bytes += group->lent() * group->capacity();
  }
  stats_.lent_buffer_bytes.store(lent_bytes, std::memory_order_relaxed);
  return grown;
}

void UringEngine::ShrinkBuffers() {
  if (ring_->has_completions() || ring_->overflowed()) return;
  for (const std::unique_ptr<UringBuffers>& group : groups_) group->ShrinkToFirst();
}

void UringEngine::Finish(Operation& op, int32_t result) {
  OperationAccess::engine_state(op) = kReady;
  OperationAccess::SetResult(op, result);
  ready_.PushBack(op);
}

void UringEngine::Cancel(Operation& op) {
  if (!op.pending() || OperationAccess::cancel_wanted(op)) return;
  const uint8_t state = OperationAccess::engine_state(op);
  if (state == kReady) return;  // It was faster.
  OperationAccess::SetCancelWanted(op);
  if (state == kBeforeStart) {
    before_start_.Remove(op);
    Finish(op, -ECANCELED);
  } else if (state == kListening) {
    CancelAccept(static_cast<AcceptOperation&>(op));
  } else if (state == kQuiet) {
    // It ends with the next Poll(), which does not wait.
    quiet_cancelled_ = true;
  } else {
    SubmitCancel(UringTags::Of(op));
  }
}

void UringEngine::Close(int fd) {
  uint8_t& socket = SocketOf(fd);
  PORTICO_CHECK((socket & (kReceiving | kSending | kWatching)) == 0);
  if ((socket & kListens) != 0) CloseListener(fd);
  socket = 0;
  // Nothing of the kernel refers to it any more: every operation has completed.
  ::close(fd);
  Count(stats_.system_calls, 1);
}

void UringEngine::Start() {
  // Fails when the ring was enabled by another thread.
  PORTICO_CHECK(ring_->Enable() == 0);
  ArmWake();
  OperationList waiting;
  waiting.Swap(before_start_);
  while (Operation* op = waiting.PopFront()) SubmitNow(*op);
}

void UringEngine::Poll(int64_t timeout_nanos, absl::FunctionRef<void()> after_wait) {
  if (!ring_->enabled()) Start();
  const bool buffers_grown = AgeBuffers();
  const UringRing::Wait wait = WaitFor(timeout_nanos, buffers_grown);
  quiet_cancelled_ = false;
  ring_->Enter(wait);
  after_wait();
  EndQuietSends();
  if (buffers_grown && wait.timeout_nanos == kIdleNanos) ShrinkBuffers();
  Deliver();
}

UringRing::Wait UringEngine::WaitFor(int64_t timeout_nanos, bool buffers_grown) const {
  UringRing::Wait wait;
  if (timeout_nanos == 0 || !ready_.empty() || quiet_cancelled_ || ring_->has_completions())
    return wait;
  const auto limit = [&](int64_t nanos) {
    if (timeout_nanos < 0 || timeout_nanos > nanos) timeout_nanos = nanos;
  };
  if (!quiet_sends_.empty()) limit(kMaxQuietNanos);
  if (buffers_grown) limit(kIdleNanos);
  wait.count = 1;
  wait.timeout_nanos = timeout_nanos;
  if (ShouldGather() &&
      (timeout_nanos < 0 || timeout_nanos > 2 * int64_t{gather_micros_} * 1000)) {
    wait.count = kGatherCount;
    wait.min_micros = gather_micros_;
  }
  return wait;
}

bool UringEngine::ShouldGather() const {
  return gather_micros_ != 0 && mean_batch_ >= kLeastBatchToGather &&
         mean_rest_ >= kLeastRestPerBatch * mean_batch_;
}

void UringEngine::NoteRest(const ReceiveOperation& op) {
  const uint32_t rest = std::min(delivered_ - static_cast<uint32_t>(op.result()), kMostRest);
  mean_rest_ += (rest - mean_rest_) / kRestsInMean;
}

void UringEngine::Complete(Operation& op, int32_t result) {
  SocketOf(FdOf(op)) &= static_cast<uint8_t>(~BitOf(OperationAccess::kind(op)));
  ++completions_;
  OperationAccess::Complete(op, result);
}

void UringEngine::Deliver() {
  unsigned delivered = 0;
  io_uring_cqe completion;
  // What becomes ready meanwhile has its turn after the ring's: a body whose pieces are
  // always there would keep everybody else waiting.
  OperationList due;
  due.Swap(ready_);
  for (int left = kDeliveriesPerPoll; left > 0; --left) {
    if (Operation* op = due.PopFront()) {
      Complete(*op, op->result());
    } else if (ring_->Pop(completion)) {
      ++delivered;
      ++delivered_;
      OnCompletion(completion);
    } else {
      break;
    }
  }
  ready_.Prepend(due);
  if (delivered != 0) mean_batch_ += (delivered - mean_batch_) / kBatchesInMean;
  completions_since_ageing_ += delivered;
  Count(stats_.completions, std::exchange(completions_, 0));
  Count(stats_.system_calls, ring_->enters() - counted_enters_);
  counted_enters_ = ring_->enters();
  Count(stats_.system_calls, std::exchange(splices_, 0));
}

void UringEngine::OnCompletion(const io_uring_cqe& completion) {
  switch (UringTags::KindOf(completion.user_data)) {
    case UringTags::kQuietSend:
      LeaveQuietSends(UringTags::OperationOf(completion.user_data));
      [[fallthrough]];
    case UringTags::kOperation:
      OnOperation(UringTags::OperationOf(completion.user_data), completion);
      break;
    case UringTags::kListener:
      OnAccept(UringTags::ListenerOf<Listener>(completion.user_data), completion);
      break;
    case UringTags::kWake:
      if ((completion.flags & IORING_CQE_F_MORE) == 0) ArmWake();
      break;
    default:
      break;  // A cancellation that came too late.
  }
}

void UringEngine::OnOperation(Operation& op, const io_uring_cqe& completion) {
  switch (OperationAccess::kind(op)) {
    case Operation::Kind::kReceive:
      OnReceive(static_cast<ReceiveOperation&>(op), completion);
      break;
    case Operation::Kind::kSend:
      OnSend(static_cast<SendOperation&>(op), completion.res);
      break;
    case Operation::Kind::kHangUp:
      // Otherwise the events of the poll.
      Complete(op, std::min(completion.res, 0));
      break;
    default:
      Complete(op, completion.res);
      break;
  }
}

void UringEngine::OnReceive(ReceiveOperation& op, const io_uring_cqe& completion) {
  const int32_t result = completion.res;
  uint8_t& state = OperationAccess::engine_state(op);
  NoteRest(op);
  if (state == kPipe) {
    OnSocketForPipe(op, result);
    return;
  }
  if (state == kPolling && result >= 0) {
    // Bytes are there, so that it is time for a buffer.
    if (OperationAccess::cancel_wanted(op)) {
      Complete(op, -ECANCELED);
      return;
    }
    state = kOwnBuffer;
    op.buffer = op.pool->Allocate(op.size_hint);
    SubmitReceive(op, /*poll_first=*/false);
    return;
  }
  uint8_t& socket = SocketOf(op.fd);
  const bool has_more = (completion.flags & IORING_CQE_F_SOCK_NONEMPTY) != 0;
  socket = static_cast<uint8_t>(has_more ? socket | kHasMore : socket & ~kHasMore);
  if (state >= kFirstGroup) {
    TakeBuffer(op, *groups_[static_cast<size_t>(state - kFirstGroup)], completion);
  } else if (result > 0) {
    op.buffer.set_size(op.buffer.size() + static_cast<size_t>(result));
  } else if (state == kOwnBuffer) {
    op.buffer.Reset();
    state = kInKernel;
  }
  if (result != -ENOBUFS && !IsUringRetry(result)) {
    Complete(op, result);
  } else if (OperationAccess::cancel_wanted(op)) {
    Complete(op, -ECANCELED);
  } else {
    // Without a buffer there are bytes for sure, and by the submission there are buffers.
    SubmitReceive(op, /*poll_first=*/result != -ENOBUFS);
  }
}

void UringEngine::TakeBuffer(ReceiveOperation& op, UringBuffers& group,
                             const io_uring_cqe& completion) {
  if ((completion.flags & IORING_CQE_F_BUFFER) != 0) {
    const auto buffer_id = static_cast<uint16_t>(completion.flags >> IORING_CQE_BUFFER_SHIFT);
    if (completion.res > 0) {
      op.buffer = group.Take(buffer_id);
      op.buffer.set_size(static_cast<size_t>(completion.res));
    } else {
      group.Recycle(buffer_id);
    }
  }
  if (completion.res == -ENOBUFS) {
    Count(stats_.buffer_shortages, 1);
    group.WantMore();
  }
}

void UringEngine::ArmWake() {
  io_uring_sqe* submission = ring_->NextSubmission();
  // The eventfd is never read: every write is an event of its own.
  io_uring_prep_poll_multishot(submission, wake_fd_, POLLIN);
  submission->user_data = UringTags::kWake;
}

void UringEngine::Wake() {
  const uint64_t one = 1;
  // Fails only when 2^64 - 2 writes were not read, and then an event is pending.
  [[maybe_unused]] const ssize_t written = ::write(wake_fd_, &one, sizeof(one));
}

}  // namespace portico::event
