// Responses that the proxy makes itself.
#ifndef DATAPLANE_PROXY_LOCAL_REPLY_H_
#define DATAPLANE_PROXY_LOCAL_REPLY_H_

#include <string_view>

#include "dataplane/base/arena.h"
#include "dataplane/http/message.h"
#include "dataplane/proxy/grpc.h"
#include "dataplane/snapshot/policy.h"

namespace portico::proxy {

// A head and a whole body, both in the arena.
struct RenderedReply {
  explicit RenderedReply(base::Arena& arena) : head(arena) {}
  http::ResponseHead head;
  std::string_view body;
};

// {"error": message, "reason": reason, "request_id": id} as application/json; for
// a gRPC request a trailers-only response: status 200 with grpc-status and grpc-message; for
// grpc-web the same two in the trailer frame.
RenderedReply RenderLocalReply(const snapshot::LocalReply& reply, Grpc grpc,
                               std::string_view request_id, base::Arena& arena);

// gRPC status code for the HTTP status of a local reply: gRPC's "HTTP to gRPC Status Code
// Mapping", but that we know more than an HTTP status says: 429 and what is too large are
// RESOURCE_EXHAUSTED, and timeouts are DEADLINE_EXCEEDED.
int GrpcStatusFor(int http_status);

// grpc-message for a reply: "reason: message", percent-encoded.
std::string_view GrpcMessage(std::string_view reason, std::string_view message, base::Arena& arena);
// A number as text.
std::string_view Number(int value, base::Arena& arena);

// `text` as the inside of a JSON string (RFC 8259 section 7); bytes that are not
// ASCII are kept, control characters escaped.
std::string_view EscapeJson(std::string_view text, base::Arena& arena);

}  // namespace portico::proxy

#endif  // DATAPLANE_PROXY_LOCAL_REPLY_H_
