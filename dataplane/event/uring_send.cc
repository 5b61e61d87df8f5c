// Sends of the io_uring engine.
#include <errno.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <optional>

#include "dataplane/event/engine_common.h"
#include "dataplane/event/uring_engine.h"
#include "dataplane/event/uring_tags.h"

namespace portico::event {
namespace {

// Larger sends are likely to find the socket's buffer full.
constexpr size_t kMaxQuietBytes = 16 * 1024;

}  // namespace

void UringEngine::PrepareSend(SendOperation& op, io_uring_sqe* submission, int flags) {
  iovec* slices = op.slices + op.first_slice;
  const int count = op.slice_count - op.first_slice;
  flags |= MSG_NOSIGNAL | MSG_WAITALL;
  if (count == 1) {
    io_uring_prep_send(submission, op.fd, slices->iov_base, slices->iov_len, flags);
  } else {
    msghdr& message = messages_[ring_->PlaceOf(submission)];
    message = {};
    message.msg_iov = slices;
    message.msg_iovlen = static_cast<size_t>(count);
    io_uring_prep_sendmsg(submission, op.fd, &message, static_cast<unsigned>(flags));
  }
}

void UringEngine::SubmitSend(SendOperation& op) {
  io_uring_sqe* submission = ring_->NextSubmission();
  PrepareSend(op, submission, 0);
  submission->user_data = UringTags::Of(op);
}

bool UringEngine::SubmitQuietly(SendOperation& op) {
  // Kernels with a minimum wait are those on which this is tested.
  if (!op.awaits_answer || op.pipe != nullptr || !ring_->has_min_wait() ||
      (SocketOf(op.fd) & kReceiving) == 0)
    return false;
  size_t bytes = 0;
  for (int i = 0; i < op.slice_count; ++i) bytes += op.slices[i].iov_len;
  if (bytes > kMaxQuietBytes) return false;
  io_uring_sqe* submission = ring_->NextSubmission();
  // Never waits for room: it has succeeded, as a whole, or failed when the kernel has
  // taken the submission.
  PrepareSend(op, submission, MSG_DONTWAIT);
  submission->flags |= IOSQE_CQE_SKIP_SUCCESS;
  submission->user_data = UringTags::OfQuietSend(op);
  OperationAccess::engine_state(op) = kQuiet;
  OperationAccess::SetResult(op, static_cast<int32_t>(bytes));
  quiet_sends_.PushBack(op);
  return true;
}

void UringEngine::EndQuietSends() {
  if (quiet_sends_.empty() || !ring_->settled()) return;
  ring_->ForEachCompletion([this](const io_uring_cqe& completion) {
    if (UringTags::KindOf(completion.user_data) == UringTags::kQuietSend) {
      LeaveQuietSends(UringTags::OperationOf(completion.user_data));
    }
  });
  while (Operation* op = quiet_sends_.PopFront()) {
    Finish(*op, op->result());
  }
}

void UringEngine::LeaveQuietSends(Operation& op) {
  if (OperationAccess::engine_state(op) != kQuiet) return;
  quiet_sends_.Remove(op);
  OperationAccess::engine_state(op) = kInKernel;
}

void UringEngine::OnSend(SendOperation& op, int32_t result) {
  if (OperationAccess::engine_state(op) == kPipe) {
    OnSocketForPipe(op, result);
    return;
  }
  if (result > 0) {
    op.sent += result;
    // What is in its pipe is not begun any more when it was cancelled meanwhile.
    if (AdvanceSlices(op, static_cast<size_t>(result)) &&
        (op.pipe == nullptr || !OperationAccess::cancel_wanted(op))) {
      if (const std::optional<int32_t> sent = TrySendFromPipe(op)) Complete(op, *sent);
      return;
    }
  } else if (result < 0 && !IsUringRetry(result)) {
    Complete(op, result);
    return;
  }
  // A part was taken: the rest, or the error that was in the way.
  if (OperationAccess::cancel_wanted(op)) {
    Complete(op, -ECANCELED);
  } else {
    SubmitSend(op);
  }
}

}  // namespace portico::event
