#include "dataplane/downstream/h2_server_connection.h"

#include <algorithm>
#include <utility>

#include "dataplane/base/check.h"
#include "dataplane/downstream/h2_server_stream.h"
#include "dataplane/downstream/h2_session_events.h"
#include "dataplane/net/await.h"

namespace portico::downstream {
namespace {

absl::Status ClientLeft() { return absl::CancelledError("the client closed the connection"); }

}  // namespace

H2ServerConnection::H2ServerConnection(ServerContext& context,
                                       std::unique_ptr<net::ByteStream> stream,
                                       const http::ConnectionInfo& info, base::Buffer first_bytes)
    : context_(context),
      stream_(std::move(stream)),
      info_(info),
      first_bytes_(std::move(first_bytes)),
      read_deadline_(context.loop),
      write_deadline_(context.loop),
      exchanges_(context.loop),
      writing_(context.loop),
      written_(context.loop),
      windows_(context.options.http2_stream_window, context.options.http2_connection_window,
               context.options.memory_scarce) {
  stall_timer_.context = this;
  stall_timer_.on_fire = &OnStallTimer;
  close_timer_.context = this;
  close_timer_.on_fire = &OnCloseTimer;
}

H2ServerConnection::~H2ServerConnection() { PORTICO_CHECK(!started_ || ended_); }

void H2ServerConnection::Start() {
  started_ = true;
  event::Spawn(Run());
}

event::Task<void> H2ServerConnection::Run() {
  idle_since_ = context_.loop.now();
  session_ = H2SessionEvents::MakeSession(*this);
  PORTICO_CHECK(session_ != nullptr);
  writing_.Spawn(Write());
  if (first_bytes_) {
    const base::Buffer bytes = std::move(first_bytes_);
    Feed(bytes);
  }
  Pump();
  // It may have come before the start.
  if (drain_wanted_) CloseInOrder();
  co_await Read();
  read_deadline_.Clear();
  context_.loop.timers().Disarm(close_timer_);
  co_await exchanges_.Join();
  {
    // What is left to be said need not wait for a client that does not listen.
    event::Deadline deadline(context_.loop, write_scope_,
                             context_.loop.now() + context_.options.linger_timeout,
                             "linger timeout");
    write_ends_ = true;
    WakeWriter();
    co_await writing_.Join();
  }
  write_failed_ = write_failed_ || write_scope_.requested();
  context_.loop.timers().Disarm(stall_timer_);
  context_.loop.timers().Disarm(close_timer_);
  nghttp2_session_del(std::exchange(session_, nullptr));
  while (streams_ != nullptr) Release(*streams_);
  if (abort_) {
    stream_->Abort();
  } else if (linger_ && !write_failed_) {
    co_await Linger();
  }
  ended_ = true;
  // Destroys this object.
  context_.owner.OnConnectionEnded(*this);
}

event::Task<void> H2ServerConnection::Read() {
  while (!read_scope_.requested()) {
    if (TooMuchQueued()) {
      // Who does not read its answers is not read, either.
      read_deadline_.Clear();
      if (!(co_await written_.Wait(read_scope_)).ok()) break;
      continue;
    }
    SetReadDeadline();
    net::Receive receive(*stream_, read_scope_, context_.loop.downstream_buffers(),
                         context_.loop.downstream_buffers().Grant(receive_size_));
    absl::StatusOr<base::Buffer> bytes = co_await receive;
    if (!bytes.ok() || !*bytes) {
      client_left_ = !read_scope_.requested();
      // One that only closed its side may still want its answers.
      if (bytes.ok() && stream_count_ > 0) {
        read_deadline_.Clear();
        context_.loop.timers().Arm(close_timer_,
                                   context_.loop.now() + context_.options.half_close_grace);
        co_await exchanges_.Join();
      }
      break;
    }
    if (bytes->size() == bytes->capacity()) {
      // No larger: a whole frame is then enough of a buffer to be kept instead of copied.
      receive_size_ = std::min(receive_size_ * 2, base::BufferPool::kLarge);
    } else if (bytes->size() < receive_size_ / 4) {
      receive_size_ = base::BufferPool::kSmall;
    }
    Feed(*bytes);
    bytes->Reset();
    CheckEnd();
  }
  if (absl::IsDeadlineExceeded(read_scope_.reason())) {
    const bool idle = read_scope_.reason().message() == kIdleTimeout;
    if (!idle) context_.observer.OnProtocolError("header_timeout");
    nghttp2_session_terminate_session(session_, idle ? NGHTTP2_NO_ERROR : NGHTTP2_PROTOCOL_ERROR);
    Pump();
  }
  linger_ = !client_left_;
  FailAll(ClientLeft());
}

void H2ServerConnection::Feed(const base::Buffer& bytes) {
  feeding_ = &bytes;
  const std::string_view text = bytes.view();
  if (LookAtFrames(text)) {
    in_session_ = true;
    const ssize_t taken = nghttp2_session_mem_recv(
        session_, reinterpret_cast<const uint8_t*>(text.data()), text.size());
    in_session_ = false;
    if (taken == NGHTTP2_ERR_BAD_CLIENT_MAGIC) {
      Violation("h2_protocol_error", NGHTTP2_PROTOCOL_ERROR);
    } else if (taken < 0) {
      // Too many CONTINUATION frames or settings, or acknowledgements that nobody reads.
      Violation("h2_flood", NGHTTP2_ENHANCE_YOUR_CALM);
    } else if (!violated_) {
      // What came for streams that are gone, and padding, is read by nghttp2 alone.
      http::ReleaseH2Connection(session_, unread_, windows_);
    }
  }
  feeding_ = nullptr;
  BeginExchanges();
  Pump();
}

bool H2ServerConnection::LookAtFrames(std::string_view bytes) {
  using Verdict = http::H2StreamRules::Verdict;
  return frames_.Walk(bytes, [this](const http::H2FrameHead& head) {
    const Verdict verdict = rules_.See(head);
    const auto kind = http::FloodKindOf(head);
    if (verdict == Verdict::kStreamClosed) {
      Violation("h2_stream_closed", NGHTTP2_STREAM_CLOSED);
    } else if (verdict == Verdict::kProtocolError || http::BreaksFraming(head)) {
      Violation("h2_protocol_error", NGHTTP2_PROTOCOL_ERROR);
    } else if (kind.has_value() && !guard_.Take(*kind, context_.loop.now())) {
      Violation(http::H2FloodGuard::Reason(*kind), NGHTTP2_ENHANCE_YOUR_CALM);
    }
    return !violated_;
  });
}

void H2ServerConnection::BeginExchanges() {
  while (opened_first_ != nullptr) {
    H2ServerStream& stream = *std::exchange(opened_first_, opened_first_->next_opened_);
    if (opened_first_ == nullptr) opened_last_ = nullptr;
    if (stream.closed_ || stream.broken_ || violated_) {
      // What was given up before it began costs nobody anything.
      stream.serving_ = false;
      if (stream.closed_) Release(stream);
      continue;
    }
    ++requests_;
    exchanges_.Spawn(Serve(stream));
  }
}

event::Task<void> H2ServerConnection::Serve(H2ServerStream& stream) {
  const ConnectionOptions& options = context_.options;
  if (options.max_requests_per_connection != 0 &&
      requests_ >= options.max_requests_per_connection) {
    CloseInOrder();
  }
  if (stream.refusal_ != 0) {
    co_await context_.handler.ServeError(stream, info_, stream.refusal_, stream.refusal_reason_);
  } else {
    co_await context_.handler.Serve(stream, info_);
  }
  EndExchange(stream);
}

void H2ServerConnection::EndExchange(H2ServerStream& stream) {
  stream.serving_ = false;
  if (stream.closed_) {
    Release(stream);
    // What was dropped may be what the client waits to send.
    Pump();
    CheckEnd();
    return;
  }
  const bool complete = stream.response_ == H2ServerStream::Response::kComplete && !stream.aborted_;
  if (!complete) {
    // RFC 8441 section 5: what the reset of a TCP connection is for a WebSocket.
    const uint32_t code = stream.tunnel_ ? NGHTTP2_CANCEL : NGHTTP2_INTERNAL_ERROR;
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id_, code);
  } else if (!stream.body_ended_) {
    // RFC 9113 section 8.1: nobody needs the rest of the request.
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id_, NGHTTP2_NO_ERROR);
  }
  stream.DropBody();
  stream.piece_ = http::BodyChunk();
  stream.stake_.End(share_);
  // Ends the stream where all is sent.
  Pump();
}

