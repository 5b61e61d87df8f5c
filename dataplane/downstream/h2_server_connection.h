// HTTP/2 from a client (RFC 9113): many exchanges at a time on one byte stream.
#ifndef DATAPLANE_DOWNSTREAM_H2_SERVER_CONNECTION_H_
#define DATAPLANE_DOWNSTREAM_H2_SERVER_CONNECTION_H_

#include <nghttp2/nghttp2.h>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "dataplane/base/buffer.h"
#include "dataplane/downstream/connection.h"
#include "dataplane/downstream/server_context.h"
#include "dataplane/event/await.h"
#include "dataplane/event/cancel.h"
#include "dataplane/event/frame_pool.h"
#include "dataplane/event/task.h"
#include "dataplane/event/timer.h"
#include "dataplane/http/h2_fields.h"
#include "dataplane/http/h2_flood.h"
#include "dataplane/http/h2_frames.h"
#include "dataplane/http/h2_output.h"
#include "dataplane/http/h2_send_share.h"
#include "dataplane/http/h2_stream_rules.h"
#include "dataplane/http/h2_window.h"
#include "dataplane/net/byte_stream.h"

namespace portico::downstream {

class H2ServerStream;

// nghttp2 knows the protocol's state; what it is given and what it gives goes through here. Its
// callbacks (h2_session_events.cc) only note what happened: exchanges begin and go on outside.
class H2ServerConnection final : public ServerConnection {
 public:
  // `info`: of the connection; what it points to lives as long. `first_bytes`: what was received
  // already, from the connection preface on, possibly nothing. `context` outlives it.
  H2ServerConnection(ServerContext& context, std::unique_ptr<net::ByteStream> stream,
                     const http::ConnectionInfo& info, base::Buffer first_bytes);
  ~H2ServerConnection() override;
  H2ServerConnection(const H2ServerConnection&) = delete;
  H2ServerConnection& operator=(const H2ServerConnection&) = delete;

  void Start() override;
  void Drain() override;
  void ForceClose(const absl::Status& reason) override;
  bool idle() const override { return stream_count_ == 0 && frames_.at_boundary(); }

 private:
  friend class H2ServerStream;
  friend class H2SessionEvents;

  // How far a graceful end is (RFC 9113 section 6.8).
  enum class Closing : uint8_t {
    kNo,
    kAnnounced,  // A GOAWAY that forbids nothing: what the client has sent by now is served.
    kLast        // A GOAWAY with the last stream.
  };

  static constexpr char kIdleTimeout[] = "idle timeout";

  // What the session has given since the last send, and what that one sends.
  struct Outputs {
    static void* operator new(size_t size) { return event::AllocateFrame(size); }
    static void operator delete(void* outputs, size_t size) { event::FreeFrame(outputs, size); }
    http::H2Output next;
    http::H2Output sent;
  };

  // Lets the writer sleep until there is something to write.
  class Wanted {
   public:
    explicit Wanted(H2ServerConnection& connection) : connection_(connection) {}
    bool await_ready() const { return connection_.has_output() || connection_.write_ends_; }
    void await_suspend(std::coroutine_handle<> waiter) { connection_.writer_ = waiter; }
    void await_resume() const {}

   private:
    H2ServerConnection& connection_;
  };

  event::Task<void> Run();
  // Until nothing more is to be read.
  event::Task<void> Read();
  event::Task<void> Write();
  event::Task<void> Serve(H2ServerStream& stream);
  event::Task<void> Linger();
  void WakeWriter();

  bool has_output() const { return outputs_ != nullptr && !outputs_->next.empty(); }
  http::H2Output& output() {
    if (outputs_ == nullptr) outputs_ = std::make_unique<Outputs>();
    return outputs_->next;
  }

