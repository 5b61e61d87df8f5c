#ifndef PORTICO_TESTS_HYGIENE_BORINGSSL_HANDSHAKE_H_
#define PORTICO_TESTS_HYGIENE_BORINGSSL_HANDSHAKE_H_

#include <string>

namespace portico::hygiene {

struct PemIdentity {
  std::string certificate;
  std::string private_key;
};

// Makes a P-256 key and a self-signed certificate for "localhost".
PemIdentity MakeIdentity();

// Runs one TLS handshake in memory between a client and a server that presents `identity`. Returns
// the version that was agreed on ("TLSv1.3"), or an empty string.
std::string HandshakeInMemory(const PemIdentity& identity);

}  // namespace portico::hygiene

#endif  // PORTICO_TESTS_HYGIENE_BORINGSSL_HANDSHAKE_H_