H2ServerStream* H2ServerConnection::OpenStream(int32_t id) {
  auto owned = std::make_unique<H2ServerStream>(*this, id, context_.arenas.Take());
  // owned: by this list, until Release().
  H2ServerStream* const stream = owned.release();
  stream->next_ = streams_;
  if (streams_ != nullptr) streams_->previous_ = stream;
  streams_ = stream;
  ++stream_count_;
  return stream;
}

void H2ServerConnection::Release(H2ServerStream& stream) {
  if (stream.next_ != nullptr) stream.next_->previous_ = stream.previous_;
  (stream.previous_ != nullptr ? stream.previous_->next_ : streams_) = stream.next_;
  stream.DropBody();
  stream.stake_.End(share_);
  const http::H2WindowChange change = stream.window_.End(windows_);
  if (session_ != nullptr) http::ChangeH2Windows(session_, 0, change);
  const std::unique_ptr<H2ServerStream> owned(&stream);
  if (--stream_count_ != 0 || session_ == nullptr) return;
  idle_since_ = context_.loop.now();
  SetReadDeadline();
}

void H2ServerConnection::ResetStream(H2ServerStream& stream, uint32_t code,
                                     std::string_view reason) {
  stream.broken_ = true;
  context_.observer.OnProtocolError(reason);
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id_, code);
  stream.Fail(absl::CancelledError("the client broke a rule of HTTP/2"));
}

