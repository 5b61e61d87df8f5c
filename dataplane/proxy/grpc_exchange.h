// What is different in an exchange of gRPC.
#ifndef DATAPLANE_PROXY_GRPC_EXCHANGE_H_
#define DATAPLANE_PROXY_GRPC_EXCHANGE_H_

#include <optional>

#include "dataplane/event/task.h"
#include "dataplane/http/message.h"
#include "dataplane/proxy/exchange.h"
#include "dataplane/snapshot/policy.h"

namespace portico::proxy {

// Behind the policies: the request's deadline, "te: trailers", and, if the route has grpc_web,
// what turns grpc-web into gRPC. The reply to make if grpc-timeout is none.
std::optional<snapshot::LocalReply> PrepareGrpc(Exchange& exchange);

// The response head is here. What it says of its success: true, false, or nothing yet.
std::optional<bool> TakeGrpcHead(Exchange& exchange, const http::ResponseHead& head);
// The last piece of the response: only safe trailers go on. What they say, or nothing.
std::optional<bool> TakeLastPiece(Exchange& exchange, http::BodyChunk& piece);

// Whether a response that was begun and cannot be completed can end with a grpc-status: to an
// HTTP/2 client, whose DATA may end anywhere, or a bridged one. Then owes it (UNAVAILABLE, or
// DEADLINE_EXCEEDED).
bool OweGrpcStatus(Exchange& exchange, bool deadline);
// Pays.
event::Task<void> EndWithGrpcStatus(Exchange& exchange);

}  // namespace portico::proxy

#endif  // DATAPLANE_PROXY_GRPC_EXCHANGE_H_
