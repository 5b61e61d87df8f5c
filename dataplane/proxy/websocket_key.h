// The handshake of WebSockets (RFC 6455 section 4) that the proxy makes for HTTP/2 clients.
#ifndef DATAPLANE_PROXY_WEBSOCKET_KEY_H_
#define DATAPLANE_PROXY_WEBSOCKET_KEY_H_

#include <string_view>

#include "dataplane/base/arena.h"
#include "dataplane/upstream/random.h"

namespace portico::proxy {

// A Sec-WebSocket-Key: 16 random bytes in base64. It need not be secret: it shows that whoever
// answers speaks the protocol.
std::string_view MakeWebSocketKey(upstream::Random& random, base::Arena& arena);

// The Sec-WebSocket-Accept that belongs to it.
std::string_view WebSocketAccept(std::string_view key, base::Arena& arena);

}  // namespace portico::proxy

#endif  // DATAPLANE_PROXY_WEBSOCKET_KEY_H_
