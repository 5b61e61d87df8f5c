// One exchange on an HTTP/2 connection to an upstream. Private to the connection.
#ifndef DATAPLANE_UPSTREAM_H2_CLIENT_STREAM_H_
#define DATAPLANE_UPSTREAM_H2_CLIENT_STREAM_H_

#include <nghttp2/nghttp2.h>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataplane/base/arena.h"
#include "dataplane/base/buffer.h"
#include "dataplane/event/cancel.h"
#include "dataplane/event/frame_pool.h"
#include "dataplane/event/task.h"
#include "dataplane/http/h2_fields.h"
#include "dataplane/http/h2_memory.h"
#include "dataplane/http/h2_window.h"
#include "dataplane/http/h2_writer.h"
#include "dataplane/http/stream.h"

namespace portico::upstream {

class H2ClientConnection;

// A task that waits for its stream to get on.
class H2Wait final : private event::Cancellable {
 public:
  H2Wait(event::Loop& loop, event::CancelScope& scope) : loop_(loop), scope_(scope) {}
  void Begin(std::coroutine_handle<> waiter) {
    waiter_ = waiter;
    scope_.Link(*this);
    linked_ = true;
  }
  // Resumes later in this turn.
  void Wake() {
    if (waiter_) loop_.Defer(std::exchange(waiter_, {}));
  }
  void End() {
    if (std::exchange(linked_, false)) scope_.Unlink(*this);
  }
  bool linked() const { return linked_; }

 private:
  void RequestCancel() override { Wake(); }
  event::Loop& loop_;
  event::CancelScope& scope_;
  std::coroutine_handle<> waiter_;
  bool linked_ = false;
};

// Received and not yet read.
struct H2Piece {
  base::Buffer owner;
  std::string_view bytes;
  // Nobody else has the buffer, and more may be written behind `bytes`.
  bool appendable = false;
  H2Piece* next = nullptr;

  static void* operator new(size_t size) { return event::AllocateFrame(size); }
  static void operator delete(void* piece, size_t size) { event::FreeFrame(piece, size); }
};

// First in, first out.
class H2Pieces {
 public:
  H2Pieces() = default;
  H2Pieces(const H2Pieces&) = delete;
  H2Pieces& operator=(const H2Pieces&) = delete;
  ~H2Pieces() {
    while (!empty()) Pop();
  }
  bool empty() const { return first_ == nullptr; }
  // `bytes` lie in `input`, which is shared unless they are few: small pieces must not hold
  // large buffers, so they are copied together.
  void Push(const base::Buffer& input, std::string_view bytes, base::BufferPool& pool);
  // REQUIRES: not empty().
  H2Piece Pop();

 private:
  void Append(H2Piece piece);
  H2Piece* first_ = nullptr;
  H2Piece* last_ = nullptr;
};

class H2ClientStream final : public http::ClientStream {
 public:
  H2ClientStream(H2ClientConnection& connection, event::CancelScope& scope, base::Arena& arena);
  ~H2ClientStream() override;

  static void* operator new(size_t size) { return event::AllocateFrame(size); }
  static void operator delete(void* stream, size_t size) { event::FreeFrame(stream, size); }

  event::Task<absl::Status> SendHead(const http::RequestHead& head, http::BodyChunk first) override;
  event::Task<absl::Status> SendBody(http::BodyChunk chunk) override;
  event::Task<absl::StatusOr<http::ResponseHead*>> ReadHead() override;
  event::Task<absl::StatusOr<http::BodyChunk>> ReadBody() override;
  bool BodyBuffered() const override { return !pieces_.empty() || remote_end_ || !status_.ok(); }
  bool unprocessed() const override { return refused_ || lost_; }
  bool refused() const override { return refused_; }

  // What follows is for the connection, whose list `index` is of.
  size_t index = 0;
  // Of nghttp2's stream; 0: not yet, or no longer.
  int32_t id() const { return id_; }
  http::H2Window& window() { return window_; }
  bool waiting() const { return sending_wait_.linked() || receiving_wait_.linked(); }

  // From nghttp2's callbacks.
  ssize_t DataToSend(size_t max, uint32_t* flags);
  // The next `size` bytes of what DataToSend() promised.
  std::string_view Unsent(size_t size) const { return out_.bytes.substr(out_offset_, size); }
  const base::Buffer& unsent_owner() const { return out_.owner; }
  // They were taken.
  void TakeUnsent(size_t size);
  void OnHeadSent() { head_sent_ = true; }
  void BeginBlock();
  // False: so much that the connection is to end.
  bool AddField(std::string_view name, std::string_view value);
  void EndBlock(bool end_stream);
  void OnData(const base::Buffer& input, std::string_view bytes);
  void OnRemoteEnd();
  void OnResetReceived() { reset_received_ = true; }
  void OnInvalid(const char* what);
  // nghttp2 has forgotten it.
  void OnClosed(uint32_t error_code);

