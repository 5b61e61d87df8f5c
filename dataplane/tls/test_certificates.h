// Certificates made at test time. Knows no header of BoringSSL, so any test may use it.
#ifndef DATAPLANE_TLS_TEST_CERTIFICATES_H_
#define DATAPLANE_TLS_TEST_CERTIFICATES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/tls/server_context.h"

namespace portico::tls {

struct TestCertificate {
  std::string pem;  // The certificate alone.
  std::string key_pem;
  std::string fingerprint;  // SHA-256, lower-case hexadecimal.

  CertificatePair Pair(const std::string& name, const std::string& issuer_pem = "") const {
    return {name, pem + issuer_pem, key_pem, ""};
  }
};

struct TestCertificateOptions {
  enum class Key : uint8_t { kP256, kP384, kRsa };
  std::string common_name = "test";
  std::vector<std::string> alt_names;  // "DNS:a.example.com", "URI:spiffe://a/b", "IP:127.0.0.1"
  Key key = Key::kP256;
  bool authority = false;
  // Seconds from now.
  int64_t not_before = -3600;
  int64_t not_after = 24 * 3600;
};

// Signed by `issuer`, or by itself. Aborts when BoringSSL refuses.
TestCertificate MakeTestCertificate(const TestCertificateOptions& options,
                                    const TestCertificate* issuer = nullptr);

// One that signs others.
TestCertificate MakeTestAuthority(const std::string& name);
// For these DNS names, with a key on P-256.
TestCertificate MakeTestServer(const std::vector<std::string>& dns_names,
                               const TestCertificate& issuer);

}  // namespace portico::tls

#endif  // DATAPLANE_TLS_TEST_CERTIFICATES_H_
