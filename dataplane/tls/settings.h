// What handshakes of both roles have in common.
#ifndef DATAPLANE_TLS_SETTINGS_H_
#define DATAPLANE_TLS_SETTINGS_H_

#include <openssl/ssl.h>

#include <cstdint>

#include "dataplane/tls/server_context.h"

namespace portico::tls {

inline constexpr char kServerCurves[] = "X25519:P-256";
// Servers have certificates on this one, too.
inline constexpr char kClientCurves[] = "X25519:P-256:P-384";

// Versions, cipher suites, curves, signatures; no renegotiation, no early data. False: BoringSSL
// refuses.
bool ApplySettings(SSL_CTX* context, Version min_version, const char* curves);

// For SSL_set_custom_verify(): asks the verifier of the ConnectionState.
ssl_verify_result_t VerifyPeer(SSL* ssl, uint8_t* alert);

}  // namespace portico::tls

#endif  // DATAPLANE_TLS_SETTINGS_H_
