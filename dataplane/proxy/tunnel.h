// Both directions of a tunnel.
#ifndef DATAPLANE_PROXY_TUNNEL_H_
#define DATAPLANE_PROXY_TUNNEL_H_

#include "dataplane/base/clock.h"
#include "dataplane/event/task.h"
#include "dataplane/http/message.h"
#include "dataplane/http/stream.h"
#include "dataplane/proxy/exchange.h"

namespace portico::proxy {

// How long a tunnel of which one side has ended may stand still. Nanoseconds.
inline constexpr int64_t kHalfClosedIdleNanos = 30 * base::kNanosPerSecond;

// Sends `head`, the upstream's 101, and carries bytes both ways until both sides have
// ended, one is broken, or none has moved within the listener's stream_idle_timeout. A
// side that ends is ended at the other (half-close). The route's timeout ends with the
// head. Sets the exchange's reason where the tunnel did not end in order. True if the
// upstream broke it.
event::Task<bool> RelayTunnel(Exchange& exchange, http::ClientStream& upstream,
                              http::ResponseHead& head);

}  // namespace portico::proxy

#endif  // DATAPLANE_PROXY_TUNNEL_H_
