#include "dataplane/net/await.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace portico::net {

absl::Status ErrnoStatus(int error, const char* what) {
  const char* name = strerrorname_np(error);
  const char* description = strerrordesc_np(error);
  const std::string message = absl::StrCat(what, ": ", description == nullptr ? "unknown error" : description, " (",
                                           name == nullptr ? absl::StrCat(error) : name, ")");
  switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EADDRNOTAVAIL:  // No free port.
      return absl::ResourceExhaustedError(message);
    default:
      return absl::UnavailableError(message);
  }
}

template <typename OperationType>
absl::StatusOr<int> OperationAwaiter<OperationType>::Finish(const char* what) {
  // Not started: the scope was requested before.
  if (!linked_) return scope_.reason();
  scope_.Unlink(*this);
  linked_ = false;
  const int32_t result = op_.result();
  if (result >= 0) return result;
  if (result == -ECANCELED && scope_.requested()) return scope_.reason();
  return ErrnoStatus(-result, what);
}

template class OperationAwaiter<event::ReceiveOperation>;
template class OperationAwaiter<event::SendOperation>;
template class OperationAwaiter<event::ConnectOperation>;
template class OperationAwaiter<event::AcceptOperation>;

absl::StatusOr<base::Buffer> Receive::await_resume() {
  const absl::StatusOr<int> count = Finish("receive");
  if (!count.ok()) return count.status();
  if (*count == 0 || op_.pipe != nullptr) return base::Buffer();
  return std::move(op_.buffer);
}

bool Send::Add(std::string_view bytes) {
  if (bytes.empty()) return true;
  if (op_.slice_count > 0) {
    iovec& last = op_.slices[op_.slice_count - 1];
    if (static_cast<const char*>(last.iov_base) + last.iov_len == bytes.data()) {
      last.iov_len += bytes.size();
      bytes_ += bytes.size();
      return true;
    }
  }
  if (op_.slice_count == kMaxSlices) return false;
  iovec& slice = op_.slices[op_.slice_count++];
  slice.iov_base = const_cast<char*>(bytes.data());
  slice.iov_len = bytes.size();
  bytes_ += bytes.size();
  return true;
}

absl::Status Send::await_resume() {
  const absl::StatusOr<int> sent = Finish("send");
  op_.slice_count = 0;
  op_.pipe = nullptr;
  op_.awaits_answer = false;
  bytes_ = 0;
  return sent.status();
}

Connect::Connect(event::Loop& loop, event::CancelScope& scope, const SocketAddress& address)
    : OperationAwaiter(scope), loop_(loop), address_(address) {}

Connect::~Connect() {
  if (op_.fd >= 0) loop_.engine().Close(op_.fd);
}

bool Connect::await_ready() {
  socket_error_ = 0;
  if (OperationAwaiter::await_ready()) return true;
  op_.peer_length = address_.ToSockaddr(op_.peer);
  op_.fd = ::socket(op_.peer.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (op_.fd < 0) {
    socket_error_ = errno;
    return true;
  }
  const int one = 1;
  ::setsockopt(op_.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  return false;
}

void Connect::StartOperation(event::ConnectOperation& op) { loop_.engine().StartConnect(op); }

void Connect::CancelOperation(event::ConnectOperation& op) { loop_.engine().Cancel(op); }

absl::StatusOr<std::unique_ptr<ByteStream>> Connect::await_resume() {
  if (socket_error_ != 0) return ErrnoStatus(socket_error_, "socket");
  const absl::StatusOr<int> connected = Finish("connect");
  const int fd = std::exchange(op_.fd, -1);
  if (!connected.ok()) {
    if (fd >= 0) loop_.engine().Close(fd);
    return connected.status();
  }
  return MakeTcpStream(loop_, fd);
}

absl::StatusOr<AcceptedSocket> Accept::await_resume() {
  const absl::StatusOr<int> fd = Finish("accept");
  if (!fd.ok()) return fd.status();
  return AcceptedSocket{*fd, SocketAddress::FromSockaddr(op_.peer)};
}

void HangUpWatch::Watch(event::CancelScope& scope) {
  scope_ = &scope;
  if (hung_up_) {
    scope.Request(absl::CancelledError("the peer closed the connection"));
    return;
  }
  if (op_.pending()) return;
  op_.context = this;
  op_.on_complete = &HangUpWatch::OnComplete;
  stream_.StartHangUpWatch(op_);
}

void HangUpWatch::OnComplete(event::Operation& op) {
  auto* self = static_cast<HangUpWatch*>(op.context);
  if (op.result() != -ECANCELED) {
    self->hung_up_ = true;
    if (self->scope_ != nullptr) self->scope_->Request(absl::CancelledError("the peer closed the connection"));
  }
  // Last: whoever waits for the end may destroy the watch.
  if (std::coroutine_handle<> waiter = std::exchange(self->waiter_, {})) waiter.resume();
}

}  // namespace portico::net
