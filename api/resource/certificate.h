// Certificates and private keys as what they say: read, held against each other, and described.
#ifndef API_RESOURCE_CERTIFICATE_H_
#define API_RESOURCE_CERTIFICATE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace portico::api {

// One reason why it is not accepted. Never holds key material.
struct CertificateProblem {
  std::string field;  // "chain", "private_key", "ocsp_response", "certificates".
  std::string value;
  std::string reason;
  std::string fix;
};

// A certificate as people want to see it.
struct CertificateSummary {
  std::string subject;                 // RFC 2253.
  std::vector<std::string> dns_names;  // Subject alternative names.
  std::string key;                     // "ECDSA P-256", "RSA 2048"; other names for others.
  int64_t not_before = 0;              // Unix seconds.
  int64_t not_after = 0;
};

struct CertificateInspection {
  std::vector<CertificateProblem> problems;  // Empty when it is accepted.
  std::vector<CertificateSummary> chain;     // Those that could be read, the leaf first.
};

// The bounds of Certificate and CaBundle in api/portico/v1/certificate.proto.
inline constexpr size_t kMaxChainBytes = 64 * 1024;
inline constexpr size_t kMaxChain = 16;
inline constexpr size_t kMaxKeyBytes = 16 * 1024;
inline constexpr size_t kMaxOcspBytes = 16 * 1024;
inline constexpr size_t kMaxBundleBytes = 1024 * 1024;
inline constexpr size_t kMaxBundle = 1000;

// Reads a pair and says everything that is wrong with it: a part that cannot be read, a chain of
// which a certificate is not signed by the next, a key that is not the leaf's, a key of another
// sort or size than is served, a response about another certificate. The time is not looked at.
// `ocsp_response` may be empty.
CertificateInspection InspectCertificate(std::string_view chain, std::string_view private_key,
                                         std::string_view ocsp_response);

// The same of a bundle: its certificates in the order in which they stand there.
CertificateInspection InspectCaBundle(std::string_view certificates);

}  // namespace portico::api

#endif  // API_RESOURCE_CERTIFICATE_H_
