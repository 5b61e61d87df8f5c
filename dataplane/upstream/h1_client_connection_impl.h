// HTTP/1.1 to an upstream endpoint: one exchange after another on one byte stream.
// Its exchange's side (ClientStream) is in h1_client_stream.cc.
#ifndef DATAPLANE_UPSTREAM_H1_CLIENT_CONNECTION_IMPL_H_
#define DATAPLANE_UPSTREAM_H1_CLIENT_CONNECTION_IMPL_H_

#include <coroutine>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "dataplane/base/check.h"
#include "dataplane/event/cancel.h"
#include "dataplane/event/operation.h"
#include "dataplane/event/task.h"
#include "dataplane/event/timer.h"
#include "dataplane/http/h1_body.h"
#include "dataplane/http/h1_input.h"
#include "dataplane/http/h1_parser.h"
#include "dataplane/http/h1_writer.h"
#include "dataplane/net/await.h"
#include "dataplane/net/receive_size.h"
#include "dataplane/upstream/h1_client_connection.h"

namespace portico::upstream {

// What is of one exchange; gone when it ends.
struct H1ClientExchange {
  H1ClientExchange(net::ByteStream& stream, event::CancelScope& s, base::Arena& a)
      : scope(s), arena(a), send(stream, s) {}
  event::CancelScope& scope;
  base::Arena& arena;
  http::Method method = http::Method::kGet;

  // What is being sent, and from where.
  net::Send send;
  base::Buffer sent_head;
  http::BodyChunk sent_body;
  bool sends_last = false;

  http::BodyKind framing = http::BodyKind::kNone;
  uint64_t request_remaining = 0;  // With kLength.
  bool request_complete = false;
  // After a 101: what is sent and received are the tunnel's bytes.
  bool tunnel = false;
  bool send_failed = false;
  char chunk_head[http::kChunkHeadBytes];

  http::H1ResponseParser parser;
  http::ResponseHead* head = nullptr;  // Once it is complete.
  http::ResponseHead* partial_head = nullptr;
  absl::Status head_status;
  int informational = 0;
  absl::StatusOr<http::BodyChunk> piece;
  base::Buffer head_bytes;
  http::BodyDecoder decoder;
  // Where trailers are kept for a client that takes them.
  http::TrailerSection* trailers = nullptr;
  net::ReceiveSize body_size;
  uint64_t piece_limit = 0;  // 0: none.
  uint64_t received = 0;  // Bytes of the response, head and body.
  // What a receive moves bytes into, if UsePipes() was called.
  event::PipeLease pipe;
  bool pipes = false;
  bool response_seen = false;  // At least a byte of it.
  bool response_failed = false;
  bool keep_alive = false;
};

class H1ClientConnection final : public ClientConnection, private http::ClientStream {
 public:
  H1ClientConnection(event::Loop& loop, std::unique_ptr<net::ByteStream> stream,
                     const H1ClientOptions& options, ClientConnectionOwner& owner)
      : loop_(loop),
        options_(options),
        owner_(owner),
        stream_(std::move(stream)),
        sending_(*this),
        reading_head_(*this),
        reading_piece_(*this),
        send_idle_(loop),
        receive_idle_(loop) {
    receive_.context = this;
    receive_.on_complete = &OnReceive;
    receive_.pool = &loop.upstream_buffers();
    end_timer_.context = this;
    end_timer_.on_fire = &OnEndTimer;
    StartReceive(message_size_.hint());
  }
  ~H1ClientConnection() override { PORTICO_CHECK(ended_ && !exchange_.has_value()); }

