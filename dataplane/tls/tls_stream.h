// A byte stream that encrypts another one.
#ifndef DATAPLANE_TLS_TLS_STREAM_H_
#define DATAPLANE_TLS_TLS_STREAM_H_

#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "dataplane/base/buffer.h"
#include "dataplane/event/cancel.h"
#include "dataplane/event/loop.h"
#include "dataplane/event/task.h"
#include "dataplane/net/byte_stream.h"
#include "dataplane/net/tls_info.h"
#include "dataplane/tls/client_context.h"
#include "dataplane/tls/server_context.h"

namespace portico::tls {

// What is sent and received before Handshake() has ended well is an error. The end that the peer
// announces (close_notify) is the end of stream; one that it does not is an error, too:
// Unavailable, so that nobody takes a cut response for a whole one. A resting stream holds no
// buffer.
class TlsStream : public net::ByteStream {
 public:
  // Once. Errors: Unauthenticated (the peer's certificate is not good, or it says that ours is
  // not; the message names the reason), InvalidArgument (what it sends is no TLS, or nothing that
  // both sides speak), Unavailable (it left), or the scope's reason. The peer is sent an alert.
  virtual event::Task<absl::Status> Handshake(event::CancelScope& scope) = 0;
  // After Handshake(); lives as long as the stream.
  virtual const net::TlsInfo& info() const = 0;
  // After a Handshake() that failed, for metrics; a literal: "peer_certificate" (it is not good),
  // "no_peer_certificate", "certificate_refused" (the peer did not take ours), "peer_alert",
  // "no_common_version", "no_common_cipher", "no_common_application", "not_tls", "bad_message",
  // "closed", "timeout", "cancelled".
  virtual std::string_view failure() const = 0;
};

// `received`: what came from the peer already, possibly empty. `pool`: where buffers for encrypted
// bytes come from.
std::unique_ptr<TlsStream> MakeTlsServerStream(event::Loop& loop,
                                               std::unique_ptr<net::ByteStream> transport,
                                               std::shared_ptr<const ServerContext> context,
                                               base::BufferPool& pool, std::string_view received);
std::unique_ptr<TlsStream> MakeTlsClientStream(event::Loop& loop,
                                               std::unique_ptr<net::ByteStream> transport,
                                               std::shared_ptr<const ClientContext> context,
                                               base::BufferPool& pool);

}  // namespace portico::tls

#endif  // DATAPLANE_TLS_TLS_STREAM_H_
