// How handshakes with upstream endpoints go.
#ifndef DATAPLANE_TLS_CLIENT_CONTEXT_H_
#define DATAPLANE_TLS_CLIENT_CONTEXT_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/tls/server_context.h"

namespace portico::tls {

struct ClientConfig {
  std::string ca_pem;       // All bundles, one after the other.
  std::string server_name;  // SNI; empty: none is sent.
  // One of these must be in the certificate; empty: `server_name` must.
  std::vector<std::string> subject_alt_names;
  bool verify = true;
  std::optional<CertificatePair> certificate;
  Version min_version = Version::kTls12;
  // Offered by ALPN, the preferred first: "h2", "http/1.1".
  std::vector<std::string> applications;
};

// Immutable but for its cache of sessions, which is thread-safe and bounded: connections resume.
class ClientContext {
 public:
  // InvalidArgument names what is not good, never its content.
  static absl::StatusOr<std::shared_ptr<const ClientContext>> Create(const ClientConfig& config);
  virtual ~ClientContext() = default;
};

}  // namespace portico::tls

#endif  // DATAPLANE_TLS_CLIENT_CONTEXT_H_
