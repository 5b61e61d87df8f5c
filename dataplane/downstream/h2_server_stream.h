// One exchange of an H2ServerConnection.
#ifndef DATAPLANE_DOWNSTREAM_H2_SERVER_STREAM_H_
#define DATAPLANE_DOWNSTREAM_H2_SERVER_STREAM_H_

#include <nghttp2/nghttp2.h>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "dataplane/base/arena.h"
#include "dataplane/base/buffer.h"
#include "dataplane/event/cancel.h"
#include "dataplane/event/frame_pool.h"
#include "dataplane/event/task.h"
#include "dataplane/http/h2_memory.h"
#include "dataplane/http/h2_send_share.h"
#include "dataplane/http/h2_window.h"
#include "dataplane/http/stream.h"

namespace portico::downstream {

class H2ServerConnection;

// What came of a request body and was not read: bounded by the stream's window, and in memory
// by a small multiple of that, however small the frames were.
class H2BodyQueue {
 public:
  H2BodyQueue() = default;
  ~H2BodyQueue();
  H2BodyQueue(const H2BodyQueue&) = delete;
  H2BodyQueue& operator=(const H2BodyQueue&) = delete;

  // `bytes` lie in `received`; small ones are copied.
  void Add(std::string_view bytes, const base::Buffer& received, base::BufferPool& pool);
  bool empty() const { return head_ == nullptr; }
  size_t bytes() const { return bytes_; }
  // The first piece. There is one.
  http::BodyChunk Take();
  void Clear();

 private:
  struct Piece {
    static void* operator new(size_t size) { return event::AllocateFrame(size); }
    static void operator delete(void* piece, size_t size) { event::FreeFrame(piece, size); }
    std::unique_ptr<Piece> next;
    base::Buffer buffer;
    std::string_view bytes;
    bool ours = false;  // May be appended to.
  };
  std::unique_ptr<Piece> head_;
  Piece* tail_ = nullptr;
  size_t bytes_ = 0;
};

class H2ServerStream final : public http::ServerStream {
 public:
  static void* operator new(size_t size) { return event::AllocateFrame(size); }
  static void operator delete(void* stream, size_t size) { event::FreeFrame(stream, size); }

  H2ServerStream(H2ServerConnection& connection, int32_t id, std::unique_ptr<base::Arena> arena);
  ~H2ServerStream() override;

  http::RequestHead& request() override { return request_; }
  base::Arena& arena() override { return *arena_; }
  void LimitBody(uint64_t max_bytes) override { body_limit_ = max_bytes; }
  event::Task<absl::StatusOr<http::BodyChunk>> ReadBody() override;
  bool BodyBuffered() const override { return !queue_.empty() || body_ended_; }
  event::Task<absl::Status> SendHead(const http::ResponseHead& head,
                                     http::BodyChunk first) override;
  event::Task<absl::Status> SendBody(http::BodyChunk chunk) override;
  size_t PieceLimit() override;
  void Abort() override { aborted_ = true; }
  event::CancelScope& scope() override { return scope_; }
  uint64_t request_body_bytes() const override { return request_bytes_; }
  uint64_t response_body_bytes() const override { return response_bytes_; }

 private:
  friend class H2ServerConnection;
  friend class H2SessionEvents;

  enum class Response : uint8_t { kNothing, kBody, kComplete, kFailed };

  // This object, its arena, and the frames and fields of its exchange; nghttp2 counts its own part.
  static constexpr size_t kHeldBytes = 8 * 1024;

  // The piece that was given to SendHead() or SendBody(), until nghttp2 has made frames of all of
  // it. The exchange's deadline ends the wait; other reasons to end the exchange do not.
  class Sending final : public event::TaskSource<absl::Status>, private event::Cancellable {
   public:
    explicit Sending(H2ServerStream& stream) : stream_(stream) {}
    bool Begin() override;
    void Suspend(std::coroutine_handle<> waiter) override;
    absl::Status Take() override;
    // The first one stays.
    void End(absl::Status status);
    bool pending() const { return pending_; }
    bool waiting() const { return pending_ && waiter_; }
    void Start() { pending_ = true; }