void H2ServerConnection::TakeTurns(H2ServerStream& stream) {
  // RFC 9218 calls it incremental.
  nghttp2_extpri priority;
  priority.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY;
  priority.inc = 1;
  nghttp2_session_change_extpri_stream_priority(session_, stream.id_, &priority,
                                                /*ignore_client_signal=*/1);
}

void H2ServerConnection::ResponseBegins() {
  const ConnectionOptions& options = context_.options;
  if ((options.announce_close != nullptr && *options.announce_close) ||
      (options.overloaded != nullptr && *options.overloaded)) {
    CloseInOrder();
  }
}

void H2ServerConnection::FailAll(const absl::Status& reason) {
  for (H2ServerStream* stream = streams_; stream != nullptr; stream = stream->next_) {
    if (stream->response_ == H2ServerStream::Response::kComplete && stream->body_ended_) continue;
    // A deadline for sending is the fault of those that send.
    const bool to_blame = stream->sending_.pending() || !absl::IsDeadlineExceeded(reason);
    stream->Fail(to_blame ? reason : ClientLeft());
  }
}

void H2ServerConnection::Consumed(H2ServerStream& stream, size_t bytes) {
  unread_ -= bytes;
  if (bytes == 0 || session_ == nullptr) return;
  if (!stream.closed_) {
    nghttp2_session_consume_stream(session_, stream.id_, stream.window_.debt().Pay(bytes));
  }
  Dropped(bytes);
}

void H2ServerConnection::Dropped(size_t bytes) {
  nghttp2_session_consume_connection(session_, windows_.debt().Pay(bytes));
  http::ReleaseH2Connection(session_, unread_, windows_);
}

void H2ServerConnection::TuneWindow(H2ServerStream& stream, size_t bytes) {
  if (session_ == nullptr || stream.closed_ || stream.body_ended_) return;
  http::ChangeH2Windows(
      session_, stream.id_,
      stream.window_.Read(bytes, context_.loop.now(), stream_count_, windows_));
}

ssize_t H2ServerConnection::ReadData(nghttp2_session*, int32_t, uint8_t*, size_t length,
                                     uint32_t* flags, nghttp2_data_source* source, void* user) {
  if (static_cast<H2ServerConnection*>(user)->output().full()) return NGHTTP2_ERR_PAUSE;
  return static_cast<H2ServerStream*>(source->ptr)->OfferData(length, flags);
}

}  // namespace portico::downstream
