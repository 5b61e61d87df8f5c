#include "dataplane/downstream/h2_server_stream.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "dataplane/downstream/h2_server_connection.h"
#include "dataplane/http/h1_writer.h"
#include "dataplane/http/h2_writer.h"

namespace portico::downstream {
namespace {

absl::Status ClientLeft() { return absl::CancelledError("the client reset the stream"); }

}  // namespace

H2BodyQueue::~H2BodyQueue() { Clear(); }

void H2BodyQueue::Clear() {
  while (head_ != nullptr) head_ = std::move(head_->next);
  tail_ = nullptr;
  bytes_ = 0;
}

void H2BodyQueue::Add(std::string_view bytes, const base::Buffer& received,
                      base::BufferPool& pool) {
  bytes_ += bytes.size();
  while (!bytes.empty()) {
    if (tail_ != nullptr && tail_->ours && tail_->buffer.size() < tail_->buffer.capacity()) {
      base::Buffer& buffer = tail_->buffer;
      const size_t size = std::min(bytes.size(), buffer.capacity() - buffer.size());
      std::memcpy(buffer.data() + buffer.size(), bytes.data(), size);
      buffer.set_size(buffer.size() + size);
      tail_->bytes = buffer.view();
      bytes.remove_prefix(size);
      continue;
    }
    auto piece = std::make_unique<Piece>();
    // A piece keeps the whole buffer that it lies in.
    if (received && bytes.size() >= received.capacity() / 4) {
      piece->buffer = received.Share();
      piece->bytes = bytes;
      bytes = {};
    } else {
      piece->buffer = pool.Allocate();
      piece->ours = true;
    }
    Piece* const added = piece.get();
    (tail_ == nullptr ? head_ : tail_->next) = std::move(piece);
    tail_ = added;
  }
}

http::BodyChunk H2BodyQueue::Take() {
  http::BodyChunk chunk;
  chunk.owner = std::move(head_->buffer);
  chunk.bytes = head_->bytes;
  bytes_ -= chunk.bytes.size();
  head_ = std::move(head_->next);
  if (head_ == nullptr) tail_ = nullptr;
  return chunk;
}

H2ServerStream::H2ServerStream(H2ServerConnection& connection, int32_t id,
                               std::unique_ptr<base::Arena> arena)
    : connection_(connection),
      id_(id),
      arena_(std::move(arena)),
      request_(*arena_),
      reading_(*this),
      sending_(*this) {
  body_limit_ = connection.context_.options.max_body_bytes;
}

H2ServerStream::~H2ServerStream() { connection_.context_.arenas.Return(std::move(arena_)); }

// The request's body.

bool H2ServerStream::AddBody(std::string_view bytes, const base::Buffer& received) {
  received_ += bytes.size();
  if (request_.body == http::BodyKind::kLength && received_ > request_.content_length) return false;
  queue_.Add(bytes, received, connection_.context_.loop.downstream_buffers());
  connection_.unread_ += bytes.size();
  if (request_.upgrade.empty() || tunnel_) reading_.Wake();
  return true;
}

bool H2ServerStream::EndBody() {
  body_ended_ = true;
  reading_.Wake();
  return request_.body != http::BodyKind::kLength || received_ == request_.content_length;
}

void H2ServerStream::Fail(absl::Status reason) {
  body_failed_ = true;
  if (response_ != Response::kComplete) response_ = Response::kFailed;
  DropBody();
  // Who sends is told so; the exchange's own deadline is another one.
  if (!sending_.pending() || !absl::IsDeadlineExceeded(reason)) scope_.Request(reason);
  sending_.End(std::move(reason));
}

void H2ServerStream::DropBody() {
  connection_.Consumed(*this, queue_.bytes());
  queue_.Clear();
}

void H2ServerStream::SendContinue() {
  continue_wanted_ = false;
  if (response_ != Response::kNothing || received_ > 0 || closed_) return;
  static constexpr std::string_view kName = ":status", kValue = "100";
  const auto bytes = [](std::string_view text) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
  };
  const nghttp2_nv field = {bytes(kName), bytes(kValue), kName.size(), kValue.size(),
                            NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
  nghttp2_submit_headers(connection_.session_, NGHTTP2_FLAG_NONE, id_, nullptr, &field, 1, nullptr);
  connection_.Pump();
}

event::Task<absl::StatusOr<http::BodyChunk>> H2ServerStream::ReadBody() {
  if (continue_wanted_ && !BodyReady()) SendContinue();
  return event::Task<absl::StatusOr<http::BodyChunk>>(reading_);
}

absl::StatusOr<http::BodyChunk> H2ServerStream::NextPiece() {
  if (scope_.requested()) {
    // After the response nothing was lost: the rest may still come, and is dropped.
    if (response_ != Response::kComplete) body_failed_ = true;
    return scope_.reason();
  }
  if (body_failed_) return absl::UnavailableError("the request body has failed before");
  if (!request_.upgrade.empty() && !tunnel_) {
    http::BodyChunk none;
    none.end = true;
    return none;
  }
  const uint64_t known = request_.body == http::BodyKind::kLength ? request_.content_length
                                                                  : request_bytes_ + queue_.bytes();
  if (body_limit_ != 0 && known > body_limit_) {
    body_failed_ = true;
    return absl::ResourceExhaustedError("the request body is too large");
  }
  http::BodyChunk chunk;
  if (!queue_.empty()) {
    chunk = queue_.Take();
    request_bytes_ += chunk.bytes.size();
    chunk.end = body_ended_ && queue_.empty();
    connection_.Consumed(*this, chunk.bytes.size());
    connection_.TuneWindow(*this, chunk.bytes.size());
    connection_.Pump();
    // Sending may have ended the stream, and dropped what was behind this piece.
    if (scope_.requested()) return scope_.reason();
  } else {
    chunk.end = body_ended_;
  }
  if (chunk.end) chunk.trailers = trailers_;
  return chunk;
}

bool H2ServerStream::Reading::Begin() {
  return stream_.BodyReady() || stream_.body_failed_ ||
         (!stream_.request_.upgrade.empty() && !stream_.tunnel_);
}

void H2ServerStream::Reading::Suspend(std::coroutine_handle<> waiter) {
  waiter_ = waiter;
  stream_.scope_.Link(*this);
  linked_ = true;
  stream_.window_.ReaderWaits();
  stream_.waits_since_ = stream_.connection_.context_.loop.now();
  stream_.connection_.WatchStalls();
}

absl::StatusOr<http::BodyChunk> H2ServerStream::Reading::Take() {
  if (linked_) stream_.scope_.Unlink(*this);
  linked_ = false;
  return stream_.NextPiece();
}

void H2ServerStream::Reading::Wake() {
  if (!waiter_) return;
  stream_.connection_.context_.loop.Defer(std::exchange(waiter_, {}));
}

// The response.

bool H2ServerStream::Sending::Begin() {
  if (!pending_) return true;
  stream_.scope_.Link(*this);
  linked_ = true;
  if (stream_.scope_.requested()) RequestCancel();
  return !pending_;
}

void H2ServerStream::Sending::Suspend(std::coroutine_handle<> waiter) {
  waiter_ = waiter;
  stream_.sends_since_ = stream_.connection_.context_.loop.now();
  stream_.connection_.WatchStalls();
}

absl::Status H2ServerStream::Sending::Take() {
  if (linked_) stream_.scope_.Unlink(*this);
  linked_ = false;
  return std::exchange(status_, absl::OkStatus());
}

void H2ServerStream::Sending::End(absl::Status status) {
  if (!pending_) return;
  pending_ = false;
  status_ = std::move(status);
  stream_.piece_ = http::BodyChunk();
  if (waiter_) stream_.connection_.context_.loop.Defer(std::exchange(waiter_, {}));
}

void H2ServerStream::Sending::RequestCancel() {
  const absl::Status& reason = stream_.scope_.reason();
  if (!absl::IsDeadlineExceeded(reason)) return;
  stream_.response_ = Response::kFailed;
  End(reason);
}

absl::Status H2ServerStream::WrongLength() {
  response_ = Response::kFailed;
  aborted_ = true;
  return absl::InvalidArgumentError(
      "the response body does not have the length that its head says");
}

bool H2ServerStream::Account(const http::BodyChunk& chunk) {
  const size_t size = chunk.size();
  if (framing_ != http::BodyKind::kLength) return true;
  if (size > response_remaining_ || (chunk.end && size < response_remaining_)) return false;
  response_remaining_ -= size;
  return true;
}

absl::Status H2ServerStream::SubmitHead(const http::ResponseHead& head, bool last, bool tunnel) {
  ServerContext& context = connection_.context_;
  const absl::StatusOr<http::H2Block> block = http::ResponseBlock(
      head, request_.method, tunnel, context.date.Get(context.loop.unix_now()), *arena_);
  if (!block.ok()) return block.status();
  nghttp2_data_provider provider;
  provider.source.ptr = this;
  provider.read_callback = &H2ServerConnection::ReadData;
  const int result = nghttp2_submit_response(connection_.session_, id_, block->fields, block->count,
                                             last ? nullptr : &provider);
  if (result != 0) return absl::UnavailableError("the response cannot be sent");
  submitted_ = true;
  return absl::OkStatus();
}

event::Task<absl::Status> H2ServerStream::SendHead(const http::ResponseHead& head,
                                                   http::BodyChunk first) {
  if (closed_ || response_ == Response::kFailed) return event::Ended(ClientLeft());
  const bool tunnel = !request_.upgrade.empty() && (head.status == 101 || head.status == 200);
  if (response_ != Response::kNothing || (head.status < 200 && !tunnel)) {
    return event::Ended(absl::Status(
        absl::FailedPreconditionError("a response head was sent before, or it is not final")));
  }
  framing_ = tunnel ? http::BodyKind::kUntilClose
                    : http::ResponseBodyFraming(head, request_.version, request_.method);
  response_remaining_ = framing_ == http::BodyKind::kLength ? head.content_length : 0;
  if (framing_ != http::BodyKind::kNone && !Account(first)) return event::Ended(WrongLength());
  const bool last = framing_ == http::BodyKind::kNone || first.end ||
                    (framing_ == http::BodyKind::kLength && response_remaining_ == 0);
  if (framing_ == http::BodyKind::kNone) first = http::BodyChunk();
  const bool head_only = last && first.size() == 0 && first.trailers == nullptr;
  if (absl::Status status = SubmitHead(head, head_only, tunnel); !status.ok()) {
    return event::Ended(std::move(status));
  }
  if (tunnel) {
    tunnel_ = true;
    body_limit_ = 0;
  }
  response_ = Response::kBody;
  connection_.ResponseBegins();
  if (!head_only) return Offer(std::move(first), last);
  response_ = Response::kComplete;
  connection_.Pump();
  return event::Ended(absl::OkStatus());
}

event::Task<absl::Status> H2ServerStream::SendBody(http::BodyChunk chunk) {
  if (response_ == Response::kFailed) return event::Ended(ClientLeft());
  if (response_ == Response::kNothing) {
    return event::Ended(absl::Status(absl::FailedPreconditionError("no response head was sent")));
  }
  if (response_ == Response::kComplete) {
    if (framing_ == http::BodyKind::kNone || chunk.size() == 0) {
      return event::Ended(absl::OkStatus());
    }
    return event::Ended(absl::Status(absl::FailedPreconditionError("the response is complete")));
  }
  if (!Account(chunk)) return event::Ended(WrongLength());
  const bool last = chunk.end || (framing_ == http::BodyKind::kLength && response_remaining_ == 0);
  if (chunk.size() == 0 && !last) return event::Ended(absl::OkStatus());
  return Offer(std::move(chunk), last);
}

size_t H2ServerStream::PieceLimit() {
  nghttp2_session* const session = connection_.session_;
  const int32_t window = std::min(nghttp2_session_get_stream_remote_window_size(session, id_),
                                  nghttp2_session_get_remote_window_size(session));
  return stake_.Next(static_cast<size_t>(std::max(window, 0)), connection_.share_);
}

event::Task<absl::Status> H2ServerStream::Offer(http::BodyChunk chunk, bool last) {
  stake_.Came(chunk.size(), connection_.share_);
  piece_ = std::move(chunk);
  piece_sent_ = 0;
  piece_last_ = last;
  if (piece_.size() == 0 && !last) {
    connection_.Pump();
    return event::Ended(absl::OkStatus());
  }
  sending_.Start();
  if (!last && !scheduled_) {
    scheduled_ = true;
    connection_.TakeTurns(*this);
  }
  nghttp2_session_resume_data(connection_.session_, id_);
  connection_.Pump();
  return event::Task<absl::Status>(sending_);
}

ssize_t H2ServerStream::OfferData(size_t length, uint32_t* flags) {
  if (!sending_.pending()) return NGHTTP2_ERR_DEFERRED;
  const size_t left = piece_.bytes.size() - piece_sent_;
  const size_t size = std::min(left, length);
  *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (size < left || !piece_last_) return static_cast<ssize_t>(size);
  *flags |= NGHTTP2_DATA_FLAG_EOF;
  if (piece_.trailers != nullptr && piece_.trailers->size() > 0) {
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    if (!SubmitTrailers().ok()) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    // No frame is made of nothing.
    if (size == 0) PieceTaken();
  }
  return static_cast<ssize_t>(size);
}

absl::Status H2ServerStream::SubmitTrailers() {
  const absl::StatusOr<http::H2Block> block = http::TrailerBlock(*piece_.trailers, *arena_);
  if (!block.ok() ||
      nghttp2_submit_trailer(connection_.session_, id_, block->fields, block->count) != 0) {
    response_ = Response::kFailed;
    aborted_ = true;
    sending_.End(absl::InvalidArgumentError("the trailers cannot be sent"));
    return absl::InvalidArgumentError("trailers");
  }
  return absl::OkStatus();
}

void H2ServerStream::DataFramed(std::string_view frame_head, size_t length) {
  connection_.output().AppendData(frame_head, piece_.bytes.substr(piece_sent_, length),
                                  piece_.owner, connection_.context_.loop.downstream_buffers());
  piece_sent_ += length;
  response_bytes_ += length;
  sends_since_ = connection_.context_.loop.now();
  if (piece_sent_ == piece_.bytes.size()) PieceTaken();
}

void H2ServerStream::PieceTaken() {
  if (piece_last_) response_ = Response::kComplete;
  sending_.End(absl::OkStatus());
}

}  // namespace portico::downstream
