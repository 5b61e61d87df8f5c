// Certificates for tests, made when asked for, so that no key lies in the tree.
#ifndef API_RESOURCE_TEST_CERTIFICATES_H_
#define API_RESOURCE_TEST_CERTIFICATES_H_

#include <cstdint>
#include <string>
#include <vector>

namespace portico::api {

struct TestPair {
  std::string certificate;  // PEM, this one only.
  std::string key;          // PEM, PKCS #8.
};

struct TestCertificateOptions {
  std::string subject = "test";             // Common name.
  std::vector<std::string> dns_names = {};  // Subject alternative names.
  // "P-256", "P-384", "P-521", "RSA-1024", "RSA-2048", "Ed25519".
  std::string key = "P-256";
  const TestPair* issuer = nullptr;  // nullptr: it signs itself.
  bool is_authority = false;
  uint64_t serial = 1;
  int64_t not_before = 1'600'000'000;  // Unix seconds.
  int64_t not_after = 4'000'000'000;
};

// Aborts when it cannot be made.
TestPair MakeTestCertificate(const TestCertificateOptions& options);

// The key of a pair in the form that `openssl ecparam -genkey` or `openssl genrsa -traditional`
// writes, and encrypted with a passphrase.
std::string TraditionalKey(const TestPair& pair);
std::string EncryptedKey(const TestPair& pair);

enum class TestOcspStatus { kGood, kRevoked, kUnknown };
// A response about the certificate of this serial number, DER. Its signature is none.
std::string MakeTestOcsp(uint64_t serial, TestOcspStatus status);

}  // namespace portico::api

#endif  // API_RESOURCE_TEST_CERTIFICATES_H_
