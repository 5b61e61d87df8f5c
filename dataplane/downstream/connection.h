// What an acceptor knows of a connection, whatever HTTP version it speaks.
#ifndef DATAPLANE_DOWNSTREAM_CONNECTION_H_
#define DATAPLANE_DOWNSTREAM_CONNECTION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "dataplane/base/clock.h"
#include "dataplane/http/h1_parser.h"
#include "dataplane/net/address.h"
#include "dataplane/net/tls_info.h"

namespace portico::downstream {

// Limits and deadlines of one connection: ConnectionLimits of api/portico/v1, with
// its defaults. Durations in nanoseconds.
struct ConnectionOptions {
  http::H1Limits head;                                        // Above: 431.
  uint64_t max_body_bytes = 0;                                // Above: 413. 0: no limit.
  int64_t header_timeout = 10 * base::kNanosPerSecond;        // Above: 408 and close.
  int64_t stream_idle_timeout = 300 * base::kNanosPerSecond;  // Above: the exchange ends.
  int64_t idle_timeout = 3600 * base::kNanosPerSecond;        // Above: silent close.
  uint32_t max_requests_per_connection = 0;                   // 0: no limit.
  // If set, read at every response: when true, it says that its connection closes
  // (drain, first phase). Must outlive the connection.
  const bool* announce_close = nullptr;
  // As announce_close, for a proxy that is short of memory.
  const bool* overloaded = nullptr;
  // Connections of one source address, all workers together; above: closed at once. 0: no
  // limit.
  uint32_t max_connections_per_address = 0;
  // While true, HTTP/2 windows stay as small as they are at first. Must outlive the connection.
  const bool* memory_scarce = nullptr;
  // HTTP/2: Http2 of api/portico/v1: in cleartext for who begins with its preface, over TLS for
  // who chose it. Windows in bytes.
  bool http2 = true;
  uint32_t http2_max_streams = 100;
  uint32_t http2_stream_window = 64 * 1024;
  uint32_t http2_connection_window = 1 << 20;
  // A PROXY header is required; connections without one are closed at once.
  bool proxy_protocol = false;
  // Over TLS, from the acceptance (or the PROXY header) to the end of the handshake. Above:
  // closed.
  int64_t tls_handshake_timeout = 10 * base::kNanosPerSecond;
  // What an answered request may still send of its body while it is read and
  // dropped; above: the connection is closed.
  uint64_t max_drain_bytes = 64 * 1024;
  // How long a closing connection waits for the client to read the last response,
  // and for the rest of a request body that is dropped.
  int64_t linger_timeout = 2 * base::kNanosPerSecond;
  // How long a resting connection that is drained may still bring one more request,
  // answered with "Connection: close": a client that just sent one sees no failure.
  int64_t drain_grace = 500 * base::kNanosPerMilli;
  // How long an exchange goes on after its client closed its side. Clients that
  // only half-close get answers that begin within it; the others are not there
  // any more, and what was done for them is cancelled.
  int64_t half_close_grace = base::kNanosPerSecond;
};

// Is told what happens to connections, for metrics. Called on the worker's thread;
// must not close connections. Literals live for ever.
class ConnectionObserver {
 public:
  virtual ~ConnectionObserver() = default;
  virtual void OnConnectionOpened() = 0;
  virtual void OnConnectionClosed() = 0;
  // A peer broke a rule: the reasons of http/h1_parser.h and h1_body.h,
  // "proxy_protocol", "header_timeout", "idle_body", "tls_handshake_failed",
  // "plain_http_on_tls".
  virtual void OnProtocolError(std::string_view reason) = 0;
  // A TLS handshake ended well, or not: the reasons of TlsStream::failure().
  virtual void OnHandshake(const net::TlsInfo&) {}
  virtual void OnHandshakeFailed(std::string_view) {}
  // Accepted and given to another worker, whose observer is told that it opened.
  virtual void OnConnectionHandedOver() {}
  // Not accepted: "max_connections", "max_process_connections",
  // "max_connections_per_address" or "no_descriptors".
  virtual void OnConnectionRefused(std::string_view reason) = 0;
};

class ServerConnection;

// Who holds connections and is told of their end.
class ConnectionOwner {
 public:
  virtual ~ConnectionOwner() = default;
  // Nothing of the connection is pending any more. The owner destroys it, here or
  // later.
  virtual void OnConnectionEnded(ServerConnection& connection) = 0;
  // Who the client is was told by a PROXY header. False: it has too many connections, and
  // this one is to be closed.
  virtual bool CountAddress(ServerConnection&, const net::IpAddress&) { return true; }
  // `to` goes on with what `from` began, in its place; it is not started yet. `from` is
  // destroyed.
  virtual void OnConnectionReplaced(ServerConnection& /*from*/,
                                    std::unique_ptr<ServerConnection> /*to*/) {}
};

// One client connection, from its acceptance to OnConnectionEnded() or OnConnectionReplaced(),
// which is the last thing it does and never comes from inside one of these functions.
class ServerConnection {
 public:
  virtual ~ServerConnection() = default;
  // Begins to serve. May be called once.
  virtual void Start() = 0;
  // Ends it at its next rest: a busy one after its exchanges, whose responses say
  // that it closes; an idle one after drain_grace or one more exchange. May come before Start().
  virtual void Drain() = 0;
  // Ends it now: exchanges are cancelled with `reason`, the client sees a reset if
  // it is owed something.
  virtual void ForceClose(const absl::Status& reason) = 0;
  // True while no exchange is open and no part of a request was received.
  virtual bool idle() const = 0;

  // For the owner: its list, and the address that it is counted with.
  ServerConnection* next = nullptr;
  ServerConnection* previous = nullptr;
  std::optional<net::IpAddress> counted_address;
};

}  // namespace portico::downstream

#endif  // DATAPLANE_DOWNSTREAM_CONNECTION_H_
