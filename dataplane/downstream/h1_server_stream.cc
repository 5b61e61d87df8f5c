#include "dataplane/downstream/h1_server_stream.h"

#include <utility>

#include "dataplane/downstream/h1_server_connection.h"
#include "dataplane/http/trailers.h"

namespace portico::downstream {
namespace {

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

absl::Status ClientLeft() { return absl::CancelledError("the client closed the connection"); }

}  // namespace

H1ServerStream::H1ServerStream(H1ServerConnection& connection, base::Arena& arena)
    : connection_(connection),
      arena_(arena),
      request_(arena),
      send_(*connection.stream_, connection.write_scope_),
      sending_(*this),
      continue_sent_(connection.context_.loop) {}

void H1ServerStream::Begin(base::Buffer head_bytes, bool keep_alive) {
  head_bytes_ = std::move(head_bytes);
  keep_alive_ = keep_alive;
  decoder_ = http::BodyDecoder(request_.body, request_.content_length);
  continue_wanted_ = request_.expect_continue;
  body_limit_ = connection_.context_.options.max_body_bytes;
}

bool H1ServerStream::KeepAlive() const {
  const ConnectionOptions& options = connection_.context_.options;
  if (!keep_alive_ || aborted_ || body_failed_ || connection_.draining_) return false;
  // What a client sends behind a request that asks for a tunnel is meant for the tunnel: it
  // must not be taken for a request where there is none.
  if (!request_.upgrade.empty()) return false;
  if (options.announce_close != nullptr && *options.announce_close) return false;
  if (options.overloaded != nullptr && *options.overloaded) return false;
  if (options.max_requests_per_connection != 0 && connection_.requests_ >= options.max_requests_per_connection) {
    return false;
  }
  if (decoder_.done()) return true;
  // A client that was not told to continue may send its body or not: nobody knows
  // where the next request begins.
  return !continue_wanted_ && decoder_.remaining() <= options.max_drain_bytes;
}

absl::Status H1ServerStream::BodyFailed(absl::Status status) {
  body_failed_ = true;
  return status;
}

absl::Status H1ServerStream::ScopeReason() {
  // Nothing was lost, so after the response the rest can still be read and dropped.
  if (response_ == Response::kComplete) return scope_.reason();
  return BodyFailed(scope_.reason());
}

bool H1ServerStream::BodyBuffered() const { return decoder_.done() || connection_.input_.HasPiece(decoder_); }

bool H1ServerStream::TakesPipes() const {
  return (framing_ == http::BodyKind::kLength || framing_ == http::BodyKind::kUntilClose) &&
         connection_.stream_->pipes() != nullptr;
}

void H1ServerStream::UsePipes() {
  pipes_ = decoder_.kind() == http::BodyKind::kLength && connection_.stream_->pipes() != nullptr;
}

event::Task<absl::Status> H1ServerStream::SendContinue() {
  send_.Add(kContinue);
  sending_continue_ = true;
  absl::Status status = co_await Flush(http::BodyChunk(), /*last=*/false);
  sending_continue_ = false;
  continue_sent_.Set();
  co_return status;
}

event::Task<absl::StatusOr<http::BodyChunk>> H1ServerStream::ReadBody() {
  ServerContext& context = connection_.context_;
  http::H1Input& input = connection_.input_;
  if (body_failed_) co_return absl::UnavailableError("the request body has failed before");
  if (decoder_.done()) {
    http::BodyChunk end;
    end.end = true;
    co_return end;
  }
  if (body_limit_ != 0 && request_bytes_ + decoder_.remaining() > body_limit_) {
    co_return BodyFailed(absl::ResourceExhaustedError("the request body is too large"));
  }
  while (true) {
    if (scope_.requested()) co_return ScopeReason();
    http::H1Input::Piece piece = input.NextPiece(decoder_, context.loop.downstream_buffers());
    if (!piece.error.empty()) {
      context.observer.OnProtocolError(piece.error);
      co_return BodyFailed(absl::InvalidArgumentError(absl::string_view(piece.error.data(), piece.error.size())));
    }
    if (!piece.need_more) {
      // Who sends without waiting needs no leave.
      continue_wanted_ = false;
      request_bytes_ += piece.chunk.bytes.size();
      if (body_limit_ != 0 && request_bytes_ > body_limit_) {
        co_return BodyFailed(absl::ResourceExhaustedError("the request body is too large"));
      }
      co_return std::move(piece.chunk);
    }
    if (continue_wanted_ && response_ == Response::kNothing) {
      continue_wanted_ = false;
      const absl::Status status = co_await SendContinue();
      if (!status.ok()) co_return BodyFailed(status);
    }
    event::Deadline idle(context.loop, scope_,
                         "no byte of the request body within the idle timeout");
    // A tunnel may be idle in one direction: who relays it looks at both.
    if (!tunnel_) idle.Extend(context.loop.now() + context.options.stream_idle_timeout);
    const uint64_t remaining = decoder_.remaining();
    size_t size = body_size_.Next(context.loop.downstream_buffers(), remaining, context.loop.now());
    event::PipeLease pipe;
    if (pipes_ && body_size_.WorthAPipe(remaining)) pipe = connection_.stream_->pipes()->Take();
    if (pipe != nullptr) size = body_size_.NextInPipe(remaining);
    net::Receive receive(*connection_.stream_, scope_, context.loop.downstream_buffers(), size);
    receive.Into(pipe.get());
    absl::StatusOr<base::Buffer> bytes = co_await receive;
    if (!bytes.ok() && scope_.requested()) {
      if (absl::IsDeadlineExceeded(scope_.reason())) context.observer.OnProtocolError("idle_body");
      co_return ScopeReason();
    }
    const bool piped = pipe != nullptr && pipe->size() > 0;
    if (tunnel_ && bytes.ok() && !*bytes) {
      http::BodyChunk end;
      end.end = decoder_.Finish();
      co_return end;
    }
    if (!bytes.ok() || (!*bytes && !piped)) {
      scope_.Request(ClientLeft());
      co_return BodyFailed(ClientLeft());
    }
    body_size_.Received(piped ? pipe->size() : bytes->size(), context.loop.now());
    if (piped) {
      http::BodyChunk chunk;
      request_bytes_ += pipe->size();
      chunk.end = decoder_.Skip(pipe->size());
      chunk.pipe = std::move(pipe);
      co_return std::move(chunk);
    }
    input.Fill(std::move(*bytes));
  }
}

bool H1ServerStream::Sending::Begin() {
  H1ServerConnection& connection = stream_.connection_;
  const ServerContext& context = connection.context_;
  connection.deadline_.SetIdle(connection.write_scope_, context.options.stream_idle_timeout,
                               "the client took no byte of the response within the idle timeout",
                               *connection.stream_);
  stream_.scope_.Link(*this);
  return stream_.send_.await_ready();
}

void H1ServerStream::Sending::RequestCancel() {
  const absl::Status& reason = stream_.scope_.reason();
  if (absl::IsDeadlineExceeded(reason)) stream_.connection_.write_scope_.Request(reason);
}

absl::Status H1ServerStream::Sending::Take() {
  H1ServerStream& stream = stream_;
  stream.scope_.Unlink(*this);
  stream.connection_.deadline_.Clear();
  absl::Status status = stream.send_.await_resume();
  stream.sent_head_.Reset();
  stream.sent_body_.owner.Reset();
  stream.sent_body_.pipe.reset();
  if (status.ok()) {
    if (stream.sends_last_) stream.Complete();
    return status;
  }
  stream.response_ = Response::kFailed;
  const event::CancelScope& write_scope = stream.connection_.write_scope_;
  if (write_scope.requested()) return write_scope.reason();
  // Reset or closed: the client left.
  stream.scope_.Request(ClientLeft());
  return ClientLeft();
}

event::Task<absl::Status> H1ServerStream::Flush(http::BodyChunk body, bool last) {
  sent_body_ = std::move(body);
  sends_last_ = last;
  return event::Task<absl::Status>(sending_);
}

bool H1ServerStream::AddBody(const http::BodyChunk& chunk) {
  const size_t size = chunk.size();
  switch (framing_) {
    case http::BodyKind::kNone:
      return true;
    case http::BodyKind::kLength:
      if (size > response_remaining_ || (chunk.end && size < response_remaining_)) return false;
      response_remaining_ -= size;
      if (chunk.pipe != nullptr) send_.Add(*chunk.pipe);
      send_.Add(chunk.bytes);
      break;
    case http::BodyKind::kChunked:
      if (chunk.end && chunk.trailers != nullptr && request_.takes_trailers) [[unlikely]] {
        AddLastChunk(chunk);
      } else if (size > 0) {
        send_.Add(http::WriteChunkHead(size, chunk_head_));
        send_.Add(chunk.bytes);
        send_.Add(chunk.end ? http::kChunkEndAndLast : http::kChunkEnd);
      } else if (chunk.end) {
        send_.Add(http::kLastChunk);
      }
      break;
    case http::BodyKind::kUntilClose:
      if (chunk.pipe != nullptr) send_.Add(*chunk.pipe);
      send_.Add(chunk.bytes);
      break;
  }
  response_bytes_ += size;
  return true;
}

void H1ServerStream::AddLastChunk(const http::BodyChunk& chunk) {
  const std::string_view last = http::WriteLastChunk(*chunk.trailers, arena_);
  if (chunk.size() == 0) {
    send_.Add(last);
    return;
  }
  send_.Add(http::WriteChunkHead(chunk.size(), chunk_head_));
  send_.Add(chunk.bytes);
  send_.Add(arena_.Concat({http::kChunkEnd, last}));
}

absl::Status H1ServerStream::WrongLength() {
  response_ = Response::kFailed;
  aborted_ = true;
  return absl::InvalidArgumentError(
      "the response body does not have the length that its head says");
}

absl::Status H1ServerStream::AddHead(const http::ResponseHead& head, const http::BodyChunk& first) {
  if (response_ == Response::kFailed) return ClientLeft();
  const bool upgrade = head.status == 101 && !request_.upgrade.empty();
  if (response_ != Response::kNothing || (head.status < 200 && !upgrade)) {
    return absl::FailedPreconditionError("a response head was sent before, or it is not final");
  }
  ServerContext& context = connection_.context_;
  framing_ = upgrade ? http::BodyKind::kUntilClose
                     : http::ResponseBodyFraming(head, request_.version, request_.method);
  // What comes after a body that ends with the connection would be part of it.
  keep_alive_ = KeepAlive() && framing_ != http::BodyKind::kUntilClose;
  const http::ResponseWriteOptions options{request_.version, request_.method, keep_alive_,
                                           context.date.Get(context.loop.unix_now()),
                                           upgrade ? request_.upgrade : std::string_view()};
  absl::StatusOr<base::Buffer> bytes = http::WriteResponseHead(head, options, context.loop.downstream_buffers());
  if (!bytes.ok()) return bytes.status();
  sent_head_ = *std::move(bytes);
  if (upgrade) BeginTunnel();
  response_ = Response::kBody;
  response_remaining_ = framing_ == http::BodyKind::kLength ? head.content_length : 0;
  send_.Add(sent_head_.view());
  return AddBody(first) ? absl::OkStatus() : WrongLength();
}

event::Task<absl::Status> H1ServerStream::SendHead(const http::ResponseHead& head,
                                                   http::BodyChunk first) {
  if (sending_continue_) return SendHeadLater(head, std::move(first));
  if (absl::Status status = AddHead(head, first); !status.ok())
    return event::Ended(std::move(status));
  // AddBody() has taken `first` off what remains.
  const bool last = framing_ == http::BodyKind::kNone || first.end ||
                    (framing_ == http::BodyKind::kLength && response_remaining_ == 0);
  return Flush(std::move(first), last);
}

event::Task<absl::Status> H1ServerStream::SendHeadLater(const http::ResponseHead& head,
                                                        http::BodyChunk first) {
  const absl::Status status = co_await continue_sent_.Wait(connection_.write_scope_);
  if (!status.ok()) co_return status;
  co_return co_await SendHead(head, std::move(first));
}

event::Task<absl::Status> H1ServerStream::SendBody(http::BodyChunk chunk) {
  if (response_ == Response::kFailed) return event::Ended(ClientLeft());
  if (response_ == Response::kNothing) {
    return event::Ended(absl::FailedPreconditionError("no response head was sent"));
  }
  if (response_ == Response::kComplete) {
    if (framing_ == http::BodyKind::kNone || chunk.size() == 0)
      return event::Ended(absl::OkStatus());
    return event::Ended(absl::FailedPreconditionError("the response is complete"));
  }
  if (!AddBody(chunk)) return event::Ended(WrongLength());
  const bool last = chunk.end || (framing_ == http::BodyKind::kLength && response_remaining_ == 0);
  if (send_.bytes() > 0) return Flush(std::move(chunk), last);
  if (last) Complete();
  return event::Ended(absl::OkStatus());
}

void H1ServerStream::Complete() {
  response_ = Response::kComplete;
  // The client may still have something to say.
  if (tunnel_) connection_.stream_->ShutdownWrite();
}

void H1ServerStream::BeginTunnel() {
  tunnel_ = true;
  decoder_ = http::BodyDecoder(http::BodyKind::kUntilClose, 0);
  body_limit_ = 0;
  connection_.BeginTunnel();
}

}  // namespace portico::downstream
