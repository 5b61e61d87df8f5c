#include "dataplane/proxy/failure.h"

namespace portico::proxy {
namespace {

using snapshot::LocalReply;

std::string_view Text(std::string_view before, const absl::Status& status, base::Arena& arena) {
  return arena.Concat({before, CopyMessage(status, arena)});
}

}  // namespace

std::string_view CopyMessage(const absl::Status& status, base::Arena& arena) {
  return arena.Copy({status.message().data(), status.message().size()});
}

LocalReply ReplyForAcquire(const upstream::Acquired& acquired, const absl::Status& scope_reason,
                           base::Arena& arena) {
  switch (acquired.error) {
    case upstream::AcquireError::kNone:
      break;
    case upstream::AcquireError::kNoHealthyHost:
      return {503, "no_healthy_upstream", "no endpoint of the upstream is available"};
    case upstream::AcquireError::kOverloaded:
      return {503, "upstream_overloaded",
              "the upstream has as many requests as its circuit breaker allows"};
    case upstream::AcquireError::kConnectFailed:
      return {503, "upstream_connect_failed",
              Text("no connection to the upstream: ", acquired.detail, arena)};
    case upstream::AcquireError::kConnectTimeout:
      return {503, "upstream_connect_timeout", "the upstream did not accept a connection in time"};
    case upstream::AcquireError::kTlsFailed:
      return {503, "upstream_tls_failed",
              Text("no TLS with the upstream: ", acquired.detail, arena)};
    case upstream::AcquireError::kCancelled:
      return ReplyForScope(scope_reason, arena);
  }
  return {500, "internal_error", "no connection and no error"};
}

LocalReply ReplyForUpstream(const absl::Status& status, base::Arena& arena) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return {502, "upstream_protocol_error",
              Text("the upstream sent no valid HTTP: ", status, arena)};
    case absl::StatusCode::kResourceExhausted:
      return {502, "upstream_headers_too_large",
              Text("the upstream's response head is too large: ", status, arena)};
    case absl::StatusCode::kDeadlineExceeded:
      return {504, "upstream_timeout", "the upstream did not answer in time"};
    case absl::StatusCode::kFailedPrecondition:
      return {502, "upstream_takes_no_tunnels", Text("", status, arena)};
    default:
      return {502, "upstream_reset",
              Text("the upstream closed the connection before it answered: ", status, arena)};
  }
}

bool IsExchangeTimeout(const absl::Status& reason) {
  return absl::IsDeadlineExceeded(reason) &&
         (reason.message() == kRouteTimeout || reason.message() == kGrpcTimeout);
}

LocalReply ReplyForBody(const absl::Status& reason, base::Arena& arena) {
  // Who is silent in the middle of a stream of messages may have said all that there is to say.
  if (!absl::IsDeadlineExceeded(reason) || reason.message() == kGrpcTimeout) {
    return ReplyForScope(reason, arena);
  }
  return {408, "body_timeout", Text("the request body did not come in time: ", reason, arena)};
}

LocalReply ReplyForScope(const absl::Status& reason, base::Arena& arena) {
  switch (reason.code()) {
    case absl::StatusCode::kDeadlineExceeded:
      if (reason.message() == kGrpcTimeout) {
        return {504, "grpc_timeout", "the time that the client gave has passed"};
      }
      if (reason.message() != kRouteTimeout) return ReplyForBody(reason, arena);
      return {504, "upstream_timeout",
              Text("the request was not answered in time: ", reason, arena)};
    case absl::StatusCode::kInvalidArgument:
      return {400, "invalid_body", Text("the request body is not valid: ", reason, arena)};
    case absl::StatusCode::kResourceExhausted:
      return {413, "body_too_large", Text("the request body is too large: ", reason, arena)};
    default:
      return {0, "client_disconnected", Text("", reason, arena)};
  }
}

}  // namespace portico::proxy
