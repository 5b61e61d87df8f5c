#include "dataplane/event/engine_common.h"

#include <errno.h>

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

}  // namespace portico::event
