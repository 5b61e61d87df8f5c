// HTTP/2 to an upstream endpoint: a session of nghttp2 between a byte stream and exchanges.
// What it sends is in h2_client_output.cc, nghttp2's callbacks are in h2_client_callbacks.cc,
// its exchange's side (ClientStream) is in h2_client_stream.cc.
#ifndef DATAPLANE_UPSTREAM_H2_CLIENT_CONNECTION_IMPL_H_
#define DATAPLANE_UPSTREAM_H2_CLIENT_CONNECTION_IMPL_H_

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/event/await.h"
#include "dataplane/event/operation.h"
#include "dataplane/event/timer.h"
#include "dataplane/http/h2_flood.h"
#include "dataplane/http/h2_frames.h"
#include "dataplane/http/h2_output.h"
#include "dataplane/http/h2_window.h"
#include "dataplane/upstream/h2_client_connection.h"
#include "dataplane/upstream/h2_client_stream.h"

namespace portico::upstream {

class H2ClientConnection final : public ClientConnection {
 public:
  H2ClientConnection(event::Loop& loop, std::unique_ptr<net::ByteStream> stream,
                     const H2ClientOptions& options, ClientConnectionOwner& owner);
  ~H2ClientConnection() override;

  http::ClientStream* OpenStream(event::CancelScope& scope, base::Arena& arena) override;
  void EndStream(http::ClientStream* stream) override;
  uint32_t max_streams() const override;
  uint32_t open_streams() const override { return static_cast<uint32_t>(streams_.size()); }
  bool reusable() const override { return !draining_; }
  uint64_t streams_opened() const override { return streams_opened_; }
  void Close() override;

  // For streams.
  event::Loop& loop() { return loop_; }
  const H2ClientOptions& options() const { return options_; }
  nghttp2_session* session() { return session_; }
  // The reader of the stream `id`, whose window this is, has read `bytes`: see http/h2_window.h.
  void TuneWindow(http::H2Window& window, int32_t id, size_t bytes);
  // Of `bytes` that were received: what the connection's window is to be given back.
  size_t ConsumedOfConnection(size_t bytes) { return windows_.debt().Pay(bytes); }
  // Frames wait to be written: gathered, and sent in this turn of the loop.
  void ScheduleFlush();
  // Whether the peer has said what it allows.
  bool settings_received() const { return settings_received_; }
  bool takes_tunnels() const;
  event::Condition& settings_changed() { return settings_changed_; }
  // Why it takes nothing any more; OK while it does.
  const absl::Status& failure() const { return failure_; }

 private:
  friend struct H2ClientCallbacks;

  static void OnReceive(event::Operation& op);
  static void OnSent(event::Operation& op);
  static void OnFlush(event::Operation& op);
  static void OnEndTimer(event::Timer& timer);
  static void OnPingTimer(event::Timer& timer);

  void StartReceive();
  void Feed(base::Buffer buffer);
  // False: there are too many of some kind.
  bool CountFrames(std::string_view bytes);
  void Flush();
  void Fill();
  // No new streams.
  void Drain();
  // Nothing more is received; streams fail. With an error code the peer is told.
  void Fail(absl::Status status, uint32_t error_code, bool lost = false);
  // What is to be done once nothing of nghttp2's is on the stack.
  void Settle();
  // Says good-bye, then ends.
  void Finish();
  void Shut();
  void EndIfQuiet();
  void CheckPing();

  // Constant after construction.
  event::Loop& loop_;
  const H2ClientOptions options_;
  ClientConnectionOwner& owner_;
  const std::unique_ptr<net::ByteStream> stream_;
  nghttp2_session* session_ = nullptr;

  // Owned by this worker.
  std::vector<std::unique_ptr<H2ClientStream>> streams_;
  http::H2Windows windows_;
  uint64_t streams_opened_ = 0;
  event::ReceiveOperation receive_;
  size_t receive_size_ = base::BufferPool::kSmall;
  const base::Buffer* input_ = nullptr;  // While nghttp2 reads it.
  http::H2Output output_;
  event::SendOperation send_;
  // Completes later in the turn in which something is to be sent.
  event::Operation flush_;
  bool flush_again_ = false;
  http::H2FrameWalker frames_{0};
  http::H2FloodGuard flood_;
  uint64_t resets_received_ = 0;
  event::Condition settings_changed_;
  absl::Status failure_;
  // Why a callback failed.
  std::string_view violation_;
  uint32_t goaway_sent_ = 0;  // With this error code, of nghttp2's own accord.
  bool settings_received_ = false;
  bool room_changed_ = false;
  bool draining_ = false;
  bool told_unusable_ = false;
  bool transport_ended_ = false;  // Nothing can be sent, either.
  bool finishing_ = false;
  bool shut_ = false;
  bool ended_ = false;
  event::Timer end_timer_;
  event::Timer ping_timer_;
  base::MonotonicNanos received_at_ = 0;
  base::MonotonicNanos ping_sent_ = 0;  // 0: none is on its way.
  base::MonotonicNanos next_ping_ = 0;
};

// nghttp2's names of error codes: "CANCEL".
const char* H2ErrorName(uint32_t error_code);

// Sets them in `callbacks`; their user data is the connection.
void SetH2ClientCallbacks(nghttp2_session_callbacks* callbacks);

}  // namespace portico::upstream

#endif  // DATAPLANE_UPSTREAM_H2_CLIENT_CONNECTION_IMPL_H_
