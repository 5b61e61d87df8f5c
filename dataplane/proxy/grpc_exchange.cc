#include "dataplane/proxy/grpc_exchange.h"

#include <memory>
#include <utility>

#include "dataplane/event/cancel.h"
#include "dataplane/http/trailers.h"
#include "dataplane/proxy/grpc_web_stream.h"
#include "dataplane/proxy/local_reply.h"
#include "dataplane/proxy/serve_exchange.h"

namespace portico::proxy {
namespace {

using http::HeaderId;

bool IsWeb(Grpc grpc) { return grpc == Grpc::kWeb || grpc == Grpc::kWebText; }

}  // namespace

std::optional<snapshot::LocalReply> PrepareGrpc(Exchange& x) {
  http::RequestHead& request = x.request();
  if (IsWeb(x.grpc)) {
    if (!x.route->details->grpc_web || x.route->has_respond) return std::nullopt;
    x.Own().grpc_bridge =
        std::make_unique<GrpcWebStream>(x.stream, x.loop().downstream_buffers(), x.grpc);
    x.front = x.owned->grpc_bridge.get();
    request.takes_trailers = true;
  }
  request.headers.Set(HeaderId::kTe, "trailers");
  const http::HeaderField* field = request.headers.Find(HeaderId::kGrpcTimeout);
  if (field == nullptr) return std::nullopt;
  const std::optional<int64_t> timeout = ParseGrpcTimeout(field->value);
  if (!timeout.has_value() || request.headers.Count(HeaderId::kGrpcTimeout) != 1) {
    return snapshot::LocalReply{400, "invalid_grpc_timeout",
                                "grpc-timeout is not 1 to 8 digits and a unit"};
  }
  x.grpc_timeout_nanos = *timeout;
  return std::nullopt;
}

std::optional<bool> TakeGrpcHead(Exchange& x, const http::ResponseHead& head) {
  const http::HeaderField* type = head.headers.Find(HeaderId::kContentType);
  if (head.status != 200 || type == nullptr || GrpcOfType(type->value) != Grpc::kGrpc) {
    return head.status < 500;
  }
  x.grpc_status = GrpcStatusOf(head.headers);
  if (x.grpc_status != kNoGrpcStatus) return !IsUpstreamFailure(x.grpc_status);
  x.grpc_messages = x.front != &x.stream || head.body != http::BodyKind::kLength;
  return std::nullopt;
}

std::optional<bool> TakeLastPiece(Exchange& x, http::BodyChunk& piece) {
  piece.trailers = http::SafeTrailers(piece.trailers, x.arena());
  if (x.grpc == Grpc::kNone || x.grpc_status != kNoGrpcStatus || piece.trailers == nullptr) {
    return std::nullopt;
  }
  x.grpc_status = GrpcStatusOf(*piece.trailers);
  return !IsUpstreamFailure(x.grpc_status);
}

bool OweGrpcStatus(Exchange& x, bool deadline) {
  if (!x.grpc_messages || !x.request().takes_trailers) return false;
  x.owed_grpc_status = deadline ? kGrpcDeadlineExceeded : kGrpcUnavailable;
  return true;
}

event::Task<void> EndWithGrpcStatus(Exchange& x) {
  event::CancelScope& scope = x.stream.scope();
  if (scope.requested()) scope.Reset();
  event::Deadline deadline(x.loop(), scope, x.loop().now() + kLocalReplyNanos, "grpc-status");
  x.grpc_status = x.owed_grpc_status;
  http::HeaderList trailers(x.arena());
  trailers.Add(HeaderId::kGrpcStatus, Number(x.grpc_status, x.arena()));
  trailers.Add("grpc-message", GrpcMessage(x.reason, x.detail, x.arena()));
  http::BodyChunk last;
  last.trailers = &trailers;
  last.end = true;
  const absl::Status sent = co_await x.front->SendBody(std::move(last));
  if (!sent.ok()) x.stream.Abort();
}

}  // namespace portico::proxy
