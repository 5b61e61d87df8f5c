// What an HTTP/2 connection sends: as many frames as are ready, in one send.
#include <utility>

#include "dataplane/event/operation.h"
#include "dataplane/net/await.h"
#include "dataplane/upstream/h2_client_connection_impl.h"

namespace portico::upstream {
void H2ClientConnection::ScheduleFlush() {
  if (flush_.pending() || send_.pending() || transport_ended_) return;
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
  if (send_.pending() || transport_ended_) return;
  Fill();
  if (output_.empty()) return;
  send_.slice_count = 0;
  output_.ForEachSlice([this](std::string_view slice) {
    // iovec is not const because receives use it, too.
    send_.slices[send_.slice_count++] = {const_cast<char*>(slice.data()), slice.size()};
  });
  stream_->StartSend(send_);
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
    output_.Append({reinterpret_cast<const char*>(frame), static_cast<size_t>(size)},
                   loop_.upstream_buffers());
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
