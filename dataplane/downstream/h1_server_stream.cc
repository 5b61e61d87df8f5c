#include "dataplane/downstream/h1_server_stream.h"

#include <utility>

#include "dataplane/downstream/h1_server_connection.h"

namespace portico::downstream {
namespace {

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

// Lets a send end with the exchange's deadline. Other reasons to end the exchange do
// not cut off what is on its way to the client.
class EndWithDeadline final : private event::Cancellable {
 public:
  EndWithDeadline(event::CancelScope& exchange, event::CancelScope& send) : exchange_(exchange), send_(send) {
    exchange_.Link(*this);
  }
  ~EndWithDeadline() { exchange_.Unlink(*this); }
  EndWithDeadline(const EndWithDeadline&) = delete;
  EndWithDeadline& operator=(const EndWithDeadline&) = delete;

 private:
  void RequestCancel() override {
    if (absl::IsDeadlineExceeded(exchange_.reason())) send_.Request(exchange_.reason());
  }
  event::CancelScope& exchange_;
  event::CancelScope& send_;
};

absl::Status ClientLeft() { return absl::CancelledError("the client closed the connection"); }

}  // namespace

H1ServerStream::H1ServerStream(H1ServerConnection& connection, base::Arena& arena)
    : connection_(connection), arena_(arena), request_(arena), continue_sent_(connection.context_.loop) {}

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
  if (options.announce_close != nullptr && *options.announce_close) return false;
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

event::Task<absl::Status> H1ServerStream::SendContinue() {
  net::Send send(*connection_.stream_, connection_.write_scope_);
  send.Add(kContinue);
  sending_continue_ = true;
  absl::Status status = co_await Flush(send);
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
    event::Deadline idle(context.loop, scope_, context.loop.now() + context.options.stream_idle_timeout,
                         "no byte of the request body within the idle timeout");
    const bool large = decoder_.remaining() > base::BufferPool::kSmall;
    net::Receive receive(*connection_.stream_, scope_, context.loop.downstream_buffers(),
                         large ? base::BufferPool::kLarge : base::BufferPool::kSmall);
    absl::StatusOr<base::Buffer> bytes = co_await receive;
    if (!bytes.ok() && scope_.requested()) {
      if (absl::IsDeadlineExceeded(scope_.reason())) context.observer.OnProtocolError("idle_body");
      co_return ScopeReason();
    }
    if (!bytes.ok() || !*bytes) {
      scope_.Request(ClientLeft());
      co_return BodyFailed(ClientLeft());
    }
    input.Fill(std::move(*bytes));
  }
}

event::Task<absl::Status> H1ServerStream::Flush(net::Send& send) {
  ServerContext& context = connection_.context_;
  event::Deadline idle(context.loop, connection_.write_scope_,
                       context.loop.now() + context.options.stream_idle_timeout,
                       "the client took no byte of the response within the idle timeout");
  EndWithDeadline deadline(scope_, connection_.write_scope_);
  absl::Status status = co_await send;
  if (status.ok()) co_return status;
  response_ = Response::kFailed;
  if (connection_.write_scope_.requested()) co_return connection_.write_scope_.reason();
  // Reset or closed: the client left.
  scope_.Request(ClientLeft());
  co_return ClientLeft();
}

bool H1ServerStream::AddBody(net::Send& send, const http::BodyChunk& chunk) {
  const size_t size = chunk.bytes.size();
  switch (framing_) {
    case http::BodyKind::kNone:
      break;
    case http::BodyKind::kLength:
      if (size > response_remaining_ || (chunk.end && size < response_remaining_)) return false;
      response_remaining_ -= size;
      send.Add(chunk.bytes);
      break;
    case http::BodyKind::kChunked:
      if (size > 0) {
        send.Add(http::WriteChunkHead(size, chunk_head_));
        send.Add(chunk.bytes);
        send.Add(chunk.end ? http::kChunkEndAndLast : http::kChunkEnd);
      } else if (chunk.end) {
        send.Add(http::kLastChunk);
      }
      break;
    case http::BodyKind::kUntilClose:
      send.Add(chunk.bytes);
      break;
  }
  if (framing_ != http::BodyKind::kNone) response_bytes_ += size;
  return true;
}

event::Task<absl::Status> H1ServerStream::SendHead(const http::ResponseHead& head, http::BodyChunk first) {
  if (sending_continue_) {
    const absl::Status status = co_await continue_sent_.Wait(connection_.write_scope_);
    if (!status.ok()) co_return status;
  }
  if (response_ == Response::kFailed) co_return ClientLeft();
  if (response_ != Response::kNothing || head.status < 200) {
    co_return absl::FailedPreconditionError("a response head was sent before, or it is not final");
  }
  ServerContext& context = connection_.context_;
  framing_ = http::ResponseBodyFraming(head, request_.version, request_.method);
  // What comes after a body that ends with the connection would be part of it.
  keep_alive_ = KeepAlive() && framing_ != http::BodyKind::kUntilClose;
  const http::ResponseWriteOptions options{request_.version, request_.method, keep_alive_,
                                           context.date.Get(context.loop.unix_now())};
  absl::StatusOr<base::Buffer> bytes = http::WriteResponseHead(head, options, context.loop.downstream_buffers());
  if (!bytes.ok()) co_return bytes.status();
  response_ = Response::kBody;
  response_remaining_ = framing_ == http::BodyKind::kLength ? head.content_length : 0;
  const bool last = framing_ == http::BodyKind::kNone || first.end ||
                    (framing_ == http::BodyKind::kLength && response_remaining_ == first.bytes.size());
  net::Send send(*connection_.stream_, connection_.write_scope_);
  send.Add(bytes->view());
  if (!AddBody(send, first)) {
    response_ = Response::kFailed;
    aborted_ = true;
    co_return absl::InvalidArgumentError("the response body does not have the length that its head says");
  }
  const absl::Status status = co_await Flush(send);
  if (status.ok() && last) response_ = Response::kComplete;
  co_return status;
}

event::Task<absl::Status> H1ServerStream::SendBody(http::BodyChunk chunk) {
  if (response_ == Response::kFailed) co_return ClientLeft();
  if (response_ == Response::kNothing) co_return absl::FailedPreconditionError("no response head was sent");
  if (response_ == Response::kComplete) {
    if (framing_ == http::BodyKind::kNone || chunk.bytes.empty()) co_return absl::OkStatus();
    co_return absl::FailedPreconditionError("the response is complete");
  }
  net::Send send(*connection_.stream_, connection_.write_scope_);
  if (!AddBody(send, chunk)) {
    response_ = Response::kFailed;
    aborted_ = true;
    co_return absl::InvalidArgumentError("the response body does not have the length that its head says");
  }
  const bool last = chunk.end || (framing_ == http::BodyKind::kLength && response_remaining_ == 0);
  absl::Status status;
  if (send.bytes() > 0) status = co_await Flush(send);
  if (status.ok() && last) response_ = Response::kComplete;
  co_return status;
}

}  // namespace portico::downstream
