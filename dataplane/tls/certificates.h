// PEM and DER: chains, keys, the names and times in certificates.
#ifndef DATAPLANE_TLS_CERTIFICATES_H_
#define DATAPLANE_TLS_CERTIFICATES_H_

#include <openssl/evp.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataplane/net/tls_info.h"
#include "dataplane/tls/server_context.h"

namespace portico::tls {

// A CertificatePair, parsed and checked once.
struct Identity {
  std::string name;
  std::vector<bssl::UniquePtr<CRYPTO_BUFFER>> chain;  // The leaf first.
  bssl::UniquePtr<EVP_PKEY> key;
  std::string ocsp;
  std::vector<std::string> dns_names;  // The leaf's, in lower case.
  int64_t not_after = 0;               // Unix seconds, the earliest of the chain.
  // 0: RSA. Otherwise the signature algorithm that the key makes (RFC 8446 section 4.2.3) and the
  // curve it is on (section 4.2.7).
  uint16_t ecdsa_algorithm = 0;
  uint16_t curve = 0;
};

// Errors name the certificate and what to do, never content.
absl::StatusOr<Identity> ParseIdentity(const CertificatePair& pair);

// Gives chain, key and stapled response to `context`.
absl::Status UseIdentity(SSL_CTX* context, const Identity& identity);

// All certificates of a PEM text. `what` names it in errors. At least one.
absl::StatusOr<std::vector<bssl::UniquePtr<X509>>> ParseCertificates(const std::string& pem,
                                                                     const std::string& what);

// Names and fingerprint. False: it cannot be read.
bool ReadCertificate(const CRYPTO_BUFFER* der, X509* certificate, net::PeerCertificate& out,
                     std::vector<std::string>* addresses);

// The reason of the newest error of this thread, whose errors are cleared.
std::string TakeError();

// A hash function's 32 bytes.
std::string Sha256(const std::string& text);

}  // namespace portico::tls

#endif  // DATAPLANE_TLS_CERTIFICATES_H_
