// What a ClientHello says, as far as a certificate is chosen by it.
#ifndef DATAPLANE_TLS_CLIENT_HELLO_H_
#define DATAPLANE_TLS_CLIENT_HELLO_H_

#include <openssl/ssl.h>

#include <cstdint>

namespace portico::tls {

// Whether the client can take a certificate whose key makes this signature on this curve (RFC 8446
// section 4.2.3; in TLS 1.2 also RFC 8422 sections 2 and 5.1).
bool TakesEcdsa(const SSL_CLIENT_HELLO& hello, uint16_t algorithm, uint16_t curve);

}  // namespace portico::tls

#endif  // DATAPLANE_TLS_CLIENT_HELLO_H_
