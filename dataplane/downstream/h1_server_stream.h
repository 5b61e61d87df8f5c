// One exchange of an H1ServerConnection.
#ifndef DATAPLANE_DOWNSTREAM_H1_SERVER_STREAM_H_
#define DATAPLANE_DOWNSTREAM_H1_SERVER_STREAM_H_

#include <cstdint>
#include <string_view>

#include "dataplane/base/arena.h"
#include "dataplane/base/buffer.h"
#include "dataplane/event/await.h"
#include "dataplane/event/cancel.h"
#include "dataplane/event/task.h"
#include "dataplane/http/h1_body.h"
#include "dataplane/http/h1_parser.h"
#include "dataplane/http/h1_writer.h"
#include "dataplane/http/stream.h"
#include "dataplane/net/await.h"
#include "dataplane/net/receive_size.h"

namespace portico::downstream {

class H1ServerConnection;

class H1ServerStream final : public http::ServerStream {
 public:
  H1ServerStream(H1ServerConnection& connection, base::Arena& arena);

  http::RequestHead& request() override { return request_; }
  base::Arena& arena() override { return arena_; }
  void LimitBody(uint64_t max_bytes) override { body_limit_ = max_bytes; }
  event::Task<absl::StatusOr<http::BodyChunk>> ReadBody() override;
  bool BodyBuffered() const override;
  bool TakesPipes() const override;
  void UsePipes() override;
  event::Task<absl::Status> SendHead(const http::ResponseHead& head, http::BodyChunk first) override;
  event::Task<absl::Status> SendBody(http::BodyChunk chunk) override;
  void Abort() override { aborted_ = true; }
  event::CancelScope& scope() override { return scope_; }
  uint64_t request_body_bytes() const override { return request_bytes_; }
  uint64_t response_body_bytes() const override { return response_bytes_; }

 private:
  friend class H1ServerConnection;

  enum class Response : uint8_t { kNothing, kBody, kComplete, kFailed };
  // The last byte of the response is sent.
  void Complete();

  // What was given to send_ on its way to the client, one at a time. The exchange's
  // deadline ends it; other reasons to end the exchange do not cut it off.
  class Sending final : public event::TaskSource<absl::Status>, private event::Cancellable {
   public:
    explicit Sending(H1ServerStream& stream) : stream_(stream) {}
    bool Begin() override;
    void Suspend(std::coroutine_handle<> waiter) override { stream_.send_.await_suspend(waiter); }
    absl::Status Take() override;

   private:
    void RequestCancel() override;
    H1ServerStream& stream_;
  };

  // The head is parsed and its bytes are consumed; `head_bytes` holds them.
  void Begin(base::Buffer head_bytes, bool keep_alive);
  // "100 Continue" before the first wait for the body.
  event::Task<absl::Status> SendContinue();
  // SendHead() while "100 Continue" is on its way.
  event::Task<absl::Status> SendHeadLater(const http::ResponseHead& head, http::BodyChunk first);
  // Gives head and body to send_.
  absl::Status AddHead(const http::ResponseHead& head, const http::BodyChunk& first);
  // Adds a piece and its framing; false if it breaks the declared length.
  bool AddBody(const http::BodyChunk& chunk);
  // The last piece, and the trailers behind it.
  void AddLastChunk(const http::BodyChunk& chunk);
  absl::Status WrongLength();
  // A 101 is about to be sent.
  void BeginTunnel();
  // Sends what was added; `last`: the response is then complete.
  event::Task<absl::Status> Flush(http::BodyChunk body, bool last);
  // The request body cannot be read to its end any more.
  absl::Status BodyFailed(absl::Status status);
  // The scope was requested.
  absl::Status ScopeReason();
  bool body_done() const { return decoder_.done() && !body_failed_; }
  // What the response may promise.
  bool KeepAlive() const;

  H1ServerConnection& connection_;
  base::Arena& arena_;
  http::RequestHead request_;
  http::H1RequestParser parser_;
  base::Buffer head_bytes_;
  event::CancelScope scope_;

  http::BodyDecoder decoder_;
  uint64_t body_limit_ = 0;  // 0: none.
  uint64_t request_bytes_ = 0;
  net::ReceiveSize body_size_;
  bool pipes_ = false;  // Pieces of the request body may lie in pipes.
  bool keep_alive_ = false;
  // After a 101: what is read and sent are the tunnel's bytes.
  bool tunnel_ = false;
  bool continue_wanted_ = false;
  bool body_failed_ = false;

  Response response_ = Response::kNothing;
  bool aborted_ = false;
  net::Send send_;
  Sending sending_;
  // What send_ sends from.
  base::Buffer sent_head_;
  http::BodyChunk sent_body_;
  bool sends_last_ = false;
  // A send is pending that is not the response: "100 Continue".
  bool sending_continue_ = false;
  event::Event continue_sent_;
  http::BodyKind framing_ = http::BodyKind::kNone;
  uint64_t response_remaining_ = 0;  // With kLength.
  uint64_t response_bytes_ = 0;
  char chunk_head_[http::kChunkHeadBytes];
};

}  // namespace portico::downstream

#endif  // DATAPLANE_DOWNSTREAM_H1_SERVER_STREAM_H_
