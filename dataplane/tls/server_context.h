// How handshakes with clients go: certificates, client authentication, session tickets.
#ifndef DATAPLANE_TLS_SERVER_CONTEXT_H_
#define DATAPLANE_TLS_SERVER_CONTEXT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/net/tls_info.h"

namespace portico::tls {

enum class Version : uint8_t { kTls12, kTls13 };

// PEM and DER as in the Certificate resource of api/portico/v1.
struct CertificatePair {
  std::string name;  // For errors.
  std::string chain_pem;
  std::string key_pem;
  std::string ocsp_der;  // Empty: none.
};

struct ClientAuthentication {
  enum class Mode : uint8_t { kOff, kOptional, kRequired };
  Mode mode = Mode::kOff;
  std::string ca_pem;  // All bundles, one after the other.
  // As in the resource; empty: every name, every certificate.
  std::vector<std::string> subject_alt_names;
  std::vector<std::string> fingerprints;  // 64 lower-case hexadecimal digits.
};

struct ServerConfig {
  std::vector<CertificatePair> certificates;  // At least one; the first is the default.
  Version min_version = Version::kTls12;
  bool http2 = true;  // ALPN offers h2 before http/1.1.
  ClientAuthentication client_authentication;
  struct ServerName {
    std::vector<std::string> names;  // Lower case; "*.example.com" for one label.
    ClientAuthentication client_authentication;
  };
  std::vector<ServerName> server_names;
  // 32 bytes each, the newest first; empty: no session tickets.
  std::vector<std::string> ticket_secrets;
};

// Immutable, shared by all workers, kept alive by its connections.
class ServerContext : public net::ClientAuthenticationTable {
 public:
  // InvalidArgument names the certificate or bundle that is not good, never its content.
  static absl::StatusOr<std::shared_ptr<const ServerContext>> Create(const ServerConfig& config);
  virtual ~ServerContext() = default;

  struct Expiry {
    std::string name;       // CertificatePair::name
    int64_t not_after = 0;  // Unix seconds, the earliest of its chain.
  };
  virtual const std::vector<Expiry>& expiries() const = 0;
};

}  // namespace portico::tls

#endif  // DATAPLANE_TLS_SERVER_CONTEXT_H_
