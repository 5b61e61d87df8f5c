// HTTP/1.1 from a client: requests one after another on one byte stream.
#ifndef DATAPLANE_DOWNSTREAM_H1_SERVER_CONNECTION_H_
#define DATAPLANE_DOWNSTREAM_H1_SERVER_CONNECTION_H_

#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "dataplane/downstream/connection.h"
#include "dataplane/downstream/server_context.h"
#include "dataplane/event/cancel.h"
#include "dataplane/event/task.h"
#include "dataplane/event/timer.h"
#include "dataplane/http/h1_input.h"
#include "dataplane/net/await.h"
#include "dataplane/net/byte_stream.h"

namespace portico::downstream {

class H1ServerStream;

class H1ServerConnection final : public ServerConnection {
 public:
  // `first_bytes`: what was received already, possibly nothing. `context` outlives it.
  H1ServerConnection(ServerContext& context, std::unique_ptr<net::ByteStream> stream,
                     const http::ConnectionInfo& info, base::Buffer first_bytes);
  ~H1ServerConnection() override;
  H1ServerConnection(const H1ServerConnection&) = delete;
  H1ServerConnection& operator=(const H1ServerConnection&) = delete;

  void Start() override;
  void Drain() override;
  void ForceClose(const absl::Status& reason) override;
  bool idle() const override { return resting_; }

 private:
  friend class H1ServerStream;

  // Tells the exchange that its client left, some time after it closed its side.
  // Half-closed clients wait for an answer; one that closed looks the same.
  class HangUp final : public event::CancelScope, private event::Cancellable {
   public:
    explicit HangUp(H1ServerConnection& connection);
    ~HangUp();
    // An exchange begins or ends.
    void ExchangeBegins();
    void ExchangeEnds();

   private:
    void RequestCancel() override;
    static void Fire(event::Timer& timer);
    H1ServerConnection& connection_;
    bool seen_ = false;
    base::MonotonicNanos when_ = 0;
    event::Timer timer_;
  };

  event::Task<void> Run();
  // The end of the rest that begins now.
  void Rest(int64_t nanos, const char* what);
  // Serves the exchange that begins with what is unread. False: close.
  event::Task<bool> ServeExchange(base::Arena& arena);
  // The open exchange has become a tunnel, in which the client may close its side.
  void BeginTunnel();
  // Whether the rest of the connection can be used after `stream`.
  event::Task<bool> EndExchange(H1ServerStream& stream);
  // Takes the head that begins with what is unread; true when it is complete.
  bool ParseHead(H1ServerStream& stream, http::H1ParseResult& result);
  // Reads on after ParseHead(). False: the connection ends, without an answer.
  event::Task<bool> ReadHead(H1ServerStream& stream, http::H1ParseResult result);
  event::Task<bool> DropBody(H1ServerStream& stream);
  // Waits until the client has read what was sent, as far as one can know.
  event::Task<void> Linger();

  ServerContext& context_;
  std::unique_ptr<net::ByteStream> stream_;
  http::ConnectionInfo info_;
  http::H1Input input_;

  // For waits between exchanges, and for heads.
  event::CancelScope read_scope_;
  // For sends: error replies go out although an exchange was cancelled.
  event::CancelScope write_scope_;
  net::HangUpWatch watch_;
  HangUp hang_up_;
  // The open exchange.
  H1ServerStream* exchange_ = nullptr;
  // Of its rests and of its sends: there is only one of them at a time.
  event::MovingDeadline deadline_;

  uint32_t requests_ = 0;
  bool resting_ = false;
  bool started_ = false;
  bool ended_ = false;
  bool draining_ = false;
  // How it ends.
  bool abort_ = false;
  bool linger_ = false;
};

}  // namespace portico::downstream

#endif  // DATAPLANE_DOWNSTREAM_H1_SERVER_CONNECTION_H_
