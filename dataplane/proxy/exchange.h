// The state of one exchange, from its head to its log line.
#ifndef DATAPLANE_PROXY_EXCHANGE_H_
#define DATAPLANE_PROXY_EXCHANGE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "dataplane/event/await.h"
#include "dataplane/event/cancel.h"
#include "dataplane/event/frame_pool.h"
#include "dataplane/http/handler.h"
#include "dataplane/http/stream.h"
#include "dataplane/proxy/grpc.h"
#include "dataplane/proxy/hop_headers.h"
#include "dataplane/proxy/worker_context.h"
#include "dataplane/snapshot/policy.h"
#include "dataplane/snapshot/snapshot.h"

namespace portico::proxy {

// Lives in the frame of ServeExchange(). Pins the revision: everything an exchange
// sees is of one revision.
struct Exchange {
  static constexpr int64_t kNoGrpcTimeout = INT64_MAX;

  Exchange(WorkerContext& worker, http::ServerStream& stream,
           const http::ConnectionInfo& connection);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  // Constant after construction.
  WorkerContext& worker;
  http::ServerStream& stream;
  const http::ConnectionInfo& connection;
  const std::shared_ptr<const ActiveSnapshot> pinned;
  // nullptr if the revision does not have it (any more).
  const ListenerRuntime* const listener;
  const base::MonotonicNanos started;
  const base::UnixNanos started_unix;

  // Where the body of the request is read and the response is sent: `stream`, or what stands
  // in front of it (owned->grpc_bridge).
  http::ServerStream* front;
  // A piece of the request body that is waited for beyond the end of the try that asked for it.
  struct EarlyPiece {
    explicit EarlyPiece(event::Loop& loop) : ready(loop), reading(loop) {}
    event::Event ready;  // `piece` is what came of it.
    event::TaskGroup reading;
    absl::StatusOr<http::BodyChunk> piece;
  };
  // What few exchanges own; nullptr for the others.
  struct Owned {
    static void* operator new(size_t size) { return event::AllocateFrame(size); }
    static void operator delete(void* owned, size_t size) { event::FreeFrame(owned, size); }
    std::unique_ptr<http::ServerStream> grpc_bridge;
    // All that was read of the request body, until it is known that no other try needs it.
    std::optional<http::BodyChunk> body;
    // What comes after that.
    std::optional<EarlyPiece> early;
  };
  std::unique_ptr<Owned> owned;
  bool has_kept_body() const { return owned != nullptr && owned->body.has_value(); }
  bool has_early_piece() const { return owned != nullptr && owned->early.has_value(); }
  // Some of the request body was read and is not kept: no other try can send it.
  bool body_spent = false;
  Owned& Own() {
    if (owned == nullptr) owned = std::make_unique<Owned>();
    return *owned;
  }

  // Found out on the way.
  net::IpAddress client;
  std::string_view request_id;
  const snapshot::RouteEntry* route = nullptr;
  const snapshot::UpstreamEntry* upstream = nullptr;
  std::optional<snapshot::PolicyContext> policy;
  // What the client asked for, before rewriting.
  std::string_view original_path, original_host;
  Grpc grpc = Grpc::kNone;
  // What the client said in grpc-timeout; kNoGrpcTimeout: nothing.
  int64_t grpc_timeout_nanos = kNoGrpcTimeout;

  // What came of it.
  int status = 0;             // Of the response that was begun; 0: none.
  std::string_view reason;    // Empty for a response of the upstream, complete.
  std::string_view detail;    // For the log, in the arena.
  std::string_view endpoint;  // In the arena.
  uint32_t attempts = 0;
  int grpc_status = kNoGrpcStatus;
  // The response is one of gRPC messages, of which nobody said how long they are.
  bool grpc_messages = false;
  // The response was begun and ends with this status instead of being cut; kNoGrpcStatus: not so.
  int owed_grpc_status = kNoGrpcStatus;
  base::MonotonicNanos sent_upstream = 0;
  int64_t upstream_duration = 0;
  // What the route allows, while it does.
  event::Deadline* route_deadline = nullptr;
  base::MonotonicNanos tunnel_opened = 0;  // 0: none.
  // Response fields that the access log wants, in the arena: the response head
  // itself ends with the upstream's stream.
  absl::Span<const std::pair<std::string_view, std::string_view>> logged_response_fields;

  http::RequestHead& request() const { return request_; }
  base::Arena& arena() const { return stream.arena(); }
  event::Loop& loop() const { return worker.loop; }
  bool response_begun() const { return status != 0; }

 private:
  http::RequestHead& request_;  // The stream's, without a virtual call.
};

// The exchange has become a tunnel: it is no active request any more.
void BeginTunnel(Exchange& exchange);

// Notes that the response `head` is about to be sent.
void BeginResponse(Exchange& exchange, const http::ResponseHead& head);

// Counts and logs a finished exchange. Once.
void RecordExchange(Exchange& exchange);

}  // namespace portico::proxy

#endif  // DATAPLANE_PROXY_EXCHANGE_H_
