// What serves exchanges: the seam between connections, which know HTTP's framing,
// and the proxy, which knows what to answer.
#ifndef DATAPLANE_HTTP_HANDLER_H_
#define DATAPLANE_HTTP_HANDLER_H_

#include <cstdint>
#include <string_view>

#include "dataplane/event/task.h"
#include "dataplane/http/stream.h"
#include "dataplane/net/address.h"
#include "dataplane/net/tls_info.h"

namespace portico::http {

// What is known of a connection; the same for all its exchanges.
struct ConnectionInfo {
  // The client: the source in the PROXY header where one is expected, otherwise who
  // opened the TCP connection.
  net::SocketAddress peer;
  // The listener, as its acceptor was told; the name lives as long as the
  // acceptor.
  uint32_t listener_id = 0;
  std::string_view listener_name;
  // True over TLS: what x-forwarded-proto says.
  bool secure = false;
  // What its handshake came to; nullptr in cleartext. Lives as long as the connection.
  const net::TlsInfo* tls = nullptr;
};

// Serves exchanges. One object serves all connections of a worker; calls overlap
// where a call waits. `stream` and `connection` live until the task has ended.
class ExchangeHandler {
 public:
  virtual ~ExchangeHandler() = default;

  // Serves one exchange. When the task ends a complete response was sent (a piece
  // with `end`), or Abort() was called, or a function of `stream` failed. Anything
  // else counts as Abort().
  virtual event::Task<void> Serve(ServerStream& stream, const ConnectionInfo& connection) = 0;

  // Answers a request that could not be read, so that it is logged, counted and
  // formatted like every local reply. `status`: 400, 408, 414, 417, 431, 501 or
  // 505. `reason`: a literal such as "invalid_host" (see http/h1_parser.h).
  // stream.request() holds what was understood, possibly nothing, and the request
  // has no body. The connection is closed afterwards.
  virtual event::Task<void> ServeError(ServerStream& stream, const ConnectionInfo& connection, int status,
                                       std::string_view reason) = 0;
};

}  // namespace portico::http

#endif  // DATAPLANE_HTTP_HANDLER_H_
