// Both directions of a tunnel.
#ifndef DATAPLANE_PROXY_TUNNEL_H_
#define DATAPLANE_PROXY_TUNNEL_H_

#include <optional>

#include "dataplane/base/clock.h"
#include "dataplane/event/task.h"
#include "dataplane/http/message.h"
#include "dataplane/http/stream.h"
#include "dataplane/proxy/exchange.h"
#include "dataplane/snapshot/policy.h"

namespace portico::proxy {

// How long a tunnel of which one side has ended may stand still. Nanoseconds.
inline constexpr int64_t kHalfClosedIdleNanos = 30 * base::kNanosPerSecond;

// A request for a tunnel: for a client that speaks HTTP/2, and so has no Sec-WebSocket-Key (RFC
// 8441 section 5), one is made.
void PrepareUpgrade(Exchange& exchange);

// The response head to it, made what the client's version of HTTP wants: 101 and
// Sec-WebSocket-Accept, or 200. The reply to make if it cannot be handed on: a wrong
// Sec-WebSocket-Accept, or a 2xx that an HTTP/2 client would take for a tunnel.
std::optional<snapshot::LocalReply> TakeUpgradeHead(Exchange& exchange, http::ResponseHead& head);

// Whether the response head to such a request, after that, opens one.
bool IsTunnel(const Exchange& exchange, const http::ResponseHead& head);

// Sends `head`, which opens a tunnel, and carries bytes both ways until both sides have
// ended, one is broken, or none has moved within the listener's stream_idle_timeout. A
// side that ends is ended at the other (half-close). The route's timeout ends with the
// head. Sets the exchange's reason where the tunnel did not end in order. True if the
// upstream broke it.
event::Task<bool> RelayTunnel(Exchange& exchange, http::ClientStream& upstream,
                              http::ResponseHead& head);

}  // namespace portico::proxy

#endif  // DATAPLANE_PROXY_TUNNEL_H_