  // The connection failed. `lost`: an orderly end that may have crossed the request.
  void Fail(const absl::Status& status, bool lost);

 private:
  // What was given to SendHead() or SendBody(), on its way.
  class Sending final : public event::TaskSource<absl::Status> {
   public:
    explicit Sending(H2ClientStream& stream) : stream_(stream) {}
    bool Begin() override { return stream_.BeginSend(); }
    void Suspend(std::coroutine_handle<> waiter) override { stream_.sending_wait_.Begin(waiter); }
    absl::Status Take() override { return stream_.EndSend(); }

   private:
    H2ClientStream& stream_;
  };
  class ReadingHead final : public event::TaskSource<absl::StatusOr<http::ResponseHead*>> {
   public:
    explicit ReadingHead(H2ClientStream& stream) : stream_(stream) {}
    bool Begin() override { return stream_.BeginReceive(stream_.head_ != nullptr); }
    void Suspend(std::coroutine_handle<> waiter) override { stream_.receiving_wait_.Begin(waiter); }
    absl::StatusOr<http::ResponseHead*> Take() override { return stream_.EndReadHead(); }

   private:
    H2ClientStream& stream_;
  };
  class ReadingBody final : public event::TaskSource<absl::StatusOr<http::BodyChunk>> {
   public:
    explicit ReadingBody(H2ClientStream& stream) : stream_(stream) {}
    bool Begin() override {
      return stream_.BeginReceive(!stream_.pieces_.empty() || stream_.remote_end_);
    }
    void Suspend(std::coroutine_handle<> waiter) override {
      stream_.window_.ReaderWaits();
      stream_.receiving_wait_.Begin(waiter);
    }
    absl::StatusOr<http::BodyChunk> Take() override { return stream_.EndReadBody(); }

   private:
    H2ClientStream& stream_;
  };

  bool unsent() const { return out_offset_ < out_.bytes.size(); }
  // Takes over the next piece of the request body.
  absl::Status AddBody(http::BodyChunk chunk);
  absl::Status Submit(const http::RequestHead& head);
  event::Task<absl::Status> SendTunnelHead(const http::RequestHead& head);
  bool BeginSend();
  absl::Status EndSend();
  bool BeginReceive(bool there);
  absl::StatusOr<http::ResponseHead*> EndReadHead();
  absl::StatusOr<http::BodyChunk> EndReadBody();
  void SetTunnel(http::ResponseHead& head);
  // Ours: the peer is told by RST_STREAM.
  void Reject(absl::Status status, uint32_t error_code);
  void SetStatus(absl::Status status);
  void Wake() {
    sending_wait_.Wake();
    receiving_wait_.Wake();
  }

  // This object: the rest of the exchange is counted by the one that the client has.
  static constexpr size_t kHeldBytes = 1024;

  // Constant after construction.
  H2ClientConnection& connection_;
  event::CancelScope& scope_;
  base::Arena& arena_;
  const http::H2Held held_{kHeldBytes};

  // The request.
  int32_t id_ = 0;
  http::Method method_ = http::Method::kGet;
  http::BodyKind framing_ = http::BodyKind::kNone;
  uint64_t remaining_ = 0;  // With kLength.
  std::string_view web_socket_key_;
  http::BodyChunk out_;
  size_t out_offset_ = 0;
  http::H2Block trailers_out_;
  bool asked_for_tunnel_ = false;
  bool tunnel_ = false;
  bool body_ended_ = false;  // The last piece was given to us.
  bool deferred_ = false;    // nghttp2 asked for more than there was.
  bool head_sent_ = false;

  // The response.
  http::ResponseHead* head_ = nullptr;  // Once it is complete.
  http::ResponseHead* partial_head_ = nullptr;
  http::HeaderList* trailers_ = nullptr;
  http::H2FieldCollector fields_;
  int informational_ = 0;
  H2Pieces pieces_;
  http::H2Window window_;
  bool remote_end_ = false;

  // Why nothing more comes.
  absl::Status status_;
  bool reset_received_ = false;
  bool refused_ = false;
  bool lost_ = false;

  Sending sending_;
  ReadingHead reading_head_;
  ReadingBody reading_body_;
  H2Wait sending_wait_;
  H2Wait receiving_wait_;
  event::MovingDeadline send_idle_;
  event::MovingDeadline receive_idle_;
};

}  // namespace portico::upstream

#endif  // DATAPLANE_UPSTREAM_H2_CLIENT_STREAM_H_
