// Whether a peer's certificate is good.
#ifndef DATAPLANE_TLS_VERIFY_H_
#define DATAPLANE_TLS_VERIFY_H_

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataplane/net/tls_info.h"
#include "dataplane/tls/names.h"

namespace portico::tls {

// What is asked of a peer's certificate. Immutable.
class PeerVerifier {
 public:
  enum class Peer : uint8_t { kClient, kServer };
  struct Rules {
    std::string ca_pem;  // Of at least one certificate, unless `any_issuer`.
    // Nothing is checked: for who asked for it.
    bool any_issuer = false;
    std::vector<std::string> names;         // See NameRules.
    std::vector<std::string> fingerprints;  // 64 lower-case hexadecimal digits.
    std::string address;                    // The bytes of an address that it must be for.
  };
  // `what` names the bundle in errors: InvalidArgument.
  static absl::StatusOr<std::unique_ptr<PeerVerifier>> Create(Peer peer, const Rules& rules,
                                                              const std::string& what);

  // Unauthenticated says what is not good. `alert` is then what to tell the peer. `out` has the
  // certificate's names even if it is not good. `chain`: as SSL_get0_peer_certificates() has it.
  absl::Status Verify(const STACK_OF(CRYPTO_BUFFER) * chain, net::PeerCertificate& out,
                      uint8_t& alert) const;

  bool any_issuer() const { return any_issuer_; }
  // The subjects of the bundle, for the request; empty if they are too many to send.
  bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> Authorities() const;

 private:
  PeerVerifier(Peer peer, const Rules& rules);
  absl::Status VerifyChain(X509* leaf, STACK_OF(X509) * others, uint8_t& alert) const;

  const Peer peer_;
  const bool any_issuer_;
  const NameRules names_;
  const std::vector<std::string> fingerprints_;  // Sorted.
  const std::string address_;
  bssl::UniquePtr<X509_STORE> store_;
  std::vector<bssl::UniquePtr<CRYPTO_BUFFER>> authorities_;
};

}  // namespace portico::tls

#endif  // DATAPLANE_TLS_VERIFY_H_
