// What an HTTP/2 connection sends: as many frames as are ready, in one send.
#include <cstring>
#include <utility>

#include "dataplane/base/check.h"
#include "dataplane/event/operation.h"
#include "dataplane/net/await.h"
#include "dataplane/upstream/h2_client_connection_impl.h"

namespace portico::upstream {
namespace {

// Payloads up to this size are cheaper to copy than to send from where they are.
constexpr size_t kCopiedPayload = 1024;
// No more in one send: what comes later is to have its turn soon.
constexpr size_t kMaxBytes = 256 * 1024;

}  // namespace

void H2Output::AddSlice(std::string_view bytes) {
  // iovec is not const because receives use it, too.
  send_.slices[send_.slice_count++] = {const_cast<char*>(bytes.data()), bytes.size()};
  bytes_ += bytes.size();
}

void H2Output::Copy(std::string_view bytes) {
  char* const to = frames_.data() + frames_.size();
  std::memcpy(to, bytes.data(), bytes.size());
  frames_.set_size(frames_.size() + bytes.size());
  if (copied_last_) {
    send_.slices[send_.slice_count - 1].iov_len += bytes.size();
    bytes_ += bytes.size();
  } else {
    AddSlice({to, bytes.size()});
  }
  copied_last_ = true;
}

void H2Output::Add(std::string_view frame) {
  if (!frames_) frames_ = pool_.Allocate();
  if (frame.size() <= room()) {
    Copy(frame);
  } else {
    AddSlice(frame);
    copied_last_ = false;
    full_ = true;
  }
  // One for a frame that does not fit.
  if (send_.slice_count + 1 >= event::SendOperation::kMaxSlices || bytes_ >= kMaxBytes) {
    full_ = true;
  }
}

bool H2Output::AddData(std::string_view frame_head, std::string_view payload) {
  if (!frames_) frames_ = pool_.Allocate();
  const bool copied = payload.size() <= kCopiedPayload;
  const size_t needed = frame_head.size() + (copied ? payload.size() : 0);
  if (full_ || needed > room() || send_.slice_count + 3 > event::SendOperation::kMaxSlices ||
      bytes_ >= kMaxBytes) {
    full_ = true;
    return false;
  }
  Copy(frame_head);
  if (copied) {
    if (!payload.empty()) Copy(payload);
  } else {
    AddSlice(payload);
    copied_last_ = false;
  }
  return true;
}

void H2Output::Keep(base::Buffer owner) {
  if (owner && !copied_last_) owners_[owner_count_++] = std::move(owner);
}

void H2Output::Clear() {
  for (size_t i = 0; i < owner_count_; ++i) owners_[i].Reset();
  owner_count_ = 0;
  frames_.Reset();
  send_.slice_count = 0;
  bytes_ = 0;
  copied_last_ = full_ = false;
}

void H2ClientConnection::ScheduleFlush() {
  if (flush_.pending() || output_.pending() || transport_ended_) return;
  flush_again_ = true;
  event::OperationAccess::Begin(flush_, event::Operation::Kind::kNone);
  loop_.CompleteLater(flush_, 0);
}

void H2ClientConnection::OnFlush(event::Operation& op) {
  H2ClientConnection& self = *static_cast<H2ClientConnection*>(op.context);
  if (std::exchange(self.flush_again_, false) && !self.shut_) {
    // After the tasks that run in this turn.
    event::OperationAccess::Begin(op, event::Operation::Kind::kNone);
    self.loop_.CompleteLater(op, 0);
    return;
  }
  self.Flush();
  self.Settle();
}

void H2ClientConnection::Flush() {
  if (output_.pending() || transport_ended_) return;
  Fill();
  if (output_.empty()) return;
  stream_->StartSend(output_.operation());
}

void H2ClientConnection::Fill() {
  while (!output_.full()) {
    const uint8_t* frame = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &frame);
    if (size == 0) break;
    if (size < 0) {
      Fail(absl::InternalError(nghttp2_strerror(static_cast<int>(size))), NGHTTP2_NO_ERROR);
      break;
    }
    output_.Add({reinterpret_cast<const char*>(frame), static_cast<size_t>(size)});
  }
}

void H2ClientConnection::OnSent(event::Operation& op) {
  H2ClientConnection& self = *static_cast<H2ClientConnection*>(op.context);
  const int32_t result = op.result();
  self.output_.Clear();
  if (result < 0 && !self.shut_) {
    self.transport_ended_ = true;
    self.Fail(net::ErrnoStatus(-result, "send"), NGHTTP2_NO_ERROR, /*lost=*/true);
  }
  self.Flush();
  self.Settle();
}

}  // namespace portico::upstream
