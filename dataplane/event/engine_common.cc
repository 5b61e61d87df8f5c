#include "dataplane/event/engine_common.h"

#include <errno.h>
#include <fcntl.h>

#include "dataplane/event/pipe.h"

namespace portico::event {

int FdOf(const Operation& op) {
  switch (OperationAccess::kind(op)) {
    case Operation::Kind::kReceive:
      return static_cast<const ReceiveOperation&>(op).fd;
    case Operation::Kind::kSend:
      return static_cast<const SendOperation&>(op).fd;
    case Operation::Kind::kAccept:
      return static_cast<const AcceptOperation&>(op).fd;
    case Operation::Kind::kConnect:
      return static_cast<const ConnectOperation&>(op).fd;
    case Operation::Kind::kHangUp:
      return static_cast<const HangUpOperation&>(op).fd;
    case Operation::Kind::kNone:
      break;
  }
  return -1;
}

bool IsErrorOfOneConnection(int error) {
  switch (error) {
    case EINTR:
    case EAGAIN:
    case ECONNABORTED:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case EPERM:
      return true;
    default:
      return false;
  }
}

bool AdvanceSlices(SendOperation& op, size_t count) {
  while (op.first_slice < op.slice_count) {
    iovec& slice = op.slices[op.first_slice];
    if (count < slice.iov_len) {
      slice.iov_base = static_cast<char*>(slice.iov_base) + count;
      slice.iov_len -= count;
      return false;
    }
    count -= slice.iov_len;
    ++op.first_slice;
  }
  return true;
}

int32_t SpliceIntoPipe(ReceiveOperation& op, uint64_t& system_calls) {
  ssize_t count;
  do {
    ++system_calls;
    count = ::splice(op.fd, nullptr, op.pipe->write_end(), nullptr, op.size_hint,
                     SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  } while (count < 0 && errno == EINTR);
  // The pipe is empty, so with EAGAIN it is the socket that is, too.
  if (count < 0) return -errno;
  op.pipe->Filled(static_cast<size_t>(count));
  return static_cast<int32_t>(count);
}

int32_t SpliceFromPipe(SendOperation& op, uint64_t& system_calls) {
  while (op.pipe != nullptr && op.pipe->size() > 0) {
    ++system_calls;
    const ssize_t count = ::splice(op.pipe->read_end(), nullptr, op.fd, nullptr, op.pipe->size(),
                                   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    // The pipe is not empty, so it would have given something.
    if (count == 0) return -EIO;
    if (count < 0) {
      if (errno == EINTR) continue;
      return -errno;
    }
    op.pipe->Emptied(static_cast<size_t>(count));
    op.sent += static_cast<int32_t>(count);
  }
  return op.sent;
}

}  // namespace portico::event