   private:
    void RequestCancel() override;
    H2ServerStream& stream_;
    std::coroutine_handle<> waiter_;
    absl::Status status_;
    bool pending_ = false;
    bool linked_ = false;
  };

  // The wait for a piece of the request body.
  class Reading final : public event::TaskSource<absl::StatusOr<http::BodyChunk>>,
                        private event::Cancellable {
   public:
    explicit Reading(H2ServerStream& stream) : stream_(stream) {}
    bool Begin() override;
    void Suspend(std::coroutine_handle<> waiter) override;
    absl::StatusOr<http::BodyChunk> Take() override;
    void Wake();
    bool waiting() const { return static_cast<bool>(waiter_); }

   private:
    void RequestCancel() override { Wake(); }
    H2ServerStream& stream_;
    std::coroutine_handle<> waiter_;
    bool linked_ = false;
  };

  // Events of the session. Bytes of the body came; false: more than its length says.
  bool AddBody(std::string_view bytes, const base::Buffer& received);
  // The client has ended its side; false: less than its length says.
  bool EndBody();
  // The stream is gone, or broken: nothing is read or sent any more.
  void Fail(absl::Status reason);
  // Nobody reads the rest.
  void DropBody();
  // nghttp2 asks for the next DATA frame, at most `length` bytes: as its callback returns them.
  ssize_t OfferData(size_t length, uint32_t* flags);
  // The frame goes out: takes it off the piece.
  void DataFramed(std::string_view frame_head, size_t length);

  bool BodyReady() const { return !queue_.empty() || body_ended_ || scope_.requested(); }
  absl::StatusOr<http::BodyChunk> NextPiece();
  // Gives the piece to nghttp2; `last`: nothing follows.
  event::Task<absl::Status> Offer(http::BodyChunk chunk, bool last);
  absl::Status SubmitHead(const http::ResponseHead& head, bool last, bool tunnel);
  absl::Status SubmitTrailers();
  // Whether a piece fits what the head has said of the length.
  bool Account(const http::BodyChunk& chunk);
  absl::Status WrongLength();
  void PieceTaken();
  void SendContinue();

  H2ServerConnection& connection_;
  const int32_t id_;
  const http::H2Held held_{kHeldBytes};
  std::unique_ptr<base::Arena> arena_;
  http::RequestHead request_;
  event::CancelScope scope_;
  H2ServerStream* next_ = nullptr;  // In the connection's list of streams.
  H2ServerStream* previous_ = nullptr;
  H2ServerStream* next_opened_ = nullptr;  // Among those to be served next.

  // The request's body.
  H2BodyQueue queue_;
  http::H2Window window_;
  const http::HeaderList* trailers_ = nullptr;
  uint64_t body_limit_ = 0;     // 0: none.
  uint64_t received_ = 0;       // From the client.
  uint64_t request_bytes_ = 0;  // By who serves it.
  base::MonotonicNanos waits_since_ = 0;
  Reading reading_;

  // The response.
  Sending sending_;
  http::BodyChunk piece_;
  http::H2SendStake stake_;  // In what the connection holds.
  size_t piece_sent_ = 0;
  bool piece_last_ = false;
  base::MonotonicNanos sends_since_ = 0;
  uint64_t response_remaining_ = 0;  // With kLength.
  uint64_t response_bytes_ = 0;
  http::BodyKind framing_ = http::BodyKind::kNone;
  Response response_ = Response::kNothing;

  // Of a request that cannot be served: see ExchangeHandler::ServeError().
  int refusal_ = 0;
  std::string_view refusal_reason_;

  bool body_ended_ = false;
  bool body_failed_ = false;
  bool continue_wanted_ = false;
  bool tunnel_ = false;
  bool aborted_ = false;
  bool submitted_ = false;  // nghttp2 has the response's head.
  bool scheduled_ = false;  // Its DATA take turns with those of others.
  bool serving_ = false;    // A task of the handler runs.
  bool closed_ = false;     // nghttp2 has forgotten the stream.
  bool broken_ = false;     // The client broke a rule, and it was counted.
};

}  // namespace portico::downstream

#endif  // DATAPLANE_DOWNSTREAM_H2_SERVER_STREAM_H_
