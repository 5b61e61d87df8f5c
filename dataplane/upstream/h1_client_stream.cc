#include <utility>

#include "dataplane/upstream/h1_client_connection_impl.h"

namespace portico::upstream {
namespace {

// Informational responses before the final one.
constexpr int kMaxInformational = 16;

}  // namespace

absl::Status H1ClientConnection::Ended(const char* when) const {
  if (!receive_status_.ok()) return receive_status_;
  return absl::UnavailableError(when);
}

absl::Status H1ClientConnection::ResponseFailed(absl::Status status) {
  exchange_->response_failed = true;
  return status;
}

void H1ClientConnection::StartBodyReceive() {
  H1ClientExchange& e = *exchange_;
  uint64_t remaining = e.decoder.remaining();
  if (e.piece_limit != 0 && (remaining == 0 || remaining > e.piece_limit)) [[unlikely]] {
    remaining = e.piece_limit;
  }
  size_t size = e.body_size.Next(loop_.upstream_buffers(), remaining, loop_.now());
  if (e.pipes && e.body_size.WorthAPipe(remaining)) e.pipe = stream_->pipes()->Take();
  if (e.pipe != nullptr) size = e.body_size.NextInPipe(remaining);
  receive_.pipe = e.pipe.get();
  StartReceive(size);
}

event::Task<absl::Status> H1ClientConnection::ReceiveBody() {
  if (exchange_->scope.requested()) co_return exchange_->scope.reason();
  if (receive_ended_) co_return absl::OkStatus();
  event::Deadline idle(loop_, exchange_->scope,
                       "no byte from the upstream within the idle timeout");
  if (options_.idle_timeout > 0) idle.Extend(loop_.now() + options_.idle_timeout);
  if (!receive_.pending()) StartBodyReceive();
  const uint64_t before = exchange_->received;
  Received received(*this, exchange_->scope);
  co_await received;
  // What came before the scope was requested is still there; nobody wants it.
  if (exchange_->scope.requested()) co_return exchange_->scope.reason();
  exchange_->body_size.Received(static_cast<size_t>(exchange_->received - before), loop_.now());
  co_return absl::OkStatus();
}

bool H1ClientConnection::AddBody(const http::BodyChunk& chunk) {
  H1ClientExchange& e = *exchange_;
  const size_t size = chunk.size();
  if (e.tunnel) {
    e.send.Add(chunk.bytes);
    return chunk.pipe == nullptr;
  }
  switch (e.framing) {
    case http::BodyKind::kNone:
      return size == 0;
    case http::BodyKind::kLength:
      if (size > e.request_remaining || (chunk.end && size < e.request_remaining)) return false;
      e.request_remaining -= size;
      if (chunk.pipe != nullptr) e.send.Add(*chunk.pipe);
      e.send.Add(chunk.bytes);
      return true;
    case http::BodyKind::kChunked:
    case http::BodyKind::kUntilClose:
      if (size > 0) {
        e.send.Add(http::WriteChunkHead(size, e.chunk_head));
        e.send.Add(chunk.bytes);
        e.send.Add(chunk.end ? http::kChunkEndAndLast : http::kChunkEnd);
      } else if (chunk.end) {
        e.send.Add(http::kLastChunk);
      }
      return true;
  }
  return false;
}

event::Task<absl::Status> H1ClientConnection::Flush(http::BodyChunk body, bool last) {
  exchange_->sent_body = std::move(body);
  exchange_->sends_last = last;
  exchange_->send.AwaitAnswer(last && receive_.pending());
  return event::Task<absl::Status>(sending_);
}

absl::Status H1ClientConnection::EndSend() {
  H1ClientExchange& e = *exchange_;
  send_idle_.Clear();
  absl::Status status = e.send.await_resume();
  e.sent_head.Reset();
  e.sent_body.owner.Reset();
  e.sent_body.pipe.reset();
  if (!status.ok()) {
    e.send_failed = true;
  } else if (e.sends_last) {
    e.request_complete = true;
    if (e.tunnel) stream_->ShutdownWrite();
  }
  return status;
}

event::Task<absl::Status> H1ClientConnection::SendHead(const http::RequestHead& head,
                                                       http::BodyChunk first) {
  H1ClientExchange& e = *exchange_;
  e.method = head.method;
  e.framing = head.body;
  e.request_remaining = head.body == http::BodyKind::kLength ? head.content_length : 0;
  e.parser.ExpectUpgrade(head.upgrade);
  if (head.takes_trailers) [[unlikely]] e.trailers = e.arena.New<http::TrailerSection>(e.arena);
  absl::StatusOr<base::Buffer> bytes = http::WriteRequestHead(head, loop_.upstream_buffers());
  if (!bytes.ok()) return event::Ended(absl::Status(bytes.status()));
  e.sent_head = *std::move(bytes);
  e.send.Add(e.sent_head.view());
  if (!AddBody(first)) {
    return event::Ended(
        absl::InvalidArgumentError("the request body does not have the length that its head says"));
  }
  const bool counted = e.framing == http::BodyKind::kNone || e.framing == http::BodyKind::kLength;
  const bool last = counted ? e.request_remaining == 0 : first.end;
  return Flush(std::move(first), last);
}

event::Task<absl::Status> H1ClientConnection::SendBody(http::BodyChunk chunk) {
  H1ClientExchange& e = *exchange_;
  if (e.send_failed) return event::Ended(absl::UnavailableError("the request could not be sent"));
  if (e.request_complete) {
    if (chunk.size() == 0) return event::Ended(absl::OkStatus());
    return event::Ended(
        absl::InvalidArgumentError("the request body is longer than its head says"));
  }
  if (!AddBody(chunk)) {
    return event::Ended(
        absl::InvalidArgumentError("the request body does not have the length that its head says"));
  }
  if (e.send.bytes() == 0) {
    if (e.tunnel && chunk.end) {
      e.request_complete = true;
      stream_->ShutdownWrite();
    }
    return event::Ended(absl::OkStatus());
  }
  const bool last = e.framing == http::BodyKind::kLength ? e.request_remaining == 0 : chunk.end;
  return Flush(std::move(chunk), last);
}

event::Task<absl::StatusOr<http::ResponseHead*>> H1ClientConnection::ReadHead() {
  exchange_->partial_head = exchange_->arena.New<http::ResponseHead>(exchange_->arena);
  return event::Task<absl::StatusOr<http::ResponseHead*>>(reading_head_);
}

bool H1ClientConnection::HeadFailed(absl::Status status) {
  exchange_->head_status = ResponseFailed(std::move(status));
  return true;
}

void H1ClientConnection::HeadComplete(size_t bytes) {
  H1ClientExchange& e = *exchange_;
  e.head_bytes = input_.Share();
  input_.Consume(bytes);
  http::RemoveHopByHopFields(e.partial_head->headers);
  e.decoder = http::BodyDecoder(e.partial_head->body, e.partial_head->content_length);
  e.keep_alive = e.parser.keep_alive();
  if (e.partial_head->status == 101) {
    e.tunnel = true;
    e.request_complete = false;
  }
  e.head = e.partial_head;
}

bool H1ClientConnection::AdvanceHead(bool woken) {
  H1ClientExchange& e = *exchange_;
  // What came before the scope was requested is still there; nobody wants it.
  if (woken && e.scope.requested()) return HeadFailed(e.scope.reason());
  while (true) {
    e.response_seen = e.response_seen || !input_.empty();
    const http::H1ParseResult result =
        e.parser.ParseHead(input_.unread(), options_.head, e.method, *e.partial_head);
    if (result.state == http::H1ParseResult::State::kError) {
      const absl::string_view reason(result.reason.data(), result.reason.size());
      const bool too_large =
          result.reason == "headers_too_large" || result.reason == "too_many_headers";
      return HeadFailed(too_large ? absl::ResourceExhaustedError(reason)
                                  : absl::InvalidArgumentError(reason));
    }
    if (result.state == http::H1ParseResult::State::kNeedMore) break;
    if (e.partial_head->status >= 200 || e.partial_head->status == 101) {
      HeadComplete(result.consumed);
      return true;
    }
    if (++e.informational > kMaxInformational) {
      return HeadFailed(absl::InvalidArgumentError("too_many_informational"));
    }
    input_.Consume(result.consumed);
    e.parser.Reset();
    *e.partial_head = http::ResponseHead(e.arena);
  }
  if (receive_ended_)
    return HeadFailed(Ended("the upstream closed the connection before its response"));
  if (e.scope.requested()) return HeadFailed(e.scope.reason());
  LimitIdle(receive_idle_, "no byte from the upstream within the idle timeout");
  if (!receive_.pending()) {
    receive_.buffer = input_.TakeForMore(loop_.upstream_buffers(), options_.head.max_header_bytes);
    StartReceive(message_size_.hint());
  }
  return false;
}

bool H1ClientConnection::TryPiece(absl::StatusOr<http::BodyChunk>& out) {
  H1ClientExchange& e = *exchange_;
  if (e.scope.requested()) {
    out = ResponseFailed(e.scope.reason());
    return true;
  }
  if (event::PipeLease pipe = std::move(e.pipe); pipe != nullptr && pipe->size() > 0) {
    http::BodyChunk chunk;
    chunk.end = e.decoder.Skip(pipe->size());
    chunk.pipe = std::move(pipe);
    out = std::move(chunk);
    return true;
  }
  http::H1Input::Piece piece = input_.NextPiece(e.decoder, loop_.upstream_buffers(), e.trailers);
  if (!piece.error.empty()) {
    out = ResponseFailed(
        absl::InvalidArgumentError(absl::string_view(piece.error.data(), piece.error.size())));
    return true;
  }
  if (piece.need_more) {
    if (!receive_ended_) return false;
    if (!receive_status_.ok() || !e.decoder.Finish()) {
      out = ResponseFailed(
          Ended("the upstream closed the connection before the end of its response"));
      return true;
    }
    piece.chunk.end = true;
  }
  out = std::move(piece.chunk);
  return true;
}

event::Task<absl::StatusOr<http::BodyChunk>> H1ClientConnection::ReadBody() {
  H1ClientExchange& e = *exchange_;
  // A tunnel lasts: its head, which was sent on by now, is not to keep a buffer.
  if (e.tunnel) e.head_bytes.Reset();
  if (e.head == nullptr || e.response_failed) {
    e.piece = absl::FailedPreconditionError("there is no response to read");
  } else if (!TryPiece(e.piece)) {
    return ReadBodyLater();
  }
  return event::Task<absl::StatusOr<http::BodyChunk>>(reading_piece_);
}

event::Task<absl::StatusOr<http::BodyChunk>> H1ClientConnection::ReadBodyLater() {
  H1ClientExchange& e = *exchange_;
  do {
    const absl::Status status = co_await ReceiveBody();
    if (!status.ok()) co_return ResponseFailed(status);
  } while (!TryPiece(e.piece));
  co_return std::move(e.piece);
}

}  // namespace portico::upstream
