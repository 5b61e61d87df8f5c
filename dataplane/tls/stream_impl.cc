#include "dataplane/tls/stream_impl.h"

#include <errno.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "dataplane/event/cancel.h"
#include "dataplane/net/await.h"
#include "dataplane/tls/client_context_impl.h"
#include "dataplane/tls/server_context_impl.h"

namespace portico::tls {
namespace {

using event::OperationAccess;

// What is read and dropped, and for how long, so that closing does not overtake an alert.
constexpr size_t kMaxLingerBytes = 64 * 1024;
constexpr int64_t kLingerNanos = base::kNanosPerSecond;
// A record that is cut short to fill a buffer has at least so much in it.
constexpr size_t kLeastCut = 1024;

}  // namespace

std::unique_ptr<TlsStream> MakeTlsServerStream(event::Loop& loop,
                                               std::unique_ptr<net::ByteStream> transport,
                                               std::shared_ptr<const ServerContext> context,
                                               base::BufferPool& pool, std::string_view received) {
  std::unique_ptr<Connection> connection =
      Connection::ForServer(static_cast<const ServerContextImpl&>(*context), pool);
  return std::make_unique<StreamImpl>(loop, std::move(transport), std::move(context),
                                      std::move(connection), pool, received);
}

std::unique_ptr<TlsStream> MakeTlsClientStream(event::Loop& loop,
                                               std::unique_ptr<net::ByteStream> transport,
                                               std::shared_ptr<const ClientContext> context,
                                               base::BufferPool& pool) {
  std::unique_ptr<Connection> connection = Connection::ForClient(
      static_cast<const ClientContextImpl&>(*context), pool, transport->peer().ToString());
  return std::make_unique<StreamImpl>(loop, std::move(transport), std::move(context),
                                      std::move(connection), pool, std::string_view());
}

StreamImpl::StreamImpl(event::Loop& loop, std::unique_ptr<net::ByteStream> transport,
                       std::shared_ptr<const void> context, std::unique_ptr<Connection> connection,
                       base::BufferPool& pool, std::string_view received)
    : loop_(loop),
      transport_(std::move(transport)),
      context_(std::move(context)),
      pool_(pool),
      connection_(std::move(connection)) {
  rx_.pool = &pool_;
  rx_.context = this;
  rx_.on_complete = &OnReceived;
  tx_.context = this;
  tx_.on_complete = &OnSent;
  if (received.empty()) return;
  in_ = pool_.Allocate(received.size());
  std::memcpy(in_.data(), received.data(), received.size());
  in_.set_size(received.size());
}

StreamImpl::~StreamImpl() {
  if (!aborted_) Close();
}

event::Task<absl::Status> StreamImpl::Handshake(event::CancelScope& scope) {
  Connection::Step step = Connection::Step::kNeedMore;
  while (true) {
    std::string_view received = in_.view().substr(in_at_);
    step = connection_->Advance(received);
    in_at_ = in_.size() - received.size();
    if (in_at_ == in_.size()) DropIn();
    if (step == Connection::Step::kFailed) break;
    std::string flight = std::exchange(connection_->output(), {});
    if (!flight.empty()) {
      net::Send send(*transport_, scope);
      send.Add(flight);
      absl::Status sent = co_await send;
      if (!sent.ok()) co_return Failed(std::move(sent), "closed");
    }
    if (step == Connection::Step::kDone) {
      connection_->Finish(info_);
      established_ = true;
      co_return absl::OkStatus();
    }
    net::Receive receive(*transport_, scope, pool_);
    absl::StatusOr<base::Buffer> bytes = co_await receive;
    if (!bytes.ok()) co_return Failed(bytes.status(), "closed");
    if (!*bytes)
      co_return Failed(absl::UnavailableError("the peer left during the handshake"), "closed");
    in_ = *std::move(bytes);
    in_at_ = 0;
  }
  absl::Status status = Failed(connection_->status(), connection_->failure());
  SendOutput();
  DropIn();
  co_await Linger(scope);
  co_return status;
}

absl::Status StreamImpl::Failed(absl::Status status, std::string_view failure) {
  failure_ = failure;
  if (absl::IsDeadlineExceeded(status)) failure_ = "timeout";
  if (absl::IsCancelled(status)) failure_ = "cancelled";
  return status;
}

event::Task<void> StreamImpl::Linger(event::CancelScope& scope) {
  transport_->ShutdownWrite();
  event::ChildScope wait(scope);
  event::Deadline deadline(loop_, wait, loop_.now() + kLingerNanos, "linger timeout");
  for (size_t dropped = 0; dropped < kMaxLingerBytes;) {
    net::Receive receive(*transport_, wait, pool_);
    const absl::StatusOr<base::Buffer> bytes = co_await receive;
    if (!bytes.ok() || !*bytes) break;
    dropped += bytes->size();
  }
}

void StreamImpl::Cancel(event::Operation& op) {
  if (&op == receive_) {
    receive_cancelled_ = true;
    transport_->Cancel(rx_);
  } else if (&op == send_) {
    transport_->Cancel(tx_);
  } else if (OperationAccess::kind(op) == event::Operation::Kind::kHangUp) {
    transport_->Cancel(op);
  }
  // What else is pending completes in this turn.
}

void StreamImpl::StartSend(event::SendOperation& op) {
  OperationAccess::Begin(op, event::Operation::Kind::kSend);
  op.first_slice = 0;
  op.sent = 0;
  size_t size = 0;
  for (int i = 0; i < op.slice_count; ++i) size += op.slices[i].iov_len;
  send_left_ = size;
  if (!established_ || write_closed_ || write_failed_) {
    loop_.CompleteLater(op, -EPIPE);
  } else if (size == 0) {
    loop_.CompleteLater(op, 0);
  } else {
    send_ = &op;
    op.sent = static_cast<int32_t>(size);
    if (SealNext()) return;
    send_ = nullptr;
    loop_.CompleteLater(op, -EIO);
  }
}

bool StreamImpl::SealNext() {
  if (!FillOut()) {
    write_failed_ = true;
    out_.Reset();
    return false;
  }
  tx_.slices[0] = {out_.data(), out_.size()};
  tx_.slice_count = 1;
  tx_.awaits_answer = send_->awaits_answer && send_left_ == 0;
  transport_->StartSend(tx_);
  return true;
}

bool StreamImpl::FillOut() {
  constexpr size_t kOverhead = Connection::kMaxOverhead;
  if (!out_) {
    const size_t records = send_left_ / Connection::kMaxPlaintext + 1;
    const size_t all = send_left_ + records * kOverhead;
    out_ = pool_.Allocate(pool_.Grant(std::min(all, base::BufferPool::kHuge)));
  }
  out_.set_size(0);
  while (send_left_ > 0) {
    const size_t room = out_.capacity() - out_.size();
    if (room <= kOverhead) break;
    const size_t size = std::min({Connection::kMaxPlaintext, send_left_, room - kOverhead});
    if (size < std::min(send_left_, kLeastCut)) break;
    if (!SealOne(size)) return false;
  }
  return true;
}

bool StreamImpl::SealOne(size_t size) {
  event::SendOperation& op = *send_;
  while (op.slices[op.first_slice].iov_len == 0) ++op.first_slice;
  const auto take = [&op](size_t bytes) {
    iovec& slice = op.slices[op.first_slice];
    const std::string_view taken(static_cast<const char*>(slice.iov_base), bytes);
    slice.iov_base = static_cast<char*>(slice.iov_base) + bytes;
    slice.iov_len -= bytes;
    if (slice.iov_len == 0) ++op.first_slice;
    return taken;
  };
  send_left_ -= size;
  if (op.slices[op.first_slice].iov_len >= size) return connection_->Write(take(size), out_);
  // One record costs less than one for each slice.
  base::Buffer together = pool_.Allocate(size);
  for (size_t left = size; left > 0;) {
    const std::string_view piece = take(std::min(left, op.slices[op.first_slice].iov_len));
    if (!piece.empty()) std::memcpy(together.data() + together.size(), piece.data(), piece.size());
    together.set_size(together.size() + piece.size());
    left -= piece.size();
  }
  return connection_->Write(together.view(), out_);
}

void StreamImpl::OnSent(event::Operation& operation) {
  StreamImpl& self = *static_cast<StreamImpl*>(operation.context);
  int32_t result = operation.result();
  if (result >= 0 && self.send_left_ > 0) {
    if (self.SealNext()) return;
    result = -EIO;
  }
  self.out_.Reset();
  event::SendOperation& op = *std::exchange(self.send_, nullptr);
  if (result < 0) self.write_failed_ = true;
  self.SendOutput();
  if (self.shutdown_wanted_) self.ShutdownWrite();
  // Last: whoever waits may destroy the stream.
  OperationAccess::Complete(op, result < 0 ? result : op.sent);
}

void StreamImpl::SendOutput() {
  if (connection_->output().empty() || tx_.pending()) return;
  const std::string bytes = std::exchange(connection_->output(), {});
  if (!write_failed_) transport_->SendNow(bytes);
}

void StreamImpl::Close() {
  if (!established_ || write_closed_ || write_failed_ || tx_.pending()) return;
  write_closed_ = true;
  connection_->Close();
  SendOutput();
}

void StreamImpl::ShutdownWrite() {
  if (tx_.pending()) {
    shutdown_wanted_ = true;
    return;
  }
  Close();
  transport_->ShutdownWrite();
}

void StreamImpl::Abort() {
  aborted_ = true;
  transport_->Abort();
}

}  // namespace portico::tls
