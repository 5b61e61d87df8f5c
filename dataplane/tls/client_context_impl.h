#ifndef DATAPLANE_TLS_CLIENT_CONTEXT_IMPL_H_
#define DATAPLANE_TLS_CLIENT_CONTEXT_IMPL_H_

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "dataplane/tls/client_context.h"
#include "dataplane/tls/session_cache.h"
#include "dataplane/tls/verify.h"

namespace portico::tls {

class ClientContextImpl final : public ClientContext {
 public:
  absl::Status Init(const ClientConfig& config);

  // A connection that begins, with its server name.
  SSL* NewConnection() const;
  const PeerVerifier& verifier() const { return *verifier_; }
  SessionCache& sessions() const { return sessions_; }

 private:
  static int OnNewSession(SSL* ssl, SSL_SESSION* session);

  bssl::UniquePtr<SSL_CTX> context_;
  std::unique_ptr<PeerVerifier> verifier_;
  std::string server_name_;  // SNI; empty: none, as for addresses.
  mutable SessionCache sessions_;
};

}  // namespace portico::tls

#endif  // DATAPLANE_TLS_CLIENT_CONTEXT_IMPL_H_
