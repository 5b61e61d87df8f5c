#include "dataplane/proxy/serve_exchange.h"

#include <optional>
#include <utility>

#include "dataplane/event/cancel.h"
#include "dataplane/proxy/exchange.h"
#include "dataplane/proxy/failure.h"
#include "dataplane/proxy/forward.h"
#include "dataplane/proxy/grpc_exchange.h"
#include "dataplane/proxy/hop_headers.h"
#include "dataplane/proxy/local_reply.h"
#include "dataplane/proxy/policies.h"
#include "dataplane/proxy/request_id.h"
#include "dataplane/proxy/rewrite.h"
#include "dataplane/proxy/tunnel.h"

namespace portico::proxy {
namespace {

using event::Task;
using snapshot::LocalReply;

// Everything between the head and the upstream. Never waits.
std::optional<LocalReply> Prepare(Exchange& x) {
  http::RequestHead& request = x.request();
  // A tunnel is none, whatever its handshake says: a status of 200 would open it.
  if (request.upgrade.empty()) [[likely]]
    x.grpc = GrpcOfRequest(request.headers);
  if (x.listener == nullptr) {
    x.request_id = MakeRequestId(x.worker.random, x.arena());
    return LocalReply{503, "listener_removed", "the configuration no longer has this listener"};
  }
  const snapshot::ListenerEntry& listener = *x.listener->entry;
  const Hop hop{x.connection.peer.ip, x.connection.secure, listener.trusted_hops, x.connection.tls};
  x.client = ClientAddress(request, hop);
  x.request_id = SetRequestId(request, hop, x.worker.random);

  if (x.connection.tls != nullptr && IsMisdirected(request, *x.connection.tls)) [[unlikely]] {
    return LocalReply{421, "misdirected_request",
                      "the host asks for another client authentication than the connection's "
                      "server name did"};
  }
  const uint64_t memory_used = MemoryUsed(x.worker.memory, x.loop(), x.worker.metrics);
  static constexpr LocalReply kOverloaded{503, "overloaded", "the proxy is short of memory"};
  if (memory_used >= MemoryGuard::kShedAll) [[unlikely]] return kOverloaded;
  if (listener.https_redirect_port != 0 && !CameByHttps(request, hop)) {
    if (request.host.empty()) {
      return LocalReply{400, "missing_host", "without a host there is no https URL to go to"};
    }
    x.reason = "https_redirect";
    return std::nullopt;
  }

  x.route = x.pinned->snapshot->Match(listener, request);
  if (x.route == nullptr) {
    return LocalReply{404, "no_route", "no route matches this host, path and method"};
  }
  if (memory_used >= x.route->shed_percent) [[unlikely]] return kOverloaded;
  // Before the policies, so that what they say about the client is the last word.
  SetHopHeaders(request, hop, x.worker.random);
  x.worker.metrics.Expect(x.route->metric_id);
  const uint64_t max_body =
      x.route->max_body_bytes != 0 ? x.route->max_body_bytes : listener.max_body_bytes;
  if (max_body != 0) {
    if (request.body == http::BodyKind::kLength && request.content_length > max_body) {
      return LocalReply{413, "body_too_large", "the request body is larger than the route allows"};
    }
    x.stream.LimitBody(max_body);
  }

  x.policy.emplace(snapshot::PolicyContext{
      .request = request,
      .arena = x.arena(),
      .route = *x.route,
      .client = x.client,
      .tls = x.connection.tls,
      .now = x.started,
      .unix_now = x.started_unix,
      .request_id = x.request_id,
      .upstream = x.route->upstream != nullptr ? std::string_view(x.route->upstream->name)
                                               : std::string_view(),
      .identity = {},
      .response_headers = http::HeaderList(x.arena()),
      .worker_states = &x.worker.policy_states,
      .metrics = &x.worker.metrics,
      .credentials_seen = false,
  });
  if (auto reply = RunRequestPolicies(*x.policy)) return reply;
  RewriteRequest(request, *x.route);
  if (x.grpc != Grpc::kNone) [[unlikely]] return PrepareGrpc(x);
  if (!request.upgrade.empty()) [[unlikely]] {
    // Whoever asks for a tunnel by HTTP/2 takes every 2xx for one (RFC 8441 section 5).
    if (request.version == http::Version::kHttp2 && x.route->has_respond &&
        x.route->details->respond->status / 100 == 2) {
      return LocalReply{501, "connect_not_supported", "the route opens no tunnel"};
    }
    PrepareUpgrade(x);
  }
  return std::nullopt;
}

// A whole response of the proxy's own, under a scope of its own: the one of the
// exchange may have been requested by a deadline.
Task<void> Reply(Exchange& x, RenderedReply& reply) {
  if (x.policy) AddPolicyFields(*x.policy, reply.head);
  event::CancelScope& scope = x.stream.scope();
  if (scope.requested()) scope.Reset();
  event::Deadline deadline(x.loop(), scope, x.loop().now() + kLocalReplyNanos, "local reply");
  BeginResponse(x, reply.head);
  http::BodyChunk body;
  body.bytes = reply.body;
  body.end = true;
  const absl::Status sent = co_await x.stream.SendHead(reply.head, std::move(body));
  if (!sent.ok()) x.stream.Abort();
}

Task<void> ReplyLocally(Exchange& x, const LocalReply& reply) {
  x.reason = reply.reason;
  x.detail = reply.message;
  if (reply.status == 0) {  // Nobody is there to read it.
    x.stream.Abort();
    co_return;
  }
  if (x.grpc != Grpc::kNone) x.grpc_status = GrpcStatusFor(reply.status);
  RenderedReply rendered = RenderLocalReply(reply, x.grpc, x.request_id, x.arena());
  co_await Reply(x, rendered);
}

// To the same URL with https (RFC 9110 section 15.4.9).
Task<void> RedirectToHttps(Exchange& x) {
  RenderedReply reply(x.arena());
  reply.head.status = 308;
  reply.head.body = http::BodyKind::kLength;
  reply.head.headers.Add(http::HeaderId::kLocation,
                         HttpsUrl(x.request(), x.listener->entry->https_redirect_port));
  reply.head.headers.Add(http::HeaderId::kXRequestId, x.request_id);
  co_await Reply(x, reply);
}

Task<void> RespondDirectly(Exchange& x) {
  RenderedReply reply(x.arena());
  const snapshot::RespondEntry& respond = *x.route->details->respond;
  reply.head.status = respond.status;
  reply.head.body = http::BodyKind::kLength;
  reply.head.content_length = respond.body.size();
  reply.head.headers.Add(http::HeaderId::kContentType, respond.content_type);
  reply.head.headers.Add(http::HeaderId::kXRequestId, x.request_id);
  reply.body = respond.body;
  ApplyResponsePolicies(*x.policy, reply.head);
  co_await Reply(x, reply);
}

}  // namespace

Task<void> Proxy::Serve(http::ServerStream& stream, const http::ConnectionInfo& connection) {
  Exchange x(worker_, stream, connection);
  std::optional<LocalReply> reply = Prepare(x);
  if (!reply && x.route == nullptr) {
    co_await RedirectToHttps(x);
  } else if (!reply && x.route->has_respond) {
    co_await RespondDirectly(x);
  } else if (!reply) {
    int64_t timeout = x.route->timeout_nanos;
    const char* what = kRouteTimeout;
    if (x.grpc_timeout_nanos < timeout) [[unlikely]] {
      timeout = x.grpc_timeout_nanos;
      what = kGrpcTimeout;
    }
    event::Deadline deadline(x.loop(), stream.scope(), x.started + timeout, what);
    x.route_deadline = &deadline;
    reply = co_await Forward(x);
    x.route_deadline = nullptr;
    if (x.owed_grpc_status != kNoGrpcStatus) [[unlikely]] co_await EndWithGrpcStatus(x);
  }
  if (reply) co_await ReplyLocally(x, *reply);
  RecordExchange(x);
}

Task<void> Proxy::ServeError(http::ServerStream& stream, const http::ConnectionInfo& connection,
                             int status, std::string_view reason) {
  // The connection has told its observer, which counts protocol errors.
  Exchange x(worker_, stream, connection);
  x.request_id = MakeRequestId(worker_.random, x.arena());
  if (x.request().upgrade.empty()) x.grpc = GrpcOfRequest(x.request().headers);
  const LocalReply reply{status, reason, "the request is not valid HTTP or exceeds a limit"};
  co_await ReplyLocally(x, reply);
  RecordExchange(x);
}

}  // namespace portico::proxy
