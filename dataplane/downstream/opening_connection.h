// A client connection until it is known what it speaks.
#ifndef DATAPLANE_DOWNSTREAM_OPENING_CONNECTION_H_
#define DATAPLANE_DOWNSTREAM_OPENING_CONNECTION_H_

#include <memory>

#include "absl/status/status.h"
#include "dataplane/downstream/connection.h"
#include "dataplane/downstream/server_context.h"
#include "dataplane/event/cancel.h"
#include "dataplane/event/task.h"
#include "dataplane/http/h1_input.h"
#include "dataplane/http/handler.h"
#include "dataplane/net/byte_stream.h"
#include "dataplane/tls/tls_stream.h"

namespace portico::downstream {

// Reads the PROXY header, makes the TLS handshake, looks at the first bytes, and then lets its
// owner put the connection of the right protocol in its place.
class OpeningConnection final : public ServerConnection {
 public:
  // `peer`: who connected. `context` outlives it.
  OpeningConnection(ServerContext& context, std::unique_ptr<net::ByteStream> stream,
                    const net::SocketAddress& peer);
  ~OpeningConnection() override;
  OpeningConnection(const OpeningConnection&) = delete;
  OpeningConnection& operator=(const OpeningConnection&) = delete;

  void Start() override;
  void Drain() override;
  void ForceClose(const absl::Status& reason) override;
  bool idle() const override { return resting_; }

 private:
  // False: the connection ends, and nobody is owed an answer.
  event::Task<bool> Open();
  event::Task<void> Run();
  event::Task<bool> ReadProxyHeader();
  event::Task<bool> MakeHandshake();
  event::Task<void> RefusePlainHttp();
  event::Task<bool> ReadFirstBytes();
  // More bytes than those that are unread, of at most `limit` that are wanted. False: there are
  // no more.
  event::Task<bool> ReceiveMore(size_t limit);
  void Rest(int64_t nanos, const char* what);
  std::unique_ptr<ServerConnection> Next();

  ServerContext& context_;
  std::unique_ptr<net::ByteStream> stream_;
  http::ConnectionInfo info_;
  http::H1Input input_;
  event::CancelScope scope_;
  event::MovingDeadline deadline_;
  tls::TlsStream* tls_ = nullptr;  // stream_, over TLS.
  bool preface_ = false;           // HTTP/2 in cleartext.
  bool started_ = false;
  bool ended_ = false;
  bool draining_ = false;
  // Nothing was received yet.
  bool resting_ = false;
};

}  // namespace portico::downstream

#endif  // DATAPLANE_DOWNSTREAM_OPENING_CONNECTION_H_
