// How an H2ServerConnection sends, and how it ends.
#include <algorithm>
#include <string>
#include <utility>

#include "dataplane/downstream/h2_server_connection.h"
#include "dataplane/downstream/h2_server_stream.h"
#include "dataplane/downstream/h2_session_events.h"
#include "dataplane/net/await.h"

namespace portico::downstream {
namespace {

// What a lingering connection reads and drops at most.
constexpr size_t kMaxLingerBytes = 1 << 20;
// What waits to be sent while more is read.
constexpr size_t kMaxQueuedBytes = 256 * 1024;
// How often in their period stalls are looked for.
constexpr int64_t kLooks = 4;

}  // namespace

void H2ServerConnection::WakeWriter() {
  if (writer_) context_.loop.Defer(std::exchange(writer_, {}));
}

void H2ServerConnection::Pump() {
  if (in_session_ || write_failed_) return;
  in_session_ = true;
  while (true) {
    // Without an end of its own: it is ReadData() that gives no more once the output is full.
    // All else is bounded by what is read, and a stream must not look open that is not.
    const uint8_t* bytes = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
    if (size <= 0) {
      if (size < 0) read_scope_.Request(absl::InternalError("nghttp2 gave up"));
      break;
    }
    if (!settings_made_) [[unlikely]] {
      settings_made_ = true;
      std::string frame(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
      H2SessionEvents::TellStreamLimit(reinterpret_cast<uint8_t*>(frame.data()), frame.size(),
                                       context_.options.http2_max_streams);
      output().Append(frame, context_.loop.downstream_buffers());
      continue;
    }
    output().Append({reinterpret_cast<const char*>(bytes), static_cast<size_t>(size)},
                    context_.loop.downstream_buffers());
  }
  in_session_ = false;
  if (has_output()) WakeWriter();
}

event::Task<void> H2ServerConnection::Write() {
  net::Send send(*stream_, write_scope_);
  Wanted wanted(*this);
  while (true) {
    co_await wanted;
    if (!has_output()) break;
    outputs_->sent.Swap(outputs_->next);
    outputs_->sent.ForEachSlice([&send](std::string_view slice) { send.Add(slice); });
    write_deadline_.SetIdle(write_scope_, context_.options.stream_idle_timeout,
                            "the client took no byte of the response within the idle timeout",
                            *stream_);
    // What comes meanwhile is gathered in the other output.
    absl::Status sent = co_await send;
    write_deadline_.Clear();
    outputs_->sent.Clear();
    if (!sent.ok()) {
      write_failed_ = true;
      if (absl::IsUnavailable(sent)) {
        sent = absl::CancelledError("the client closed the connection");
      }
      outputs_.reset();
      abort_ = abort_ || !forced_;
      FailAll(sent);
      read_scope_.Request(sent);
      break;
    }
    Pump();
    if (!has_output()) outputs_.reset();
    CheckEnd();
    written_.NotifyAll();
  }
}

bool H2ServerConnection::TooMuchQueued() const {
  return outputs_ != nullptr && outputs_->next.bytes() >= kMaxQueuedBytes;
}

void H2ServerConnection::Violation(std::string_view reason, uint32_t code) {
  if (violated_) return;
  violated_ = true;
  context_.observer.OnProtocolError(reason);
  nghttp2_session_terminate_session(session_, code);
}

void H2ServerConnection::CheckEnd() {
  if (violated_ || nghttp2_session_want_read(session_) == 0) {
    read_scope_.Request(absl::CancelledError("the connection has ended"));
  }
}

void H2ServerConnection::CloseInOrder() {
  if (closing_ != Closing::kNo || session_ == nullptr || violated_) return;
  closing_ = Closing::kAnnounced;
  nghttp2_submit_shutdown_notice(session_);
  context_.loop.timers().Arm(close_timer_, context_.loop.now() + context_.options.drain_grace);
  Pump();
}

void H2ServerConnection::SendLastGoaway() {
  closing_ = Closing::kLast;
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                        nullptr, 0);
  Pump();
  CheckEnd();
}

void H2ServerConnection::OnCloseTimer(event::Timer& timer) {
  H2ServerConnection& self = *static_cast<H2ServerConnection*>(timer.context);
  if (!self.client_left_) {
    self.SendLastGoaway();
  } else {
    // The client has closed its side, and its grace is over.
    self.FailAll(absl::CancelledError("the client closed the connection"));
  }
}

void H2ServerConnection::Drain() {
  drain_wanted_ = true;
  CloseInOrder();
}

void H2ServerConnection::ForceClose(const absl::Status& reason) {
  forced_ = true;
  for (H2ServerStream* stream = streams_; stream != nullptr; stream = stream->next_) {
    abort_ = abort_ || (stream->serving_ && !stream->tunnel_);
  }
  FailAll(reason);
  read_scope_.Request(reason);
  write_scope_.Request(reason);
}

void H2ServerConnection::SetReadDeadline() {
  if (read_scope_.requested()) return;
  const base::MonotonicNanos now = context_.loop.now();
  if (!settled_ || frames_.in_header_block()) {
    // Moved when the block ends: not by its own pieces.
    if (!block_deadline_ || block_number_ != frames_.header_blocks()) {
      read_deadline_.Set(read_scope_, now + context_.options.header_timeout,
                         "request header timeout");
    }
    block_deadline_ = true;
    block_number_ = frames_.header_blocks();
    return;
  }
  block_deadline_ = false;
  if (stream_count_ > 0) {
    read_deadline_.Clear();
  } else {
    // Frames of no stream do not keep it alive.
    read_deadline_.Set(read_scope_, idle_since_ + context_.options.idle_timeout, kIdleTimeout);
  }
}

void H2ServerConnection::WatchStalls() {
  if (stall_timer_.armed()) return;
  context_.loop.timers().Arm(stall_timer_,
                             context_.loop.now() + context_.options.stream_idle_timeout / kLooks);
}

void H2ServerConnection::OnStallTimer(event::Timer& timer) {
  H2ServerConnection& self = *static_cast<H2ServerConnection*>(timer.context);
  const base::MonotonicNanos late =
      self.context_.loop.now() - self.context_.options.stream_idle_timeout;
  bool waits = false;
  for (H2ServerStream* stream = self.streams_; stream != nullptr; stream = stream->next_) {
    waits = waits || stream->sending_.waiting() || stream->reading_.waiting();
    if (stream->sending_.waiting() && stream->sends_since_ <= late) {
      stream->response_ = H2ServerStream::Response::kFailed;
      stream->sending_.End(absl::DeadlineExceededError(
          "the client took no byte of the response within the idle timeout"));
    }
    // A tunnel may be idle in one direction: who relays it looks at both.
    // Nor need a client say anything that takes what comes: messages may go one way for long.
    const base::MonotonicNanos moved = std::max(stream->waits_since_, stream->sends_since_);
    if (stream->reading_.waiting() && !stream->tunnel_ && moved <= late) {
      self.context_.observer.OnProtocolError("idle_body");
      stream->scope_.Request(
          absl::DeadlineExceededError("no byte of the request body within the idle timeout"));
    }
  }
  if (waits) self.WatchStalls();
}

event::Task<void> H2ServerConnection::Linger() {
  // See H1ServerConnection::Linger().
  stream_->ShutdownWrite();
  event::Deadline deadline(context_.loop, write_scope_,
                           context_.loop.now() + context_.options.linger_timeout, "linger timeout");
  size_t dropped = 0;
  while (dropped < kMaxLingerBytes) {
    net::Receive receive(*stream_, write_scope_, context_.loop.downstream_buffers());
    const absl::StatusOr<base::Buffer> bytes = co_await receive;
    if (!bytes.ok() || !*bytes) break;
    dropped += bytes->size();
  }
}

}  // namespace portico::downstream
