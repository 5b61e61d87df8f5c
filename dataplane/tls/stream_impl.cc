#include "dataplane/tls/stream_impl.h"

#include <errno.h>
#include <openssl/ssl.h>

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
  std::unique_ptr<Handshaker> handshake =
      Handshaker::ForServer(static_cast<const ServerContextImpl&>(*context));
  return std::make_unique<StreamImpl>(loop, std::move(transport), std::move(context),
                                      std::move(handshake), pool, received, /*server=*/true);
}

std::unique_ptr<TlsStream> MakeTlsClientStream(event::Loop& loop,
                                               std::unique_ptr<net::ByteStream> transport,
                                               std::shared_ptr<const ClientContext> context,
                                               base::BufferPool& pool) {
  std::unique_ptr<Handshaker> handshake = Handshaker::ForClient(
      static_cast<const ClientContextImpl&>(*context), transport->peer().ToString());
  return std::make_unique<StreamImpl>(loop, std::move(transport), std::move(context),
                                      std::move(handshake), pool, std::string_view(),
                                      /*server=*/false);
}

StreamImpl::StreamImpl(event::Loop& loop, std::unique_ptr<net::ByteStream> transport,
                       std::shared_ptr<const void> context, std::unique_ptr<Handshaker> handshake,
                       base::BufferPool& pool, std::string_view received, bool server)
    : loop_(loop),
      transport_(std::move(transport)),
      context_(std::move(context)),
      pool_(pool),
      server_(server),
      handshake_(std::move(handshake)) {
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
  if (!aborted_) SendAlert(SSL3_AL_WARNING, SSL_AD_CLOSE_NOTIFY);
}

event::Task<absl::Status> StreamImpl::Handshake(event::CancelScope& scope) {
  Handshaker::Step step = Handshaker::Step::kNeedMore;
  while (true) {
    std::string_view received = in_.view().substr(in_at_);
    const size_t before = received.size();
    step = handshake_->Advance(received);
    in_at_ += before - received.size();
    if (in_at_ == in_.size()) DropIn();
    if (step == Handshaker::Step::kFailed) break;
    std::string flight = std::exchange(handshake_->output(), {});
    const bool done = step == Handshaker::Step::kDone;
    if (done && !handshake_->Finish(info_, read_, write_))
      co_return Failed(absl::InternalError("no keys"), "bad_message");
    if (!flight.empty()) {
      net::Send send(*transport_, scope);
      send.Add(flight);
      absl::Status sent = co_await send;
      if (!sent.ok()) co_return Failed(std::move(sent), "closed");
    }
    if (done) {
      before_ = std::exchange(handshake_->output(), {});
      established_ = true;
      if (server_ || !read_.tls13()) handshake_.reset();
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
  absl::Status status = Failed(handshake_->status(), handshake_->failure());
  transport_->SendNow(handshake_->output());
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
  const size_t overhead = write_.overhead();
  if (!out_) {
    const size_t records =
        (send_left_ + RecordKeys::kMaxPlaintext - 1) / RecordKeys::kMaxPlaintext + 1;
    const size_t all = before_.size() + send_left_ + records * overhead + kLeastCut;
    const size_t granted = std::min(all, pool_.Grant(std::min(all, base::BufferPool::kHuge)));
    out_ = pool_.Allocate(std::max(granted, before_.size() + 2 * kLeastCut));
  }
  out_.set_size(0);
  if (!before_.empty()) {
    std::memcpy(out_.data(), before_.data(), before_.size());
    out_.set_size(before_.size());
    before_ = std::string();
  }
  if ((update_keys_ || write_.WornOut()) && !UpdateKeys()) return false;
  while (send_left_ > 0) {
    const size_t room = out_.capacity() - out_.size();
    if (room <= overhead) break;
    const size_t size = std::min({RecordKeys::kMaxPlaintext, send_left_, room - overhead});
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
    slice.iov_base = static_cast<char*>(slice.iov_base) + bytes;
    slice.iov_len -= bytes;
    if (slice.iov_len == 0) ++op.first_slice;
  };
  char* const record = out_.data() + out_.size();
  const char* plaintext = static_cast<const char*>(op.slices[op.first_slice].iov_base);
  if (op.slices[op.first_slice].iov_len >= size) {
    take(size);
  } else {
    char* to = record + write_.prefix();
    plaintext = to;
    for (size_t left = size; left > 0;) {
      const iovec& slice = op.slices[op.first_slice];
      const size_t bytes = std::min(left, slice.iov_len);
      if (bytes > 0) std::memcpy(to, slice.iov_base, bytes);
      to += bytes;
      left -= bytes;
      if (bytes == slice.iov_len) {
        ++op.first_slice;
      } else {
        take(bytes);
      }
    }
  }
  send_left_ -= size;
  const size_t sealed = write_.Seal(RecordType::kApplicationData, plaintext, size, record);
  if (sealed == 0) return false;
  out_.set_size(out_.size() + sealed);
  return true;
}

bool StreamImpl::UpdateKeys() {
  // "I do not ask for yours" (RFC 8446 section 4.6.3).
  constexpr char kMessage[] = {24, 0, 0, 1, 0};
  const size_t sealed =
      write_.Seal(RecordType::kHandshake, kMessage, sizeof(kMessage), out_.data() + out_.size());
  out_.set_size(out_.size() + sealed);
  update_keys_ = false;
  return sealed > 0 && write_.Update();
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
  if (self.shutdown_wanted_) self.CloseWrite();
  // Last: whoever waits may destroy the stream.
  OperationAccess::Complete(op, result < 0 ? result : op.sent);
}

void StreamImpl::SendAlert(uint8_t level, uint8_t description) {
  if (!established_ || write_closed_ || write_failed_ || tx_.pending()) return;
  const char alert[] = {static_cast<char>(level), static_cast<char>(description)};
  char record[64];
  const size_t size = write_.Seal(RecordType::kAlert, alert, sizeof(alert), record);
  if (before_.empty()) {
    transport_->SendNow(std::string_view(record, size));
  } else {
    before_.append(record, size);
    transport_->SendNow(before_);
    before_ = std::string();
  }
  write_closed_ = true;
}

void StreamImpl::ShutdownWrite() {
  if (tx_.pending()) {
    shutdown_wanted_ = true;
  } else {
    CloseWrite();
  }
}

void StreamImpl::CloseWrite() {
  SendAlert(SSL3_AL_WARNING, SSL_AD_CLOSE_NOTIFY);
  transport_->ShutdownWrite();
}

void StreamImpl::Abort() {
  aborted_ = true;
  transport_->Abort();
}

}  // namespace portico::tls
