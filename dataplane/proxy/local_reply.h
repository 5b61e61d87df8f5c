// Responses that the proxy makes itself.
#ifndef DATAPLANE_PROXY_LOCAL_REPLY_H_
#define DATAPLANE_PROXY_LOCAL_REPLY_H_

#include <string_view>

#include "dataplane/base/arena.h"
#include "dataplane/http/message.h"
#include "dataplane/snapshot/policy.h"

namespace portico::proxy {

// A head and a whole body, both in the arena.
struct RenderedReply {
  explicit RenderedReply(base::Arena& arena) : head(arena) {}
  http::ResponseHead head;
  std::string_view body;
};

// {"error": message, "reason": reason, "request_id": id} as application/json; for
// a gRPC request (content-type application/grpc...) a trailers-only response:
// status 200 with grpc-status and grpc-message. `request` may be nullptr when none
// could be read.
RenderedReply RenderLocalReply(const snapshot::LocalReply& reply, const http::RequestHead* request,
                               std::string_view request_id, base::Arena& arena);

// gRPC status code for an HTTP status (gRPC "HTTP to gRPC Status Code Mapping",
// with 429 as RESOURCE_EXHAUSTED).
int GrpcStatusFor(int http_status);

// `text` as the inside of a JSON string (RFC 8259 section 7); bytes that are not
// ASCII are kept, control characters escaped.
std::string_view EscapeJson(std::string_view text, base::Arena& arena);

}  // namespace portico::proxy

#endif  // DATAPLANE_PROXY_LOCAL_REPLY_H_
