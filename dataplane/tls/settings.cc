#include "dataplane/tls/settings.h"

#include <iterator>

#include "dataplane/tls/connection.h"
#include "dataplane/tls/verify.h"

namespace portico::tls {
namespace {

// For TLS 1.2: forward secret and authenticated. Within brackets the client chooses, who knows
// which of the two its processor is good at.
constexpr char kCiphers[] =
    "[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]:ECDHE-RSA-AES256-GCM-SHA384";

constexpr uint16_t kSignatures[] = {
    SSL_SIGN_ECDSA_SECP256R1_SHA256, SSL_SIGN_RSA_PSS_RSAE_SHA256, SSL_SIGN_RSA_PKCS1_SHA256,
    SSL_SIGN_ECDSA_SECP384R1_SHA384, SSL_SIGN_RSA_PSS_RSAE_SHA384, SSL_SIGN_RSA_PKCS1_SHA384,
    SSL_SIGN_RSA_PSS_RSAE_SHA512,    SSL_SIGN_RSA_PKCS1_SHA512,
};

}  // namespace

bool ApplySettings(SSL_CTX* context, Version min_version, const char* curves) {
  SSL_CTX_set_early_data_enabled(context, 0);
  return SSL_CTX_set_min_proto_version(
             context, min_version == Version::kTls13 ? TLS1_3_VERSION : TLS1_2_VERSION) &&
         SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) &&
         SSL_CTX_set_strict_cipher_list(context, kCiphers) &&
         SSL_CTX_set1_curves_list(context, curves) &&
         SSL_CTX_set_signing_algorithm_prefs(context, kSignatures, std::size(kSignatures)) &&
         SSL_CTX_set_verify_algorithm_prefs(context, kSignatures, std::size(kSignatures));
}

ssl_verify_result_t VerifyPeer(SSL* ssl, uint8_t* alert) {
  auto& state = *static_cast<ConnectionState*>(SSL_get_app_data(ssl));
  if (state.verifier == nullptr) return ssl_verify_invalid;
  state.refused =
      state.verifier->Verify(SSL_get0_peer_certificates(ssl), state.certificate, *alert);
  state.verified = state.refused.ok();
  return state.verified ? ssl_verify_ok : ssl_verify_invalid;
}

}  // namespace portico::tls
