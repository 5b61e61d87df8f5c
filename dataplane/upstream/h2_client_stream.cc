#include "dataplane/upstream/h2_client_stream.h"

#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "dataplane/base/check.h"
#include "dataplane/upstream/h2_client_connection_impl.h"

namespace portico::upstream {
namespace {

// Informational responses before the final one.
constexpr int kMaxInformational = 16;

// Smaller pieces are copied together rather than that each holds the buffer that it came in:
// what waits is never more than four times the window.
constexpr size_t kSmallPiece = 4096;

constexpr char kNothingTaken[] = "the upstream took no byte within the idle timeout";
constexpr char kNothingReceived[] = "no byte from the upstream within the idle timeout";

absl::Status WrongLength() {
  return absl::InvalidArgumentError("the request body does not have the length that its head says");
}

}  // namespace

void H2Pieces::Append(H2Piece piece) {
  // owned: by the list, until Pop().
  auto* added = new H2Piece(std::move(piece));
  (last_ == nullptr ? first_ : last_->next) = added;
  last_ = added;
}

void H2Pieces::Push(const base::Buffer& input, std::string_view bytes, base::BufferPool& pool) {
  if (empty() || bytes.size() >= kSmallPiece) {
    Append({.owner = input.Share(), .bytes = bytes});
    return;
  }
  while (!bytes.empty()) {
    if (!last_->appendable || last_->owner.size() == last_->owner.capacity()) {
      base::Buffer copy = pool.Allocate();
      const std::string_view nothing = copy.view();
      Append({.owner = std::move(copy), .bytes = nothing, .appendable = true});
    }
    base::Buffer& owner = last_->owner;
    const size_t size = std::min(bytes.size(), owner.capacity() - owner.size());
    std::memcpy(owner.data() + owner.size(), bytes.data(), size);
    owner.set_size(owner.size() + size);
    last_->bytes = owner.view();
    bytes.remove_prefix(size);
  }
}

H2Piece H2Pieces::Pop() {
  const std::unique_ptr<H2Piece> popped(std::exchange(first_, first_->next));
  if (first_ == nullptr) last_ = nullptr;
  return std::move(*popped);
}

H2ClientStream::H2ClientStream(H2ClientConnection& connection, event::CancelScope& scope,
                               base::Arena& arena)
    : connection_(connection),
      scope_(scope),
      arena_(arena),
      sending_(*this),
      reading_head_(*this),
      reading_body_(*this),
      sending_wait_(connection.loop(), scope),
      receiving_wait_(connection.loop(), scope),
      send_idle_(connection.loop()),
      receive_idle_(connection.loop()) {}

H2ClientStream::~H2ClientStream() { PORTICO_CHECK(!waiting()); }

// The request.

absl::Status H2ClientStream::AddBody(http::BodyChunk chunk) {
  const size_t size = chunk.size();
  if (chunk.pipe != nullptr) return absl::InvalidArgumentError("HTTP/2 takes no pipes");
  if (body_ended_) {
    if (size == 0) return absl::OkStatus();
    return absl::InvalidArgumentError("the request body is longer than its head says");
  }
  if (tunnel_ || framing_ == http::BodyKind::kChunked || framing_ == http::BodyKind::kUntilClose) {
    // Nothing counts it.
  } else if (framing_ == http::BodyKind::kLength) {
    if (size > remaining_ || (chunk.end && size < remaining_)) return WrongLength();
    remaining_ -= size;
  } else if (size != 0) {
    return WrongLength();
  }
  if (chunk.end) {
    body_ended_ = true;
    if (chunk.trailers != nullptr) {
      absl::StatusOr<http::H2Block> block = http::TrailerBlock(*chunk.trailers, arena_);
      if (!block.ok()) return block.status();
      trailers_out_ = *block;
    }
  }
  if (size > 0 && !chunk.owner) {
    // The transport may need it longer than the exchange lives.
    base::Buffer copy = connection_.loop().upstream_buffers().Allocate(size);
    std::memcpy(copy.data(), chunk.bytes.data(), size);
    copy.set_size(size);
    chunk.bytes = copy.view();
    chunk.owner = std::move(copy);
  }
  out_ = std::move(chunk);
  out_offset_ = 0;
  return absl::OkStatus();
}

absl::Status H2ClientStream::Submit(const http::RequestHead& head) {
  if (!status_.ok()) return status_;
  absl::StatusOr<http::H2Block> block =
      http::RequestBlock(head, connection_.options().secure, arena_);
  if (!block.ok()) return block.status();
  const nghttp2_data_provider body = {
      .source = {.ptr = nullptr},
      .read_callback = [](nghttp2_session* session, int32_t id, uint8_t*, size_t max,
                          uint32_t* flags, nghttp2_data_source*, void*) -> ssize_t {
        auto* stream =
            static_cast<H2ClientStream*>(nghttp2_session_get_stream_user_data(session, id));
        if (stream == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        return stream->DataToSend(max, flags);
      }};
  const bool head_only = body_ended_ && !unsent() && trailers_out_.count == 0;
  const int32_t id = nghttp2_submit_request(connection_.session(), nullptr, block->fields,
                                            block->count, head_only ? nullptr : &body, this);
  if (id < 0) return absl::UnavailableError(nghttp2_strerror(id));
  id_ = id;
  connection_.ScheduleFlush();
  return absl::OkStatus();
}

event::Task<absl::Status> H2ClientStream::SendHead(const http::RequestHead& head,
                                                   http::BodyChunk first) {
  method_ = head.method;
  framing_ = head.body;
  remaining_ = head.body == http::BodyKind::kLength ? head.content_length : 0;
  if (!head.upgrade.empty()) return SendTunnelHead(head);
  if (framing_ == http::BodyKind::kNone) first.end = true;
  absl::Status status = AddBody(std::move(first));
  if (status.ok()) status = Submit(head);
  SetStatus(status);
  if (!status.ok() || !unsent()) return event::Ended(std::move(status));
  return event::Task<absl::Status>(sending_);
}

event::Task<absl::Status> H2ClientStream::SendTunnelHead(const http::RequestHead& head) {
  // RFC 8441 section 3: not before the peer has said that it takes it.
  while (!connection_.settings_received() && status_.ok()) {
    const absl::Status waited = co_await connection_.settings_changed().Wait(scope_);
    if (!waited.ok()) co_return waited;
  }
  if (status_.ok() && !connection_.takes_tunnels()) {
    SetStatus(absl::FailedPreconditionError(
        "the upstream speaks HTTP/2 and takes no tunnels over it (RFC 8441)"));
  }
  if (!status_.ok()) co_return status_;
  asked_for_tunnel_ = tunnel_ = true;
  if (const http::HeaderField* key = head.headers.Find("sec-websocket-key"); key != nullptr) {
    web_socket_key_ = key->value;
  }
  absl::Status status = Submit(head);
  SetStatus(status);
  co_return status;
}

event::Task<absl::Status> H2ClientStream::SendBody(http::BodyChunk chunk) {
  if (!status_.ok()) return event::Ended(absl::Status(status_));
  if (id_ == 0) {
    return event::Ended(absl::UnavailableError("the upstream answered and takes no more"));
  }
  if (unsent()) {
    return event::Ended(absl::FailedPreconditionError("the piece before is not sent"));
  }
  const bool again = body_ended_;
  absl::Status status = AddBody(std::move(chunk));
  if (!status.ok() || again) return event::Ended(std::move(status));
  if (std::exchange(deferred_, false)) {
    nghttp2_session_resume_data(connection_.session(), id_);
    connection_.ScheduleFlush();
  }
  if (!unsent()) return event::Ended(absl::OkStatus());
  return event::Task<absl::Status>(sending_);
}

bool H2ClientStream::BeginSend() {
  if (!unsent() || !status_.ok() || id_ == 0 || scope_.requested()) return true;
  if (const int64_t idle = connection_.options().idle_timeout; idle > 0) {
    send_idle_.Set(scope_, connection_.loop().now() + idle, kNothingTaken);
  }
  return false;
}

absl::Status H2ClientStream::EndSend() {
  sending_wait_.End();
  send_idle_.Clear();
  if (!unsent()) return absl::OkStatus();
  if (scope_.requested()) return scope_.reason();
  if (!status_.ok()) return status_;
  return absl::UnavailableError("the upstream answered and takes no more");
}

ssize_t H2ClientStream::DataToSend(size_t max, uint32_t* flags) {
  const size_t left = out_.bytes.size() - out_offset_;
  const size_t size = std::min(left, max);
  *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (size == left && body_ended_) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (trailers_out_.count > 0) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      nghttp2_submit_trailer(connection_.session(), id_, trailers_out_.fields, trailers_out_.count);
    }
  } else if (size == 0) {
    deferred_ = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  return static_cast<ssize_t>(size);
}

void H2ClientStream::TakeUnsent(size_t size) {
  PORTICO_CHECK(size <= out_.bytes.size() - out_offset_);
  out_offset_ += size;
  if (!unsent()) {
    out_.owner.Reset();
    sending_wait_.Wake();
  } else if (const int64_t idle = connection_.options().idle_timeout;
             idle > 0 && sending_wait_.linked()) {
    send_idle_.Set(scope_, connection_.loop().now() + idle, kNothingTaken);
  }
}

// The response.

void H2ClientStream::BeginBlock() {
  if (head_ == nullptr) {
    partial_head_ = arena_.New<http::ResponseHead>(arena_);
    fields_.Begin(http::H2FieldCollector::Block::kResponse, connection_.options().head,
                  partial_head_->headers);
  } else {
    trailers_ = arena_.New<http::HeaderList>(arena_);
    fields_.Begin(http::H2FieldCollector::Block::kTrailers, connection_.options().head, *trailers_);
  }
}

bool H2ClientStream::AddField(std::string_view name, std::string_view value) {
  fields_.Add(name, value);
  return !fields_.bomb();
}

void H2ClientStream::EndBlock(bool end_stream) {
  const bool trailers = head_ != nullptr;
  const http::H2HeadResult result =
      trailers ? http::FinishTrailers(fields_, end_stream)
               : http::FinishResponse(fields_, end_stream, method_, *partial_head_);
  const absl::string_view reason(result.reason.data(), result.reason.size());
  if (result.kind == http::H2HeadResult::Kind::kRefused) {
    return Reject(absl::ResourceExhaustedError(reason), NGHTTP2_CANCEL);
  }
  if (result.kind == http::H2HeadResult::Kind::kMalformed) {
    return Reject(absl::InvalidArgumentError(reason), NGHTTP2_PROTOCOL_ERROR);
  }
  if (!trailers) {
    if (partial_head_->status < 200) {
      if (++informational_ > kMaxInformational) {
        Reject(absl::InvalidArgumentError("too_many_informational"), NGHTTP2_PROTOCOL_ERROR);
      }
      return;
    }
    if (asked_for_tunnel_) SetTunnel(*partial_head_);
    http::RemoveHopByHopFields(partial_head_->headers);
    head_ = partial_head_;
  }
  if (end_stream) remote_end_ = true;
  receiving_wait_.Wake();
}

void H2ClientStream::SetTunnel(http::ResponseHead& head) {
  tunnel_ = head.status < 300;
  if (!tunnel_) return;
  // As HTTP/1.1 says it.
  head.status = 101;
  head.body = http::BodyKind::kUntilClose;
  head.headers.Remove(http::HeaderId::kContentLength);
}

void H2ClientStream::OnData(const base::Buffer& input, std::string_view bytes) {
  if (status_.ok()) pieces_.Push(input, bytes, connection_.loop().upstream_buffers());
  receiving_wait_.Wake();
}

void H2ClientStream::OnRemoteEnd() {
  remote_end_ = true;
  receiving_wait_.Wake();
}

bool H2ClientStream::BeginReceive(bool there) {
  if (there || !status_.ok() || scope_.requested()) return true;
  if (const int64_t idle = connection_.options().idle_timeout; idle > 0) {
    receive_idle_.Set(scope_, connection_.loop().now() + idle, kNothingReceived);
  }
  return false;
}

absl::StatusOr<http::ResponseHead*> H2ClientStream::EndReadHead() {
  receiving_wait_.End();
  receive_idle_.Clear();
  // What came before the scope was requested is still there; nobody wants it.
  if (scope_.requested()) return scope_.reason();
  if (head_ != nullptr) return head_;
  if (!status_.ok()) return status_;
  return absl::InternalError("woken without a response");
}

event::Task<absl::StatusOr<http::ResponseHead*>> H2ClientStream::ReadHead() {
  return event::Task<absl::StatusOr<http::ResponseHead*>>(reading_head_);
}

event::Task<absl::StatusOr<http::BodyChunk>> H2ClientStream::ReadBody() {
  return event::Task<absl::StatusOr<http::BodyChunk>>(reading_body_);
}

absl::StatusOr<http::BodyChunk> H2ClientStream::EndReadBody() {
  receiving_wait_.End();
  receive_idle_.Clear();
  if (scope_.requested()) return scope_.reason();
  if (head_ == nullptr) return absl::FailedPreconditionError("there is no response to read");
  http::BodyChunk chunk;
  if (!pieces_.empty()) {
    H2Piece piece = pieces_.Pop();
    chunk.bytes = piece.bytes;
    chunk.owner = std::move(piece.owner);
    if (id_ != 0 && !remote_end_) {
      nghttp2_session_consume_stream(connection_.session(), id_,
                                     window_.debt().Pay(chunk.bytes.size()));
      connection_.TuneWindow(window_, id_, chunk.bytes.size());
      connection_.ScheduleFlush();
    }
  } else if (!remote_end_) {
    if (!status_.ok()) return status_;
    return absl::InternalError("woken without a piece of the response");
  }
  chunk.end = remote_end_ && pieces_.empty();
  if (chunk.end) chunk.trailers = trailers_;
  return chunk;
}

// The end.

void H2ClientStream::SetStatus(absl::Status status) {
  if (status_.ok()) status_ = std::move(status);
}

void H2ClientStream::Reject(absl::Status status, uint32_t error_code) {
  SetStatus(std::move(status));
  if (id_ != 0) {
    nghttp2_submit_rst_stream(connection_.session(), NGHTTP2_FLAG_NONE, id_, error_code);
    connection_.ScheduleFlush();
  }
  Wake();
}

void H2ClientStream::OnInvalid(const char* what) {
  SetStatus(absl::InvalidArgumentError(what));
  Wake();
}

void H2ClientStream::OnClosed(uint32_t error_code) {
  id_ = 0;
  const bool answered = head_ != nullptr && remote_end_;
  if (status_.ok() && !answered) {
    if (!head_sent_ || error_code == NGHTTP2_REFUSED_STREAM) {
      refused_ = head_ == nullptr;
      status_ =
          absl::UnavailableError(head_sent_ ? "the upstream refused the request (REFUSED_STREAM)"
                                            : "the connection to the upstream took no more");
    } else if (reset_received_) {
      status_ = absl::UnavailableError(
          absl::StrCat("the upstream reset the stream (", H2ErrorName(error_code), ")"));
    } else {
      status_ = absl::InvalidArgumentError(
          absl::StrCat("what the upstream sent breaks RFC 9113 (", H2ErrorName(error_code), ")"));
    }
  }
  Wake();
}

void H2ClientStream::Fail(const absl::Status& status, bool lost) {
  if (head_ != nullptr && remote_end_) {
    Wake();  // Of the request nothing more can be sent.
    return;
  }
  if (status_.ok()) {
    refused_ = !head_sent_;
    // As with HTTP/1.1: a peer that was not there from the beginning says something else.
    lost_ = lost && id_ > 1 && head_ == nullptr && partial_head_ == nullptr;
    status_ = status;
  }
  Wake();
}

}  // namespace portico::upstream
