// Bytes that pass through pipes, in the io_uring engine.
#include <errno.h>
#include <poll.h>

#include <optional>

#include "dataplane/event/engine_common.h"
#include "dataplane/event/uring_engine.h"

namespace portico::event {

std::optional<int32_t> UringEngine::TryReceiveIntoPipe(ReceiveOperation& op) {
  uint8_t& socket = SocketOf(op.fd);
  if ((socket & kHasMore) != 0) {
    const int32_t count = SpliceIntoPipe(op, splices_);
    // There may be more: the next receive tries, and waits if there is not.
    if (count != -EAGAIN) return count;
    socket = static_cast<uint8_t>(socket & ~kHasMore);
  }
  OperationAccess::engine_state(op) = kPipe;
  SubmitPoll(op, POLLIN);
  return std::nullopt;
}

std::optional<int32_t> UringEngine::TrySendFromPipe(SendOperation& op) {
  const int32_t sent = SpliceFromPipe(op, splices_);
  if (sent != -EAGAIN) return sent;
  OperationAccess::engine_state(op) = kPipe;
  SubmitPoll(op, POLLOUT);
  return std::nullopt;
}

void UringEngine::OnSocketForPipe(Operation& op, int32_t result) {
  // Otherwise the events of the poll, an error of the socket's among them: trying tells.
  if (result < 0 || OperationAccess::cancel_wanted(op)) {
    Complete(op, result < 0 ? result : -ECANCELED);
    return;
  }
  std::optional<int32_t> done;
  if (OperationAccess::kind(op) == Operation::Kind::kReceive) {
    auto& receive = static_cast<ReceiveOperation&>(op);
    SocketOf(receive.fd) |= kHasMore;
    done = TryReceiveIntoPipe(receive);
  } else {
    done = TrySendFromPipe(static_cast<SendOperation&>(op));
  }
  if (done.has_value()) Complete(op, *done);
}

}  // namespace portico::event
