#include "tests/gate/memory_engine.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "dataplane/base/check.h"
#include "dataplane/net/address.h"

namespace portico::gate {

using event::Operation;
using event::OperationAccess;

namespace {

// What an operation's engine_state() says.
enum State : uint8_t { kWaiting, kArrived, kReady, kDone };

int FdOf(const Operation& op) {
  switch (OperationAccess::kind(op)) {
    case Operation::Kind::kReceive:
      return static_cast<const event::ReceiveOperation&>(op).fd;
    case Operation::Kind::kSend:
      return static_cast<const event::SendOperation&>(op).fd;
    case Operation::Kind::kAccept:
      return static_cast<const event::AcceptOperation&>(op).fd;
    case Operation::Kind::kConnect:
      return static_cast<const event::ConnectOperation&>(op).fd;
    case Operation::Kind::kHangUp:
      return static_cast<const event::HangUpOperation&>(op).fd;
    default:
      break;
  }
  PORTICO_CHECK(false);
  return -1;
}

}  // namespace

MemoryEngine::~MemoryEngine() { PORTICO_CHECK(ready_.empty() && arrived_.empty()); }

MemoryEngine::Socket& MemoryEngine::SocketOf(int fd) {
  PORTICO_CHECK(fd >= 0);
  const auto index = static_cast<size_t>(fd);
  if (index >= sockets_.size()) sockets_.resize(index + 64);
  return sockets_[index];
}

void MemoryEngine::Finish(Operation& op, int32_t result) {
  OperationAccess::engine_state(op) = kDone;
  OperationAccess::SetResult(op, result);
  ready_.PushBack(op);
}

int MemoryEngine::Connect(Peer& peer) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  SocketOf(fd).peer = &peer;
  for (Socket& socket : sockets_) {
    if (socket.reader == nullptr ||
        OperationAccess::kind(*socket.reader) != Operation::Kind::kAccept) {
      continue;
    }
    auto& accept = static_cast<event::AcceptOperation&>(*socket.reader);
    accept.peer_length = net::SocketAddress::Parse("192.0.2.7:40000")->ToSockaddr(accept.peer);
    Finish(accept, fd);
    return fd;
  }
  PORTICO_CHECK(false);  // Nobody accepts.
  return -1;
}

void MemoryEngine::Feed(int fd, std::string_view bytes) {
  Socket& socket = SocketOf(fd);
  PORTICO_CHECK(socket.incoming.empty());
  socket.incoming = bytes;
  if (socket.reader == nullptr || OperationAccess::engine_state(*socket.reader) != kWaiting) return;
  OperationAccess::engine_state(*socket.reader) = kArrived;
  arrived_.PushBack(*socket.reader);
}

void MemoryEngine::FeedEnd(int fd) {
  Socket& socket = SocketOf(fd);
  socket.ended = true;
  const auto waits = [](const Operation* op) {
    return op != nullptr && OperationAccess::engine_state(*op) == kWaiting;
  };
  if (waits(socket.watcher)) Finish(*socket.watcher, 0);
  if (!waits(socket.reader)) return;
  OperationAccess::engine_state(*socket.reader) = kReady;
  ready_.PushBack(*socket.reader);
}

void MemoryEngine::StartReceive(event::ReceiveOperation& op) {
  OperationAccess::Begin(op, Operation::Kind::kReceive);
  Socket& socket = SocketOf(op.fd);
  PORTICO_CHECK(socket.reader == nullptr);
  socket.reader = &op;
  if (!socket.readable()) return;
  OperationAccess::engine_state(op) = kReady;
  ready_.PushBack(op);
}

void MemoryEngine::StartSend(event::SendOperation& op) {
  OperationAccess::Begin(op, Operation::Kind::kSend);
  Socket& socket = SocketOf(op.fd);
  PORTICO_CHECK(socket.writer == nullptr && socket.peer != nullptr);
  socket.writer = &op;
  size_t bytes = 0;
  for (int i = 0; i < op.slice_count; ++i) bytes += op.slices[i].iov_len;
  socket.peer->OnSent(op, bytes);
  Finish(op, static_cast<int32_t>(bytes));
}

void MemoryEngine::StartAccept(event::AcceptOperation& op) {
  OperationAccess::Begin(op, Operation::Kind::kAccept);
  SocketOf(op.fd).reader = &op;
}

void MemoryEngine::StartConnect(event::ConnectOperation& op) {
  OperationAccess::Begin(op, Operation::Kind::kConnect);
  SocketOf(op.fd).peer = connector_(op.fd);
  SocketOf(op.fd).writer = &op;
  Finish(op, 0);
}

void MemoryEngine::StartHangUpWatch(event::HangUpOperation& op) {
  OperationAccess::Begin(op, Operation::Kind::kHangUp);
  Socket& socket = SocketOf(op.fd);
  PORTICO_CHECK(socket.watcher == nullptr);
  socket.watcher = &op;
  if (socket.ended) Finish(op, 0);
}

void MemoryEngine::Cancel(Operation& op) {
  if (!op.pending()) return;
  switch (OperationAccess::engine_state(op)) {
    case kWaiting:
      Finish(op, -ECANCELED);
      break;
    case kArrived:
      arrived_.Remove(op);
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

void MemoryEngine::Close(int fd) {
  Socket& socket = SocketOf(fd);
  PORTICO_CHECK(socket.reader == nullptr && socket.writer == nullptr && socket.watcher == nullptr);
  socket = Socket();
  ::close(fd);
}

int32_t MemoryEngine::Receive(event::ReceiveOperation& op, Socket& socket) {
  if (socket.incoming.empty()) return 0;
  if (op.buffer.size() == op.buffer.capacity()) op.buffer = op.pool->Allocate(op.size_hint);
  const size_t start = op.buffer.size();
  const size_t count = std::min(op.buffer.capacity() - start, socket.incoming.size());
  std::memcpy(op.buffer.data() + start, socket.incoming.data(), count);
  op.buffer.set_size(start + count);
  socket.incoming.remove_prefix(count);
  return static_cast<int32_t>(count);
}

void MemoryEngine::Poll(int64_t /*timeout_nanos*/, absl::FunctionRef<void()> after_wait) {
  after_wait();
  while (Operation* op = arrived_.PopFront()) {
    OperationAccess::engine_state(*op) = kReady;
    ready_.PushBack(*op);
  }
  while (Operation* op = ready_.PopFront()) {
    Socket& socket = SocketOf(FdOf(*op));
    int32_t result = op->result();
    if (OperationAccess::engine_state(*op) == kReady) {
      result = Receive(static_cast<event::ReceiveOperation&>(*op), socket);
    }
    if (socket.reader == op) socket.reader = nullptr;
    if (socket.writer == op) socket.writer = nullptr;
    if (socket.watcher == op) socket.watcher = nullptr;
    OperationAccess::Complete(*op, result);
  }
}

}  // namespace portico::gate
