// The receiving half of StreamImpl.
#include <errno.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "dataplane/tls/stream_impl.h"

namespace portico::tls {
namespace {

using event::OperationAccess;

// Of records that bring no data: more than that in a row is a flood.
constexpr uint8_t kMaxEmptyRecords = 32;
// Post-handshake messages (RFC 8446 section 4.6).
constexpr uint8_t kNewSessionTicket = 4;
constexpr uint8_t kKeyUpdate = 24;
constexpr size_t kMessageHeader = 4;
constexpr size_t kMaxTicketMessage = 64 * 1024;

bool HasRoom(const base::Buffer& buffer) { return buffer.capacity() > buffer.size(); }

uint8_t AlertFor(RecordKeys::Opened opened) {
  switch (opened) {
    case RecordKeys::Opened::kBadMac:
      return SSL_AD_BAD_RECORD_MAC;
    case RecordKeys::Opened::kTooLarge:
      return SSL_AD_RECORD_OVERFLOW;
    default:
      return SSL_AD_UNEXPECTED_MESSAGE;
  }
}

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
  size_t hint = std::max(base::BufferPool::kSmall, pool_.Grant(receive_->size_hint));
  if (wide_) hint = std::max(hint, 2 * base::BufferPool::kSmall);
  const std::string_view rest = in_.view().substr(in_at_);
  if (rest.empty()) {
    DropIn();
  } else {
    const size_t record = read_.RecordSize(rest);
    if (record > base::BufferPool::kSmall) wide_ = true;
    hint = std::max(hint, record);
    if (in_.capacity() < hint) {
      base::Buffer larger = pool_.Allocate(hint);
      std::memcpy(larger.data(), rest.data(), rest.size());
      larger.set_size(rest.size());
      in_ = std::move(larger);
    } else if (in_at_ > 0) {
      std::memmove(in_.data(), rest.data(), rest.size());
      in_.set_size(rest.size());
    }
    in_at_ = 0;
  }
  rx_.size_hint = hint;
  rx_.buffer = std::move(in_);
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
    if (self.in_.size() < base::BufferPool::kSmall / 2) self.wide_ = false;
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

int32_t StreamImpl::Deliver(event::ReceiveOperation& op) {
  const bool fresh = !HasRoom(op.buffer);
  if (fresh) op.buffer.Reset();
  size_t delivered = 0;
  TakePlain(op, delivered);
  while (plain_size_ == 0 && !ended_ && error_ == 0) {
    const std::string_view rest = in_.view().substr(in_at_);
    const size_t size = read_.RecordSize(rest);
    if (size == 1) Fail(EPROTO, SSL_AD_UNEXPECTED_MESSAGE);
    if (size <= 1 || rest.size() < size || !OpenRecord(op, size, delivered)) break;
  }
  if (fresh && delivered == 0) op.buffer.Reset();
  if (plain_size_ == 0 && (in_at_ == in_.size() || ended_ || error_ != 0)) DropIn();
  if (delivered > 0) return static_cast<int32_t>(delivered);
  if (ended_) return 0;
  return error_ != 0 ? -error_ : kNothingYet;
}

void StreamImpl::DropIn() {
  in_.Reset();
  in_at_ = 0;
}

void StreamImpl::TakePlain(event::ReceiveOperation& op, size_t& delivered) {
  if (plain_size_ == 0) return;
  if (!op.buffer) op.buffer = op.pool->Allocate(std::min(op.size_hint, plain_size_));
  const size_t size = std::min(plain_size_, op.buffer.capacity() - op.buffer.size());
  std::memcpy(op.buffer.data() + op.buffer.size(), in_.data() + plain_at_, size);
  op.buffer.set_size(op.buffer.size() + size);
  plain_at_ += size;
  plain_size_ -= size;
  delivered += size;
}

bool StreamImpl::OpenRecord(event::ReceiveOperation& op, size_t size, size_t& delivered) {
  const size_t wanted = read_.OpenRoom(size);
  if (!op.buffer) op.buffer = op.pool->Allocate(std::min(op.size_hint, in_.size() - in_at_));
  char* const record = in_.data() + in_at_;
  char* to = op.buffer.data() + op.buffer.size();
  const bool direct = op.buffer.capacity() - op.buffer.size() >= wanted;
  if (!direct) {
    if (delivered > 0) return false;
    to = record + read_.prefix();
  }
  RecordType type = RecordType::kApplicationData;
  size_t plaintext = 0;
  const RecordKeys::Opened opened = read_.Open(record, size, to, type, plaintext);
  in_at_ += size;
  if (opened != RecordKeys::Opened::kDone) {
    Fail(EBADMSG, AlertFor(opened));
    return false;
  }
  const std::string_view bytes(to, plaintext);
  if (type == RecordType::kApplicationData && message_.empty() && plaintext > 0) {
    empty_records_ = 0;
    if (direct) {
      op.buffer.set_size(op.buffer.size() + plaintext);
      delivered += plaintext;
    } else {
      plain_at_ = static_cast<size_t>(to - in_.data());
      plain_size_ = plaintext;
      TakePlain(op, delivered);
    }
    return true;
  }
  if (++empty_records_ > kMaxEmptyRecords) {
    Fail(EPROTO, SSL_AD_UNEXPECTED_MESSAGE);
  } else if (type == RecordType::kHandshake) {
    OnHandshakeBytes(bytes);
  } else if (!message_.empty()) {
    Fail(EPROTO, SSL_AD_UNEXPECTED_MESSAGE);
  } else if (type == RecordType::kAlert) {
    OnAlert(bytes);
  } else if (type != RecordType::kApplicationData) {
    Fail(EPROTO, SSL_AD_UNEXPECTED_MESSAGE);
  }
  return true;
}

void StreamImpl::OnAlert(std::string_view alert) {
  if (alert.size() != 2) {
    Fail(EPROTO, SSL_AD_DECODE_ERROR);
  } else if (static_cast<uint8_t>(alert[1]) == SSL_AD_CLOSE_NOTIFY) {
    ended_ = true;
  } else if (static_cast<uint8_t>(alert[1]) != SSL_AD_USER_CANCELLED &&
             (read_.tls13() || alert[0] != SSL3_AL_WARNING)) {
    // In TLS 1.3 all others are fatal, whatever they say of themselves.
    Fail(ECONNRESET, 0);
    write_failed_ = true;
  }
}

void StreamImpl::OnHandshakeBytes(std::string_view bytes) {
  // A renegotiation.
  if (!read_.tls13()) return Fail(EPROTO, SSL_AD_NO_RENEGOTIATION);
  if (bytes.empty()) return Fail(EPROTO, SSL_AD_UNEXPECTED_MESSAGE);
  message_.append(bytes);
  std::string_view rest = message_;
  while (error_ == 0 && rest.size() >= kMessageHeader) {
    const auto* const header = reinterpret_cast<const uint8_t*>(rest.data());
    const size_t size =
        kMessageHeader + (size_t{header[1]} << 16 | size_t{header[2]} << 8 | header[3]);
    const bool key_update = header[0] == kKeyUpdate && size == kMessageHeader + 1;
    const bool ticket = header[0] == kNewSessionTicket && !server_ && size <= kMaxTicketMessage;
    if (!key_update && !ticket) return Fail(EPROTO, SSL_AD_UNEXPECTED_MESSAGE);
    if (rest.size() < size) break;
    OnHandshakeMessage(rest.substr(0, size), rest.size() == size);
    rest.remove_prefix(size);
  }
  message_.erase(0, message_.size() - rest.size());
  if (message_.empty()) message_.shrink_to_fit();
}

void StreamImpl::OnHandshakeMessage(std::string_view message, bool last) {
  if (static_cast<uint8_t>(message[0]) == kNewSessionTicket) {
    if (!handshake_->TakeTicket(message)) Fail(EPROTO, SSL_AD_DECODE_ERROR);
    return;
  }
  // The keys change behind it, so nothing may follow under the old ones.
  const auto request = static_cast<uint8_t>(message[kMessageHeader]);
  if (!last || request > 1)
    return Fail(EPROTO, last ? SSL_AD_ILLEGAL_PARAMETER : SSL_AD_UNEXPECTED_MESSAGE);
  if (!read_.Update()) return Fail(EPROTO, SSL_AD_INTERNAL_ERROR);
  // One answer is enough for all that come before the next send.
  if (request == 1) update_keys_ = true;
}

void StreamImpl::Fail(int error, uint8_t alert) {
  error_ = error;
  if (alert != 0) SendAlert(SSL3_AL_FATAL, alert);
}

bool StreamImpl::HasUnread() const {
  return ended_ || error_ != 0 || plain_size_ > 0 || in_at_ < in_.size() || transport_->HasUnread();
}

}  // namespace portico::tls
