// The receiving half of StreamImpl.
#include <errno.h>

#include <algorithm>
#include <utility>

#include "dataplane/tls/stream_impl.h"

namespace portico::tls {
namespace {

using event::OperationAccess;

bool HasRoom(const base::Buffer& buffer) { return buffer.capacity() > buffer.size(); }

}  // namespace

void StreamImpl::StartReceive(event::ReceiveOperation& op) {
  OperationAccess::Begin(op, event::Operation::Kind::kReceive);
  const int32_t result = established_ ? Deliver(op) : -ENOTCONN;
  if (result != kNothingYet) {
    loop_.CompleteLater(op, result);
    return;
  }
  receive_ = &op;
  receive_cancelled_ = false;
  ReceiveMore();
}

void StreamImpl::ReceiveMore() {
  // What was there is BoringSSL's now, also a part of a record.
  DropIn();
  rx_.size_hint = std::max(base::BufferPool::kSmall, pool_.Grant(receive_->size_hint));
  rx_.buffer.Reset();
  transport_->StartReceive(rx_);
}

void StreamImpl::OnReceived(event::Operation& operation) {
  StreamImpl& self = *static_cast<StreamImpl*>(operation.context);
  self.in_ = std::move(self.rx_.buffer);
  const int32_t got = operation.result();
  event::ReceiveOperation& op = *self.receive_;
  int32_t result = -ECANCELED;
  if (got != -ECANCELED) {
    // An end that was not announced is a cut.
    if (got <= 0) self.error_ = got == 0 ? ECONNABORTED : -got;
    result = self.Deliver(op);
    if (result == kNothingYet) {
      if (!self.receive_cancelled_) {
        self.ReceiveMore();
        return;
      }
      result = -ECANCELED;
    }
  }
  self.receive_ = nullptr;
  // Last: whoever waits may destroy the stream.
  OperationAccess::Complete(op, result);
}

size_t StreamImpl::Expected(const event::ReceiveOperation& op) const {
  return std::min(op.size_hint, in_.size() - in_at_ + connection_->PendingBytes());
}

int32_t StreamImpl::Deliver(event::ReceiveOperation& op) {
  const bool fresh = !HasRoom(op.buffer);
  if (fresh) op.buffer.Reset();
  size_t delivered = 0;
  while (!ended_ && error_ == 0 && (in_at_ < in_.size() || connection_->HasPending())) {
    if (!op.buffer) op.buffer = op.pool->Allocate(Expected(op));
    if (!HasRoom(op.buffer)) break;
    std::string_view received = in_.view().substr(in_at_);
    const int32_t got = connection_->Read(received, op.buffer.data() + op.buffer.size(),
                                          op.buffer.capacity() - op.buffer.size());
    in_at_ = in_.size() - received.size();
    if (got > 0) {
      op.buffer.set_size(op.buffer.size() + static_cast<size_t>(got));
      delivered += static_cast<size_t>(got);
      continue;
    }
    if (got == -EAGAIN) break;
    ended_ = got == 0;
    error_ = -got;
    // After the peer's alert nothing that we send will be read.
    if (got == -ECONNRESET) write_failed_ = true;
  }
  SendOutput();
  if (fresh && delivered == 0) op.buffer.Reset();
  if (in_at_ == in_.size() || ended_ || error_ != 0) DropIn();
  if (delivered > 0) return static_cast<int32_t>(delivered);
  if (ended_) return 0;
  return error_ != 0 ? -error_ : kNothingYet;
}

void StreamImpl::DropIn() {
  in_.Reset();
  in_at_ = 0;
}

bool StreamImpl::HasUnread() const {
  return ended_ || error_ != 0 || in_at_ < in_.size() || connection_->HasPending() ||
         transport_->HasUnread();
}

}  // namespace portico::tls
