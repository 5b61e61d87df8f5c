// HTTP/2 to an upstream endpoint: many exchanges at a time (RFC 9113).
#ifndef DATAPLANE_UPSTREAM_H2_CLIENT_CONNECTION_H_
#define DATAPLANE_UPSTREAM_H2_CLIENT_CONNECTION_H_

#include <cstdint>
#include <memory>

#include "dataplane/base/clock.h"
#include "dataplane/event/loop.h"
#include "dataplane/http/h1_parser.h"
#include "dataplane/net/byte_stream.h"
#include "dataplane/observe/worker_metrics.h"
#include "dataplane/upstream/client_connection.h"

namespace portico::upstream {

struct H2ClientOptions {
  // Of a response, fields counted as in RFC 9113 section 6.5.2. Above: ResourceExhausted (502).
  http::H1Limits head;
  // As H1ClientOptions.
  int64_t idle_timeout = 0;
  // What :scheme says: "https" or "http".
  bool secure = false;
  // Streams at a time; fewer if the peer says so.
  uint32_t max_streams = 100;
  // Flow control windows as they are at first, in bytes: http/h2_window.h makes them larger. A
  // stream's is what a slow reader can make us hold; the connection's bytes are given back at once,
  // so that no reader stands in another one's way.
  uint32_t stream_window = 64 * 1024;
  uint32_t connection_window = 1024 * 1024;
  // While streams are open: no byte for `ping_after` is answered by a PING, and no byte for
  // `ping_timeout` after that ends the connection. Two PINGs without a response between them
  // are at least `ping_interval` apart: gRPC servers take offence at more.
  int64_t ping_after = 60 * base::kNanosPerSecond;
  int64_t ping_timeout = 20 * base::kNanosPerSecond;
  int64_t ping_interval = 310 * base::kNanosPerSecond;
  // While true, windows stay as they are at first. As `metrics`.
  const bool* memory_scarce = nullptr;
  // Outlives the connection; may be nullptr.
  observe::WorkerMetrics* metrics = nullptr;
};

// Takes a connected stream, with TLS after a handshake that chose "h2"; otherwise the peer is
// known to speak HTTP/2 (RFC 9113 section 3.3). Everything else is as with
// MakeH1ClientConnection(). Beyond ClientConnectionOwner's contract, OnConnectionUnusable()
// may come while streams are open.
//
// What streams say beyond http/stream.h: a request with `upgrade` is sent as extended CONNECT
// (RFC 8441) if the peer takes it, and its 2xx comes out as 101; otherwise sending fails with
// FailedPrecondition.
std::unique_ptr<ClientConnection> MakeH2ClientConnection(event::Loop& loop,
                                                         std::unique_ptr<net::ByteStream> stream,
                                                         const H2ClientOptions& options,
                                                         ClientConnectionOwner& owner);

}  // namespace portico::upstream

#endif  // DATAPLANE_UPSTREAM_H2_CLIENT_CONNECTION_H_
