#include "dataplane/upstream/h1_client_connection.h"

#include <algorithm>
#include <coroutine>
#include <optional>
#include <utility>

#include "dataplane/base/check.h"
#include "dataplane/event/operation.h"
#include "dataplane/event/task.h"
#include "dataplane/event/timer.h"
#include "dataplane/http/h1_body.h"
#include "dataplane/http/h1_input.h"
#include "dataplane/http/h1_writer.h"
#include "dataplane/net/await.h"

namespace portico::upstream {
namespace {

// Informational responses before the final one.
constexpr int kMaxInformational = 16;

// What is of one exchange; gone when it ends.
struct Exchange {
  Exchange(event::CancelScope& s, base::Arena& a) : scope(s), arena(a) {}
  event::CancelScope& scope;
  base::Arena& arena;
  http::Method method = http::Method::kGet;

  http::BodyKind framing = http::BodyKind::kNone;
  uint64_t request_remaining = 0;  // With kLength.
  bool request_complete = false;
  bool send_failed = false;
  char chunk_head[http::kChunkHeadBytes];

  http::H1ResponseParser parser;
  http::ResponseHead* head = nullptr;
  base::Buffer head_bytes;
  http::BodyDecoder decoder;
  bool response_seen = false;  // At least a byte of it.
  bool response_failed = false;
  bool keep_alive = false;
};

class H1ClientConnection final : public ClientConnection, private http::ClientStream {
 public:
  H1ClientConnection(event::Loop& loop, std::unique_ptr<net::ByteStream> stream, const H1ClientOptions& options,
                     ClientConnectionOwner& owner)
      : loop_(loop), options_(options), owner_(owner), stream_(std::move(stream)) {
    receive_.context = this;
    receive_.on_complete = &OnReceive;
    receive_.pool = &loop.upstream_buffers();
    end_timer_.context = this;
    end_timer_.on_fire = &OnEndTimer;
    StartReceive(base::BufferPool::kSmall);
  }
  ~H1ClientConnection() override { PORTICO_CHECK(ended_ && !exchange_.has_value()); }

  http::ClientStream* OpenStream(event::CancelScope& scope, base::Arena& arena) override {
    if (exchange_.has_value() || !reusable()) return nullptr;
    ++streams_opened_;
    exchange_.emplace(scope, arena);
    return this;
  }
  void EndStream(http::ClientStream* stream) override;
  uint32_t max_streams() const override { return 1; }
  uint32_t open_streams() const override { return exchange_.has_value() ? 1 : 0; }
  bool reusable() const override { return !closing_ && !receive_ended_; }
  uint64_t streams_opened() const override { return streams_opened_; }
  void Close() override;

 private:
  // Waits until something was received, the peer ended, or the scope is requested.
  class Received final : private event::Cancellable {
   public:
    Received(H1ClientConnection& connection, event::CancelScope& scope) : connection_(connection), scope_(scope) {}
    bool await_ready() const { return !connection_.receive_.pending() || scope_.requested(); }
    void await_suspend(std::coroutine_handle<> waiter) {
      scope_.Link(*this);
      linked_ = true;
      connection_.waiter_ = waiter;
    }
    void await_resume() {
      if (linked_) scope_.Unlink(*this);
    }

   private:
    void RequestCancel() override { connection_.stream_->Cancel(connection_.receive_); }
    H1ClientConnection& connection_;
    event::CancelScope& scope_;
    bool linked_ = false;
  };

  event::Task<absl::Status> SendHead(const http::RequestHead& head, http::BodyChunk first) override;
  event::Task<absl::Status> SendBody(http::BodyChunk chunk) override;
  event::Task<absl::StatusOr<http::ResponseHead*>> ReadHead() override;
  event::Task<absl::StatusOr<http::BodyChunk>> ReadBody() override;
  bool BodyBuffered() const override {
    return exchange_->decoder.done() || receive_ended_ || input_.HasPiece(exchange_->decoder);
  }
  bool unprocessed() const override {
    return streams_opened_ > 1 && !exchange_->response_seen && input_.empty() &&
           (receive_ended_ || exchange_->send_failed);
  }

  static void OnReceive(event::Operation& op);
  static void OnEndTimer(event::Timer& timer);
  void StartReceive(size_t size_hint);
  // Receives more, or fails.
  event::Task<absl::Status> Receive(size_t size_hint);
  bool AddBody(net::Send& send, const http::BodyChunk& chunk);
  event::Task<absl::Status> Flush(net::Send& send, bool last);
  absl::Status ResponseFailed(absl::Status status);
  absl::Status Ended(const char* when) const;
  void End();

  // Constant after construction.
  event::Loop& loop_;
  const H1ClientOptions options_;
  ClientConnectionOwner& owner_;
  const std::unique_ptr<net::ByteStream> stream_;

