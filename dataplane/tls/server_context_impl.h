#ifndef DATAPLANE_TLS_SERVER_CONTEXT_IMPL_H_
#define DATAPLANE_TLS_SERVER_CONTEXT_IMPL_H_

#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "dataplane/tls/certificates.h"
#include "dataplane/tls/connection.h"
#include "dataplane/tls/server_context.h"
#include "dataplane/tls/ticket_keys.h"
#include "dataplane/tls/verify.h"

namespace portico::tls {

// What is shown for one name: of several certificates that fit the first of each kind, by place.
struct CertificateSet {
  static constexpr int kNone = -1;
  int ecdsa = kNone;
  int rsa = kNone;
  std::string hash;  // Of all chains.
};

class ServerContextImpl final : public ServerContext {
 public:
  absl::Status Init(const ServerConfig& config);

  int ClientAuthenticationFor(std::string_view host) const override;
  const std::vector<Expiry>& expiries() const override { return expiries_; }

  // A connection that begins; chooses certificate and client authentication by itself.
  SSL* NewConnection() const { return SSL_new(certificates_.front().context.get()); }

 private:
  struct Certificate {
    Identity identity;
    // With all settings and this certificate: a connection is moved to the one of its choice.
    bssl::UniquePtr<SSL_CTX> context;
  };
  struct Authentication {
    ClientAuthentication::Mode mode = ClientAuthentication::Mode::kOff;
    std::unique_ptr<PeerVerifier> verifier;
    std::string hash;
  };

  absl::StatusOr<bssl::UniquePtr<SSL_CTX>> NewContext(const Identity& identity,
                                                      Version min_version);
  absl::Status AddCertificates(const ServerConfig& config);
  absl::Status AddAuthentication(const ClientAuthentication& authentication,
                                 const std::string& what);
  void AddNames();
  void AddTo(CertificateSet& set, int place) const;
  void Seal(CertificateSet& set) const;
  const CertificateSet& SetFor(std::string_view name) const;

  static ssl_select_cert_result_t OnClientHello(const SSL_CLIENT_HELLO* hello);
  void Choose(const SSL_CLIENT_HELLO& hello, ConnectionState& state) const;
  static int ChooseApplication(SSL* ssl, const uint8_t** out, uint8_t* out_size, const uint8_t* in,
                               unsigned in_size, void* self);
  static int OnTicket(SSL* ssl, uint8_t* key_name, uint8_t* iv, EVP_CIPHER_CTX* cipher,
                      HMAC_CTX* hmac, int encrypt);

  std::vector<Certificate> certificates_;
  CertificateSet default_set_;
  absl::flat_hash_map<std::string, CertificateSet> exact_;
  absl::flat_hash_map<std::string, CertificateSet> wildcard_;  // By what follows "*.".
  std::vector<Authentication> authentications_;  // The listener's, then one for each name.
  absl::flat_hash_map<std::string, int> authentication_exact_;
  absl::flat_hash_map<std::string, int> authentication_wildcard_;
  std::unique_ptr<TicketKeys> tickets_;
  std::vector<Expiry> expiries_;
  bool http2_ = true;
};

}  // namespace portico::tls

#endif  // DATAPLANE_TLS_SERVER_CONTEXT_IMPL_H_
