#include "dataplane/event/epoll_engine.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "dataplane/base/check.h"
#include "dataplane/base/clock.h"
#include "dataplane/event/engine_common.h"

namespace portico::event {
namespace {

constexpr size_t kEventsPerWait = 256;
// Fairness: what one Poll() delivers at most, and how many in a row may deliver
// leftovers without asking the kernel for news.
constexpr int kDeliveriesPerPoll = 512;
constexpr int kMaxPollsWithoutWait = 4;

constexpr uint64_t kWakeEvent = std::numeric_limits<uint64_t>::max();

int ToMilliseconds(int64_t nanos) {
  if (nanos < 0) return -1;
  const int64_t millis = nanos / base::kNanosPerMilli + (nanos % base::kNanosPerMilli != 0 ? 1 : 0);
  return static_cast<int>(std::min<int64_t>(millis, std::numeric_limits<int>::max()));
}

ssize_t SendSlices(const SendOperation& op) {
  const int count = op.slice_count - op.first_slice;
  const iovec* slices = op.slices + op.first_slice;
  if (count == 1) return ::send(op.fd, slices->iov_base, slices->iov_len, MSG_NOSIGNAL);
  msghdr message = {};
  message.msg_iov = const_cast<iovec*>(slices);
  message.msg_iovlen = static_cast<size_t>(count);
  return ::sendmsg(op.fd, &message, MSG_NOSIGNAL);
}

}  // namespace

EpollEngine::EpollEngine(int epoll_fd, int wake_fd) : epoll_fd_(epoll_fd), wake_fd_(wake_fd), events_(kEventsPerWait) {}

EpollEngine::~EpollEngine() {
  PORTICO_CHECK(ready_.empty());
  ::close(wake_fd_);
  ::close(epoll_fd_);
}

EpollEngine::Socket& EpollEngine::NewSocket(int fd) {
  PORTICO_CHECK(fd >= 0);
  const auto index = static_cast<size_t>(fd);
  if (index >= sockets_.size()) sockets_.resize(std::max(index + 1, sockets_.size() * 2));
  sockets_[index] = std::make_unique<Socket>();
  return *sockets_[index];
}

bool EpollEngine::Register(int fd, Socket& socket, Operation& op) {
  if (socket.registered) return true;
  epoll_event event = {};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.u64 = static_cast<uint64_t>(fd);
  ++system_calls_;
  if (::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) {
    Finish(op, -errno);
    return false;
  }
  socket.registered = true;
  return true;
}

void EpollEngine::MakeReady(Operation& op) {
  OperationAccess::engine_state(op) = kReady;
  ready_.PushBack(op);
}

void EpollEngine::Finish(Operation& op, int32_t result) {
  OperationAccess::engine_state(op) = kDone;
  OperationAccess::SetResult(op, result);
  ready_.PushBack(op);
}

void EpollEngine::StartReceive(ReceiveOperation& op) {
  PORTICO_CHECK(op.pipe == nullptr ? op.pool != nullptr : op.pipe->size() == 0 && op.size_hint > 0);
  OperationAccess::Begin(op, Operation::Kind::kReceive);
  Socket& socket = SocketOf(op.fd);
  PORTICO_CHECK(socket.reader == nullptr);
  socket.reader = &op;
  if (!Register(op.fd, socket, op)) return;
  if (socket.readable) MakeReady(op);
}

void EpollEngine::StartSend(SendOperation& op) {
  OperationAccess::Begin(op, Operation::Kind::kSend);
  Socket& socket = SocketOf(op.fd);
  PORTICO_CHECK(socket.writer == nullptr);
  socket.writer = &op;
  op.first_slice = 0;
  op.sent = 0;
  if (!Register(op.fd, socket, op)) return;
  if (!socket.writable) return;
  // At once: the peer gets its bytes earlier, and only the completion is queued.
  if (const std::optional<int32_t> result = TrySend(op, socket)) Finish(op, *result);
}

void EpollEngine::StartAccept(AcceptOperation& op) {
  OperationAccess::Begin(op, Operation::Kind::kAccept);
  Socket& socket = SocketOf(op.fd);
  PORTICO_CHECK(socket.reader == nullptr);
  socket.reader = &op;
  if (!Register(op.fd, socket, op)) return;
  if (socket.readable) MakeReady(op);
}

void EpollEngine::StartConnect(ConnectOperation& op) {
  OperationAccess::Begin(op, Operation::Kind::kConnect);
  Socket& socket = SocketOf(op.fd);
  PORTICO_CHECK(socket.writer == nullptr && !socket.registered);
  socket.writer = &op;
  // Registered only now: the kernel says of an unconnected socket that it hung up.
  ++system_calls_;
  const int connected = ::connect(op.fd, reinterpret_cast<const sockaddr*>(&op.peer), op.peer_length);
  const int error = connected == 0 ? 0 : errno;
  if (error != 0 && error != EINPROGRESS && error != EINTR) {
    Finish(op, -error);
    return;
  }
  if (error != 0) socket.writable = false;
  if (!Register(op.fd, socket, op)) return;
  if (error == 0) Finish(op, 0);
}

void EpollEngine::StartHangUpWatch(HangUpOperation& op) {
  OperationAccess::Begin(op, Operation::Kind::kHangUp);
  Socket& socket = SocketOf(op.fd);
  PORTICO_CHECK(socket.watcher == nullptr);
  socket.watcher = &op;
  if (!Register(op.fd, socket, op)) return;
  if (socket.hung_up) Finish(op, 0);
}

void EpollEngine::Cancel(Operation& op) {
  if (!op.pending()) return;
  switch (OperationAccess::engine_state(op)) {
    case kWaiting:
      Finish(op, -ECANCELED);
      break;
    case kReady:
      OperationAccess::engine_state(op) = kDone;
      OperationAccess::SetResult(op, -ECANCELED);
      break;
    default:
      break;  // It was faster.
  }
}

void EpollEngine::Close(int fd) {
  Socket& socket = SocketOf(fd);
  PORTICO_CHECK(socket.reader == nullptr && socket.writer == nullptr && socket.watcher == nullptr);
  socket = Socket();
  // Leaves the epoll set by itself: our descriptors are never duplicated.
  ++system_calls_;
  ::close(fd);
}

void EpollEngine::Poll(int64_t timeout_nanos, absl::FunctionRef<void()> after_wait) {
  if (!ready_.empty() && polls_without_wait_ < kMaxPollsWithoutWait) {
    ++polls_without_wait_;
    after_wait();
    Deliver();
    Publish();
    return;
  }
  polls_without_wait_ = 0;
  const int timeout = ready_.empty() ? ToMilliseconds(timeout_nanos) : 0;
  ++system_calls_;
  const int count = ::epoll_wait(epoll_fd_, events_.data(), static_cast<int>(events_.size()), timeout);
  PORTICO_CHECK(count >= 0 || errno == EINTR);
  after_wait();
  // All events are noted before anything is delivered, so that no callback can make
  // an event stale.
  for (int i = 0; i < count; ++i) OnEvent(events_[static_cast<size_t>(i)]);
  Deliver();
  Publish();
}

void EpollEngine::Publish() {
  Count(stats_.system_calls, std::exchange(system_calls_, 0));
  Count(stats_.completions, std::exchange(completions_, 0));
}

void EpollEngine::OnEvent(const epoll_event& event) {
  // The eventfd is never read: edge-triggered, every write is an event of its own.
  if (event.data.u64 == kWakeEvent) return;
  Socket& socket = *sockets_[event.data.u64];
  const auto waits = [](const Operation* op) {
    return op != nullptr && OperationAccess::engine_state(*op) == kWaiting;
  };
  const bool broken = (event.events & (EPOLLHUP | EPOLLERR)) != 0;
  if (broken || (event.events & EPOLLRDHUP) != 0) {
    socket.hung_up = true;
    if (waits(socket.watcher)) Finish(*socket.watcher, 0);
  }
  if (socket.hung_up || (event.events & EPOLLIN) != 0) {
    socket.readable = true;
    if (waits(socket.reader)) MakeReady(*socket.reader);
  }
  if (broken || (event.events & EPOLLOUT) != 0) {
    socket.writable = true;
    if (waits(socket.writer)) MakeReady(*socket.writer);
  }
}

void EpollEngine::Deliver() {
  // What becomes ready meanwhile waits for the next Poll(): a body whose pieces are always
  // there would keep everybody else waiting.
  OperationList due;
  due.Swap(ready_);
  for (int left = kDeliveriesPerPoll; left > 0 && !due.empty(); --left) {
    Operation& op = *due.PopFront();
    Socket& socket = SocketOf(FdOf(op));
    int32_t result = op.result();
    if (OperationAccess::engine_state(op) == kReady) {
      const std::optional<int32_t> tried = Try(op, socket);
      if (!tried.has_value()) {
        OperationAccess::engine_state(op) = kWaiting;
        const bool level = socket.reader == &op ? socket.readable : socket.writable;
        if (level) MakeReady(op);
        continue;
      }
      result = *tried;
    }
    if (socket.reader == &op) socket.reader = nullptr;
    if (socket.writer == &op) socket.writer = nullptr;
    if (socket.watcher == &op) socket.watcher = nullptr;
    ++completions_;
    OperationAccess::Complete(op, result);
  }
  ready_.Prepend(due);
}

std::optional<int32_t> EpollEngine::Try(Operation& op, Socket& socket) {
  switch (OperationAccess::kind(op)) {
    case Operation::Kind::kReceive:
      return TryReceive(static_cast<ReceiveOperation&>(op), socket);
    case Operation::Kind::kSend:
      return TrySend(static_cast<SendOperation&>(op), socket);
    case Operation::Kind::kAccept:
      return TryAccept(static_cast<AcceptOperation&>(op), socket);
    case Operation::Kind::kConnect: {
      int error = 0;
      ++system_calls_;
      socklen_t length = sizeof(error);
      if (::getsockopt(FdOf(op), SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
      return -error;
    }
    default:
      return 0;
  }
}

std::optional<int32_t> EpollEngine::TryReceive(ReceiveOperation& op, Socket& socket) {
  if (op.pipe != nullptr) return TryReceiveIntoPipe(op, socket);
  const bool append = op.buffer.size() < op.buffer.capacity();
  if (!append) op.buffer = op.pool->Allocate(op.size_hint);
  const size_t start = op.buffer.size();
  const size_t room = op.buffer.capacity() - start;
  ssize_t count;
  do {
    ++system_calls_;
    count = ::recv(op.fd, op.buffer.data() + start, room, 0);
  } while (count < 0 && errno == EINTR);
  const int error = count < 0 ? errno : 0;
  if (count > 0) {
    op.buffer.set_size(start + static_cast<size_t>(count));
    // Drained, unless the end of stream (whose event has passed) is to be read.
    if (static_cast<size_t>(count) < room) socket.readable = socket.hung_up;
    return static_cast<int32_t>(count);
  }
  if (!append) op.buffer.Reset();
  if (error == EAGAIN || error == EWOULDBLOCK) {
    socket.readable = false;
    return std::nullopt;
  }
  return -error;
}

std::optional<int32_t> EpollEngine::TryReceiveIntoPipe(ReceiveOperation& op, Socket& socket) {
  const int32_t count = SpliceIntoPipe(op, system_calls_);
  // Fewer than wanted may only mean that the pipe has no slot left: stays readable.
  if (count != -EAGAIN) return count;
  socket.readable = false;
  return std::nullopt;
}

std::optional<int32_t> EpollEngine::TrySend(SendOperation& op, Socket& socket) {
  size_t left = 0;
  for (int i = op.first_slice; i < op.slice_count; ++i) left += op.slices[i].iov_len;
  PORTICO_CHECK(left <= static_cast<size_t>(std::numeric_limits<int32_t>::max() - op.sent));
  if (left == 0) return TrySendFromPipe(op, socket);
  ssize_t count;
  do {
    ++system_calls_;
    count = SendSlices(op);
  } while (count < 0 && errno == EINTR);
  if (count < 0) {
    if (errno != EAGAIN && errno != EWOULDBLOCK) return -errno;
    socket.writable = false;
    return std::nullopt;
  }
  op.sent += static_cast<int32_t>(count);
  if (AdvanceSlices(op, static_cast<size_t>(count))) return TrySendFromPipe(op, socket);
  // The socket's buffer is full; the kernel tells when there is room again.
  socket.writable = false;
  return std::nullopt;
}

std::optional<int32_t> EpollEngine::TrySendFromPipe(SendOperation& op, Socket& socket) {
  const int32_t sent = SpliceFromPipe(op, system_calls_);
  if (sent != -EAGAIN) return sent;
  socket.writable = false;
  return std::nullopt;
}

std::optional<int32_t> EpollEngine::TryAccept(AcceptOperation& op, Socket& socket) {
  op.peer_length = sizeof(op.peer);
  ++system_calls_;
  const int fd = ::accept4(op.fd, reinterpret_cast<sockaddr*>(&op.peer), &op.peer_length, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) return fd;
  if (errno == EAGAIN || errno == EWOULDBLOCK) {
    socket.readable = false;
    return std::nullopt;
  }
  // Stays readable, so it is tried again.
  if (IsErrorOfOneConnection(errno)) return std::nullopt;
  return -errno;
}

void EpollEngine::Wake() {
  const uint64_t one = 1;
  // Fails only when 2^64 - 2 writes were not read, and then an event is pending.
  [[maybe_unused]] const ssize_t written = ::write(wake_fd_, &one, sizeof(one));
}

absl::StatusOr<std::unique_ptr<Engine>> CreateEpollEngine() {
  const int epoll_fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) return absl::ResourceExhaustedError(absl::StrCat("epoll_create1: ", std::strerror(errno)));
  const int wake_fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  epoll_event event = {};
  event.events = EPOLLIN | EPOLLET;
  event.data.u64 = kWakeEvent;
  if (wake_fd < 0 || ::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, wake_fd, &event) != 0) {
    const absl::Status status = absl::ResourceExhaustedError(absl::StrCat("eventfd: ", std::strerror(errno)));
    if (wake_fd >= 0) ::close(wake_fd);
    ::close(epoll_fd);
    return status;
  }
  return std::make_unique<EpollEngine>(epoll_fd, wake_fd);
}

}  // namespace portico::event
