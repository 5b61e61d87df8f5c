// HTTP/1.1 to an upstream endpoint: one exchange at a time.
#ifndef DATAPLANE_UPSTREAM_H1_CLIENT_CONNECTION_H_
#define DATAPLANE_UPSTREAM_H1_CLIENT_CONNECTION_H_

#include <cstdint>
#include <memory>

#include "dataplane/event/loop.h"
#include "dataplane/http/h1_parser.h"
#include "dataplane/net/byte_stream.h"
#include "dataplane/upstream/client_connection.h"

namespace portico::upstream {

struct H1ClientOptions {
  // Of a response. Above: ResourceExhausted (502).
  http::H1Limits head;
  // Time without a byte from the upstream while one is awaited, or without it
  // taking any: DeadlineExceeded. Nanoseconds; 0: none (the exchange's own deadline
  // rules).
  int64_t idle_timeout = 0;
};

// Takes a connected stream. A receive is armed from the beginning, so that a peer
// that leaves while the connection rests is noticed. ReadHead() and ReadBody() may
// wait while SendHead() or SendBody() does: early responses are seen early.
// `loop` and `owner` outlive the connection; buffers come from
// loop.upstream_buffers().
std::unique_ptr<ClientConnection> MakeH1ClientConnection(event::Loop& loop, std::unique_ptr<net::ByteStream> stream,
                                                         const H1ClientOptions& options, ClientConnectionOwner& owner);

}  // namespace portico::upstream

#endif  // DATAPLANE_UPSTREAM_H1_CLIENT_CONNECTION_H_