  // Owned by this worker.
  std::optional<Exchange> exchange_;
  uint64_t streams_opened_ = 0;
  http::H1Input input_;
  // Armed while the connection rests and while a response is awaited.
  event::ReceiveOperation receive_;
  std::coroutine_handle<> waiter_;
  // Nothing more comes: end of stream (OK) or an error.
  bool receive_ended_ = false;
  absl::Status receive_status_;
  bool closing_ = false;
  bool ended_ = false;
  event::Timer end_timer_;
};

void H1ClientConnection::StartReceive(size_t size_hint) {
  receive_.size_hint = size_hint;
  stream_->StartReceive(receive_);
}

void H1ClientConnection::OnReceive(event::Operation& op) {
  H1ClientConnection& self = *static_cast<H1ClientConnection*>(op.context);
  const int32_t result = op.result();
  if (result > 0) {
    self.input_.Fill(std::move(self.receive_.buffer));
  } else {
    self.receive_ended_ = true;
    if (result < 0) self.receive_status_ = net::ErrnoStatus(-result, "receive");
  }
  self.receive_.buffer.Reset();
  if (self.waiter_) {
    std::exchange(self.waiter_, {}).resume();
    return;
  }
  if (self.exchange_.has_value()) return;  // It will look.
  if (!self.closing_) {
    // The peer left, or says something that nobody asked for (a 408, say).
    self.closing_ = true;
    self.owner_.OnConnectionUnusable(self);
  }
  self.End();
}

void H1ClientConnection::OnEndTimer(event::Timer& timer) { static_cast<H1ClientConnection*>(timer.context)->End(); }

void H1ClientConnection::End() {
  input_.Clear();
  ended_ = true;
  owner_.OnConnectionEnded(*this);  // May destroy this object.
}

void H1ClientConnection::Close() {
  if (ended_) return;
  const bool again = std::exchange(closing_, true);
  if (exchange_.has_value() || (again && (receive_.pending() || end_timer_.armed()))) return;
  if (receive_.pending()) {
    stream_->Cancel(receive_);
  } else {
    loop_.timers().Arm(end_timer_, loop_.now());
  }
}

void H1ClientConnection::EndStream(http::ClientStream* stream) {
  PORTICO_CHECK(stream == this && exchange_.has_value() && !waiter_);
  const Exchange& e = *exchange_;
  const bool complete = e.request_complete && e.head != nullptr && e.decoder.done() && !e.response_failed;
  const bool reuse = complete && e.keep_alive && input_.empty() && reusable();
  if (!complete) stream_->Abort();
  exchange_.reset();
  if (reuse) {
    if (!receive_.pending()) StartReceive(base::BufferPool::kSmall);
    return;
  }
  closing_ = true;
  if (receive_.pending()) {
    stream_->Cancel(receive_);
  } else {
    loop_.timers().Arm(end_timer_, loop_.now());
  }
}

absl::Status H1ClientConnection::Ended(const char* when) const {
  if (!receive_status_.ok()) return receive_status_;
  return absl::UnavailableError(when);
}

absl::Status H1ClientConnection::ResponseFailed(absl::Status status) {
  exchange_->response_failed = true;
  return status;
}

event::Task<absl::Status> H1ClientConnection::Receive(size_t size_hint) {
  if (exchange_->scope.requested()) co_return exchange_->scope.reason();
  if (receive_ended_) co_return absl::OkStatus();
  event::Deadline idle(loop_, exchange_->scope, "no byte from the upstream within the idle timeout");
  if (options_.idle_timeout > 0) idle.Extend(loop_.now() + options_.idle_timeout);
  if (!receive_.pending()) StartReceive(size_hint);
  Received received(*this, exchange_->scope);
  co_await received;
  // What came before the scope was requested is still there; nobody wants it.
  if (exchange_->scope.requested()) co_return exchange_->scope.reason();
  co_return absl::OkStatus();
}

bool H1ClientConnection::AddBody(net::Send& send, const http::BodyChunk& chunk) {
  Exchange& e = *exchange_;
  const size_t size = chunk.bytes.size();
  switch (e.framing) {
    case http::BodyKind::kNone:
      return size == 0;
    case http::BodyKind::kLength:
      if (size > e.request_remaining || (chunk.end && size < e.request_remaining)) return false;
      e.request_remaining -= size;
      send.Add(chunk.bytes);
      return true;
    case http::BodyKind::kChunked:
    case http::BodyKind::kUntilClose:
      if (size > 0) {
        send.Add(http::WriteChunkHead(size, e.chunk_head));
        send.Add(chunk.bytes);
        send.Add(chunk.end ? http::kChunkEndAndLast : http::kChunkEnd);
      } else if (chunk.end) {
        send.Add(http::kLastChunk);
      }
      return true;
  }
  return false;
}

event::Task<absl::Status> H1ClientConnection::Flush(net::Send& send, bool last) {
  event::Deadline idle(loop_, exchange_->scope, "the upstream took no byte within the idle timeout");
  if (options_.idle_timeout > 0) idle.Extend(loop_.now() + options_.idle_timeout);
  const absl::Status status = co_await send;
  if (!status.ok()) {
    exchange_->send_failed = true;
  } else if (last) {
    exchange_->request_complete = true;
  }
  co_return status;
}

event::Task<absl::Status> H1ClientConnection::SendHead(const http::RequestHead& head, http::BodyChunk first) {
  Exchange& e = *exchange_;
  e.method = head.method;
  e.framing = head.body;
  e.request_remaining = head.body == http::BodyKind::kLength ? head.content_length : 0;
  absl::StatusOr<base::Buffer> bytes = http::WriteRequestHead(head, loop_.upstream_buffers());
  if (!bytes.ok()) co_return bytes.status();
  net::Send send(*stream_, e.scope);
  send.Add(bytes->view());
  if (!AddBody(send, first)) {
    co_return absl::InvalidArgumentError("the request body does not have the length that its head says");
  }
  const bool counted = e.framing == http::BodyKind::kNone || e.framing == http::BodyKind::kLength;
  co_return co_await Flush(send, counted ? e.request_remaining == 0 : first.end);
}

event::Task<absl::Status> H1ClientConnection::SendBody(http::BodyChunk chunk) {
  Exchange& e = *exchange_;
  if (e.send_failed) co_return absl::UnavailableError("the request could not be sent");
  if (e.request_complete) {
    if (chunk.bytes.empty()) co_return absl::OkStatus();
    co_return absl::InvalidArgumentError("the request body is longer than its head says");
  }
  net::Send send(*stream_, e.scope);
  if (!AddBody(send, chunk)) {
    co_return absl::InvalidArgumentError("the request body does not have the length that its head says");
  }
  if (send.bytes() == 0) co_return absl::OkStatus();
  co_return co_await Flush(send, e.framing == http::BodyKind::kLength ? e.request_remaining == 0 : chunk.end);
}

event::Task<absl::StatusOr<http::ResponseHead*>> H1ClientConnection::ReadHead() {
  Exchange& e = *exchange_;
  http::ResponseHead* head = e.arena.New<http::ResponseHead>(e.arena);
  int informational = 0;
  while (true) {
    e.response_seen = e.response_seen || !input_.empty();
    const http::H1ParseResult result = e.parser.ParseHead(input_.unread(), options_.head, e.method, *head);
    if (result.state == http::H1ParseResult::State::kError) {
      const absl::string_view reason(result.reason.data(), result.reason.size());
      if (result.reason == "headers_too_large" || result.reason == "too_many_headers") {
        co_return ResponseFailed(absl::ResourceExhaustedError(reason));
      }
      co_return ResponseFailed(absl::InvalidArgumentError(reason));
    }
    if (result.state == http::H1ParseResult::State::kDone && head->status < 200) {
      if (++informational > kMaxInformational) {
        co_return ResponseFailed(absl::InvalidArgumentError("too_many_informational"));
      }
      input_.Consume(result.consumed);
      e.parser.Reset();
      *head = http::ResponseHead(e.arena);
      continue;
    }
    if (result.state == http::H1ParseResult::State::kDone) {
      e.head_bytes = input_.Share();
      input_.Consume(result.consumed);
      http::RemoveHopByHopFields(head->headers);
      e.decoder = http::BodyDecoder(head->body, head->content_length);
      e.keep_alive = e.parser.keep_alive();
      e.head = head;
      co_return head;
    }
    if (receive_ended_) co_return ResponseFailed(Ended("the upstream closed the connection before its response"));
    if (!receive_.pending()) receive_.buffer = input_.TakeForMore(loop_.upstream_buffers(), options_.head.max_header_bytes);
    const absl::Status status = co_await Receive(base::BufferPool::kSmall);
    if (!status.ok()) co_return ResponseFailed(status);
  }
}

event::Task<absl::StatusOr<http::BodyChunk>> H1ClientConnection::ReadBody() {
  Exchange& e = *exchange_;
  if (e.head == nullptr || e.response_failed) co_return absl::FailedPreconditionError("there is no response to read");
  while (true) {
    if (e.scope.requested()) co_return ResponseFailed(e.scope.reason());
    http::H1Input::Piece piece = input_.NextPiece(e.decoder, loop_.upstream_buffers());
    if (!piece.error.empty()) {
      co_return ResponseFailed(absl::InvalidArgumentError(absl::string_view(piece.error.data(), piece.error.size())));
    }
    if (!piece.need_more) co_return std::move(piece.chunk);
    if (receive_ended_) {
      if (receive_status_.ok() && e.decoder.Finish()) {
        piece.chunk.end = true;
        co_return std::move(piece.chunk);
      }
      co_return ResponseFailed(Ended("the upstream closed the connection before the end of its response"));
    }
    const bool large =
        e.decoder.kind() != http::BodyKind::kLength || e.decoder.remaining() > base::BufferPool::kSmall;
    const absl::Status status = co_await Receive(large ? base::BufferPool::kLarge : base::BufferPool::kSmall);
    if (!status.ok()) co_return ResponseFailed(status);
  }
}

}  // namespace

std::unique_ptr<ClientConnection> MakeH1ClientConnection(event::Loop& loop, std::unique_ptr<net::ByteStream> stream,
                                                         const H1ClientOptions& options, ClientConnectionOwner& owner) {
  return std::make_unique<H1ClientConnection>(loop, std::move(stream), options, owner);
}

}  // namespace portico::upstream
