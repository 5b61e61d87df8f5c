#include "dataplane/tls/client_hello.h"

#include <openssl/bytestring.h>

namespace portico::tls {
namespace {

bool Extension(const SSL_CLIENT_HELLO& hello, uint16_t type, CBS& out) {
  const uint8_t* data = nullptr;
  size_t size = 0;
  if (!SSL_early_callback_ctx_extension_get(&hello, type, &data, &size)) return false;
  CBS_init(&out, data, size);
  return true;
}

bool Contains(CBS list, uint16_t wanted) {
  uint16_t value = 0;
  while (CBS_get_u16(&list, &value)) {
    if (value == wanted) return true;
  }
  return false;
}

// A list of 16-bit numbers behind its 16-bit length.
bool ListContains(const SSL_CLIENT_HELLO& hello, uint16_t type, uint16_t wanted) {
  CBS extension, list;
  return Extension(hello, type, extension) && CBS_get_u16_length_prefixed(&extension, &list) &&
         Contains(list, wanted);
}

bool OffersTls13(const SSL_CLIENT_HELLO& hello) {
  CBS extension, list;
  return Extension(hello, TLSEXT_TYPE_supported_versions, extension) &&
         CBS_get_u8_length_prefixed(&extension, &list) && Contains(list, TLS1_3_VERSION);
}

bool OffersEcdsaSuite(const SSL_CLIENT_HELLO& hello) {
  // AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305.
  constexpr uint16_t kSuites[] = {0xc02b, 0xc02c, 0xcca9};
  for (const uint16_t suite : kSuites) {
    CBS list;
    CBS_init(&list, hello.cipher_suites, hello.cipher_suites_len);
    if (Contains(list, suite)) return true;
  }
  return false;
}

}  // namespace

bool TakesEcdsa(const SSL_CLIENT_HELLO& hello, uint16_t algorithm, uint16_t curve) {
  if (!ListContains(hello, TLSEXT_TYPE_signature_algorithms, algorithm)) return false;
  if (OffersTls13(hello)) return true;
  return OffersEcdsaSuite(hello) && ListContains(hello, TLSEXT_TYPE_supported_groups, curve);
}

}  // namespace portico::tls