  // Gives bytes to the session and begins the exchanges that they ask for. `bytes` is their buffer.
  void Feed(const base::Buffer& bytes);
  // False: too many frames of some kind, or one that nghttp2 would let pass.
  bool LookAtFrames(std::string_view bytes);
  void BeginExchanges();
  // Takes from the session what it has to send, as far as there is room.
  void Pump();
  // Bytes of a body were taken, or are not wanted any more: the client may send as many. Pump()
  // tells it.
  void Consumed(H2ServerStream& stream, size_t bytes);
  // They came for nobody, and count for the connection's window only.
  void Dropped(size_t bytes);
  // As many were read: its window may be too small for so fast a reader.
  void TuneWindow(H2ServerStream& stream, size_t bytes);
  // From the session's data provider.
  static ssize_t ReadData(nghttp2_session*, int32_t, uint8_t*, size_t, uint32_t*,
                          nghttp2_data_source*, void*);

  H2ServerStream* OpenStream(int32_t id);
  // The handler's task has ended.
  void EndExchange(H2ServerStream& stream);
  // Nobody refers to it any more.
  void Release(H2ServerStream& stream);
  // RFC 9113 section 5.4.2. `reason`: counted.
  void ResetStream(H2ServerStream& stream, uint32_t code, std::string_view reason);
  // Its DATA frames come in turn with those of others.
  void TakeTurns(H2ServerStream& stream);
  // A response's head was submitted.
  void ResponseBegins();
  void FailAll(const absl::Status& reason);

  // The connection ends with an error of its own (RFC 9113 section 5.4.1).
  void Violation(std::string_view reason, uint32_t code);
  // The end in order: no more streams than those that are on their way, then none.
  void CloseInOrder();
  void SendLastGoaway();
  // Ends Read() if the session wants nothing more.
  void CheckEnd();
  void SetReadDeadline();
  // Streams that wait for the client are looked at from time to time.
  void WatchStalls();
  static void OnStallTimer(event::Timer& timer);
  static void OnCloseTimer(event::Timer& timer);
  bool TooMuchQueued() const;

  ServerContext& context_;
  std::unique_ptr<net::ByteStream> stream_;
  http::ConnectionInfo info_;
  base::Buffer first_bytes_;
  nghttp2_session* session_ = nullptr;  // Owned.

  // For receives, and for sends.
  event::CancelScope read_scope_;
  event::CancelScope write_scope_;
  event::MovingDeadline read_deadline_;
  event::MovingDeadline write_deadline_;
  event::Timer stall_timer_;
  event::Timer close_timer_;
  event::TaskGroup exchanges_;
  event::TaskGroup writing_;
  event::Condition written_;  // A send has ended.
  std::coroutine_handle<> writer_;

  // Only while there is something to send.
  std::unique_ptr<Outputs> outputs_;

  // Of what comes.
  http::H2FrameWalker frames_{http::H2FrameWalker::kPrefaceBytes};
  http::H2FloodGuard guard_;
  http::H2StreamRules rules_;
  http::H2FieldCollector fields_;
  H2ServerStream* block_stream_ = nullptr;  // Whose header block is being read.
  http::HeaderList* block_trailers_ = nullptr;
  const base::Buffer* feeding_ = nullptr;

  http::H2Windows windows_;
  size_t unread_ = 0;  // Of bodies, on all streams.
  // Of what goes.
  http::H2SendShare share_;

  H2ServerStream* streams_ = nullptr;
  H2ServerStream* opened_first_ = nullptr;  // To be served next.
  H2ServerStream* opened_last_ = nullptr;
  uint32_t stream_count_ = 0;
  base::MonotonicNanos idle_since_ = 0;  // While there are none.
  uint32_t requests_ = 0;
  uint32_t block_number_ = 0;  // That read_deadline_ is for.

  size_t receive_size_ = base::BufferPool::kSmall;
  Closing closing_ = Closing::kNo;
  bool started_ = false;
  bool drain_wanted_ = false;
  bool ended_ = false;
  bool settings_made_ = false;  // Ours.
  bool settled_ = false;        // The client's SETTINGS came.
  bool in_session_ = false;     // One of nghttp2's functions runs.
  bool violated_ = false;
  bool client_left_ = false;     // It has closed its side.
  bool block_deadline_ = false;  // read_deadline_ is that of a header block, or of the preface.
  bool write_ends_ = false;
  bool write_failed_ = false;
  bool forced_ = false;
  // How it ends.
  bool abort_ = false;
  bool linger_ = false;
};

}  // namespace portico::downstream

#endif  // DATAPLANE_DOWNSTREAM_H2_SERVER_CONNECTION_H_