  http::ClientStream* OpenStream(event::CancelScope& scope, base::Arena& arena) override {
    if (exchange_.has_value() || !reusable()) return nullptr;
    ++streams_opened_;
    exchange_.emplace(*stream_, scope, arena);
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
    Received(H1ClientConnection& connection, event::CancelScope& scope)
        : connection_(connection), scope_(scope) {}
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

  // What was given to the exchange's send, on its way.
  class Sending final : public event::TaskSource<absl::Status> {
   public:
    explicit Sending(H1ClientConnection& connection) : connection_(connection) {}
    bool Begin() override {
      const int64_t idle = connection_.options_.idle_timeout;
      if (idle > 0) {
        connection_.send_idle_.SetIdle(connection_.exchange_->scope, idle,
                                       "the upstream took no byte within the idle timeout",
                                       *connection_.stream_);
      }
      return connection_.exchange_->send.await_ready();
    }
    void Suspend(std::coroutine_handle<> waiter) override {
      connection_.exchange_->send.await_suspend(waiter);
    }
    absl::Status Take() override { return connection_.EndSend(); }

   private:
    H1ClientConnection& connection_;
  };

  // A response head on its way: OnReceive() parses it and resumes when it is complete.
  class ReadingHead final : public event::TaskSource<absl::StatusOr<http::ResponseHead*>>,
                            private event::Cancellable {
   public:
    explicit ReadingHead(H1ClientConnection& connection) : connection_(connection) {}
    bool waiting() const { return waiting_; }
    bool Begin() override { return connection_.AdvanceHead(/*woken=*/false); }
    void Suspend(std::coroutine_handle<> waiter) override {
      waiting_ = true;
      connection_.exchange_->scope.Link(*this);
      connection_.waiter_ = waiter;
    }
    absl::StatusOr<http::ResponseHead*> Take() override {
      const H1ClientExchange& e = *connection_.exchange_;
      if (std::exchange(waiting_, false)) connection_.exchange_->scope.Unlink(*this);
      connection_.receive_idle_.Clear();
      if (e.head == nullptr) return e.head_status;
      return e.head;
    }

   private:
    void RequestCancel() override { connection_.stream_->Cancel(connection_.receive_); }
    H1ClientConnection& connection_;
    bool waiting_ = false;
  };

  // A piece of the body that is there.
  class ReadingPiece final : public event::TaskSource<absl::StatusOr<http::BodyChunk>> {
   public:
    explicit ReadingPiece(H1ClientConnection& connection) : connection_(connection) {}
    bool Begin() override { return true; }
    void Suspend(std::coroutine_handle<>) override {}
    absl::StatusOr<http::BodyChunk> Take() override {
      return std::move(connection_.exchange_->piece);
    }

   private:
    H1ClientConnection& connection_;
  };

  event::Task<absl::Status> SendHead(const http::RequestHead& head, http::BodyChunk first) override;
  event::Task<absl::Status> SendBody(http::BodyChunk chunk) override;
  event::Task<absl::StatusOr<http::ResponseHead*>> ReadHead() override;
  event::Task<absl::StatusOr<http::BodyChunk>> ReadBody() override;
  bool BodyBuffered() const override {
    return exchange_->decoder.done() || receive_ended_ || input_.HasPiece(exchange_->decoder);
  }
  void LimitPiece(size_t bytes) override { exchange_->piece_limit = bytes; }
  bool TakesPipes() const override {
    return exchange_->framing == http::BodyKind::kLength && stream_->pipes() != nullptr;
  }
  void UsePipes() override {
    const http::BodyKind kind = exchange_->decoder.kind();
    exchange_->pipes = stream_->pipes() != nullptr &&
                       (kind == http::BodyKind::kLength || kind == http::BodyKind::kUntilClose);
  }
  bool unprocessed() const override {
    return streams_opened_ > 1 && !exchange_->response_seen && input_.empty() &&
           (receive_ended_ || exchange_->send_failed);
  }

  static void OnReceive(event::Operation& op);
  static void OnEndTimer(event::Timer& timer);
  void StartReceive(size_t size_hint);
  // Receives more of the body, or fails.
  event::Task<absl::Status> ReceiveBody();
  void StartBodyReceive();
  // The next piece or why there is none; false if more must be received.
  bool TryPiece(absl::StatusOr<http::BodyChunk>& out);
  // Receives until there is a piece.
  event::Task<absl::StatusOr<http::BodyChunk>> ReadBodyLater();
  // The exchange ends with `deadline` unless something happens before.
  void LimitIdle(event::MovingDeadline& deadline, const char* what) {
    if (options_.idle_timeout > 0)
      deadline.Set(exchange_->scope, loop_.now() + options_.idle_timeout, what);
  }
  bool AddBody(const http::BodyChunk& chunk);
  event::Task<absl::Status> Flush(http::BodyChunk body, bool last);
  absl::Status EndSend();
  // Parses what there is of the response head. True when it is complete or failed;
  // otherwise a receive is pending. `woken`: by a receive.
  bool AdvanceHead(bool woken);
  bool HeadFailed(absl::Status status);
  void HeadComplete(size_t bytes);
  absl::Status ResponseFailed(absl::Status status);
  absl::Status Ended(const char* when) const;
  void End();
  // Nothing came after the response, which would be taken for the next one. More may wait
  // in the kernel, if the body was asked for to the byte.
  bool Quiet() const {
    return input_.empty() &&
           (!received_all_it_could_ || receive_.pending() || !stream_->HasUnread());
  }

  // Constant after construction.
  event::Loop& loop_;
  const H1ClientOptions options_;
  ClientConnectionOwner& owner_;
  const std::unique_ptr<net::ByteStream> stream_;

  // Owned by this worker.
  std::optional<H1ClientExchange> exchange_;
  uint64_t streams_opened_ = 0;
  http::H1Input input_;
  // Armed while the connection rests and while a response is awaited.
  event::ReceiveOperation receive_;
  net::MessageSize message_size_;
  std::coroutine_handle<> waiter_;
  // Nothing more comes: end of stream (OK) or an error.
  bool receive_ended_ = false;
  // The last receive took all that it had room for: more may wait in the kernel.
  bool received_all_it_could_ = false;
  absl::Status receive_status_;
  bool closing_ = false;
  bool ended_ = false;
  event::Timer end_timer_;
  Sending sending_;
  ReadingHead reading_head_;
  ReadingPiece reading_piece_;
  // One for each direction: an upload goes on beside the download.
  event::MovingDeadline send_idle_;
  event::MovingDeadline receive_idle_;
};

}  // namespace portico::upstream

#endif  // DATAPLANE_UPSTREAM_H1_CLIENT_CONNECTION_IMPL_H_
