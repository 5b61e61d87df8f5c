// One exchange on a connection, for either role and any HTTP version: what the
// proxy's story of a request is written against. Pull, not push: the reader asks,
// which is how back-pressure reaches the peer.
//
// Tunnels: a request whose head names an `upgrade` has no body of its own. If the response
// is 101, the bodies of both directions are from then on the tunnel's bytes, each ending
// when its side ends. If it is any other, nothing is tunneled and both go on as HTTP.
// HTTP/2's extended CONNECT (RFC 8441) is given to the proxy as what it stands for: a GET with
// Version::kHttp2 and an `upgrade`; there 200 is what 101 is here, and no other 2xx is sent. An
// HTTP/2 upstream's 200 to one is given as 101, with Version::kHttp2.
#ifndef DATAPLANE_HTTP_STREAM_H_
#define DATAPLANE_HTTP_STREAM_H_

#include <cstddef>
#include <limits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataplane/event/cancel.h"
#include "dataplane/event/task.h"
#include "dataplane/http/message.h"

namespace portico::http {

// The downstream side of an exchange: an HTTP/1.1 request or an HTTP/2 stream.
// Error codes of all functions: Cancelled (the client left), DeadlineExceeded
// (idle or exchange deadline), InvalidArgument (bad framing: answer 400),
// ResourceExhausted (a body over its limit: answer 413), Unavailable (I/O).
class ServerStream {
 public:
  virtual ~ServerStream() = default;

  // The policies edit it in place.
  virtual RequestHead& request() = 0;
  virtual base::Arena& arena() = 0;

  // Limits the request body; called before the first ReadBody().
  virtual void LimitBody(uint64_t max_bytes) = 0;

  // The next piece, as soon as at least one byte or the end is there. Sends "100
  // Continue" first if the client waits for it and nothing was sent yet.
  virtual event::Task<absl::StatusOr<BodyChunk>> ReadBody() = 0;
  // True if ReadBody() would end without waiting for the peer: what it gives then
  // can share a write with the head.
  virtual bool BodyBuffered() const { return false; }

  // Sends the head and, in the same write, the first piece of the body. Adds what
  // the framing needs (Connection, Transfer-Encoding, Date if absent); the caller
  // sets Content-Length through `body`. HEAD responses and 204/304 send no body.
  virtual event::Task<absl::Status> SendHead(const ResponseHead& head, BodyChunk first) = 0;
  // Completes when the piece is taken by the transport: this is the watermark.
  virtual event::Task<absl::Status> SendBody(BodyChunk chunk) = 0;

  // How large what is received for the next SendBody() should be, at least 16 KiB: a stream that
  // shares its connection with others says so, so that a client that takes nothing does not make
  // them hold much. As much counts as held until it is asked again: right before receiving.
  virtual size_t PieceLimit() { return std::numeric_limits<size_t>::max(); }
  // After SendHead(): whether SendBody() takes pieces that lie in a pipe.
  virtual bool TakesPipes() const { return false; }
  // From now on ReadBody() may leave large pieces in pipes (BodyChunk::pipe): the caller
  // looks at none of them and hands them to a stream that takes them.
  virtual void UsePipes() {}

  // Ends the exchange without a complete response; the client must see that it is
  // not complete (h1: connection reset or closed; h2: RST_STREAM).
  virtual void Abort() = 0;

  // What waits on this side, requested when the client leaves. Policies and the
  // upstream side of the exchange link into it too.
  virtual event::CancelScope& scope() = 0;

  // Bytes for the access log.
  virtual uint64_t request_body_bytes() const = 0;
  virtual uint64_t response_body_bytes() const = 0;
};

// The upstream side. Errors: Unavailable (reset or closed; `unprocessed()` tells
// whether sending again is safe), InvalidArgument (bad framing: answer 502),
// ResourceExhausted (head too large: 502), DeadlineExceeded, Cancelled.
class ClientStream {
 public:
  virtual ~ClientStream() = default;

  // Sends the request as `head` says: method, target, Host, fields; framing is
  // added from head.body.
  virtual event::Task<absl::Status> SendHead(const RequestHead& head, BodyChunk first) = 0;
  virtual event::Task<absl::Status> SendBody(BodyChunk chunk) = 0;
  // The final response head; 1xx are skipped (100) or dropped.
  virtual event::Task<absl::StatusOr<ResponseHead*>> ReadHead() = 0;
  virtual event::Task<absl::StatusOr<BodyChunk>> ReadBody() = 0;
  // As ServerStream's.
  virtual bool BodyBuffered() const { return false; }
  // From now on one receive for ReadBody() takes no more than this, where the stream receives for
  // itself alone.
  virtual void LimitPiece(size_t /*bytes*/) {}
  virtual bool TakesPipes() const { return false; }
  virtual void UsePipes() {}

  // True when the peer seems not to have acted on the request: the connection was reused
  // and ended before the first byte of a response.
  virtual bool unprocessed() const = 0;
  // True when the peer said so itself: whatever the method, the request may be sent again
  // (HTTP/2: REFUSED_STREAM, or a GOAWAY that leaves this stream out, RFC 9113 section 8.7;
  // and a stream that was never sent). Implies unprocessed().
  virtual bool refused() const { return false; }
};

}  // namespace portico::http

#endif  // DATAPLANE_HTTP_STREAM_H_
