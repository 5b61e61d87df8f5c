#include "dataplane/tls/handshake.h"

#include <openssl/err.h>
#include <openssl/mem.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "dataplane/base/check.h"
#include "dataplane/tls/certificates.h"
#include "dataplane/tls/client_context_impl.h"
#include "dataplane/tls/server_context_impl.h"

namespace portico::tls {
namespace {

// Alerts by which a peer says that our certificate is not good, or that it wants one.
bool IsAboutCertificates(int alert) {
  return (alert >= SSL_AD_BAD_CERTIFICATE && alert <= SSL_AD_CERTIFICATE_UNKNOWN) ||
         alert == SSL_AD_UNKNOWN_CA || alert == SSL_AD_ACCESS_DENIED ||
         alert == SSL_AD_CERTIFICATE_REQUIRED;
}

std::string_view FailureOf(int reason) {
  switch (reason) {
    case SSL_R_NO_APPLICATION_PROTOCOL:
      return "no_common_application";
    case SSL_R_UNSUPPORTED_PROTOCOL:
      return "no_common_version";
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SHARED_GROUP:
    case SSL_R_NO_COMMON_SIGNATURE_ALGORITHMS:
    case SSL_R_UNKNOWN_CERTIFICATE_TYPE:
      return "no_common_cipher";
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER:
      return "not_tls";
    default:
      return "bad_message";
  }
}

// The two that are ever chosen, as literals.
std::string_view Application(const SSL* ssl) {
  const uint8_t* data = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl, &data, &size);
  const std::string_view chosen(reinterpret_cast<const char*>(data), size);
  if (chosen == "h2") return "h2";
  return chosen == "http/1.1" ? "http/1.1" : "";
}

}  // namespace

Handshaker::Handshaker(SSL* ssl, HandshakeState state) : state_(std::move(state)), ssl_(ssl) {
  PORTICO_CHECK(ssl != nullptr);
  SSL_set_app_data(ssl, &state_);
  BIO* const bio = BIO_new(Method());
  PORTICO_CHECK(bio != nullptr);
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl, bio, bio);
}

Handshaker::~Handshaker() = default;

std::unique_ptr<Handshaker> Handshaker::ForServer(const ServerContextImpl& context) {
  HandshakeState state;
  state.server = &context;
  SSL* const ssl = context.NewConnection();
  // owned: by the result; the constructor is private.
  std::unique_ptr<Handshaker> handshake(new Handshaker(ssl, std::move(state)));
  SSL_set_accept_state(ssl);
  return handshake;
}

std::unique_ptr<Handshaker> Handshaker::ForClient(const ClientContextImpl& context,
                                                  std::string peer) {
  HandshakeState state;
  state.client = &context;
  state.peer = std::move(peer);
  state.verifier = &context.verifier();
  SSL* const ssl = context.NewConnection();
  // owned: by the result; the constructor is private.
  std::unique_ptr<Handshaker> handshake(new Handshaker(ssl, std::move(state)));
  SSL_set_connect_state(ssl);
  SSL_set_shed_handshake_config(ssl, 1);
  if (bssl::UniquePtr<SSL_SESSION> session = context.sessions().Take(handshake->state_.peer)) {
    SSL_set_session(ssl, session.get());
  }
  return handshake;
}

const BIO_METHOD* Handshaker::Method() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_TYPE_MEM, "portico");
    PORTICO_CHECK(made != nullptr && BIO_meth_set_read(made, &Read) &&
                  BIO_meth_set_write(made, &Write) && BIO_meth_set_ctrl(made, &Control));
    return made;
  }();
  return method;
}

int Handshaker::Read(BIO* bio, char* out, int size) {
  auto& self = *static_cast<Handshaker*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const size_t count = std::min(self.input_.size(), static_cast<size_t>(std::max(size, 0)));
  if (count == 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  std::memcpy(out, self.input_.data(), count);
  self.input_.remove_prefix(count);
  return static_cast<int>(count);
}

int Handshaker::Write(BIO* bio, const char* in, int size) {
  auto& self = *static_cast<Handshaker*>(BIO_get_data(bio));
  if (size <= 0) return size;
  self.output_.append(in, static_cast<size_t>(size));
  return size;
}

long Handshaker::Control(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

Handshaker::Step Handshaker::Advance(std::string_view& received) {
  input_ = received;
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  received = input_;
  input_ = {};
  if (result == 1) {
    if (CheckPeer()) return Step::kDone;
  } else {
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_WANT_READ) return Step::kNeedMore;
    Classify();
  }
  ERR_clear_error();
  return Step::kFailed;
}

void Handshaker::Classify() {
  const uint32_t error = ERR_peek_error();
  const int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
  const char* const text = ERR_reason_error_string(error);
  const std::string what = text == nullptr ? "unknown error" : LowerCase(text);
  if (!state_.refused.ok()) {
    status_ = state_.refused;
    failure_ = "peer_certificate";
  } else if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
    status_ = absl::UnauthenticatedError("the peer shows no certificate");
    failure_ = "no_peer_certificate";
  } else if (reason >= SSL_AD_REASON_OFFSET) {
    const bool certificate = IsAboutCertificates(reason - SSL_AD_REASON_OFFSET);
    const std::string message = absl::StrCat("the peer ended the handshake: ", what);
    status_ =
        certificate ? absl::UnauthenticatedError(message) : absl::InvalidArgumentError(message);
    failure_ = certificate ? "certificate_refused" : "peer_alert";
  } else {
    status_ = absl::InvalidArgumentError(absl::StrCat("the handshake failed: ", what));
    failure_ = FailureOf(reason);
  }
}

bool Handshaker::CheckPeer() {
  if (state_.server == nullptr || state_.verifier == nullptr || !SSL_session_reused(ssl_.get()))
    return true;
  const STACK_OF(CRYPTO_BUFFER)* chain = SSL_get0_peer_certificates(ssl_.get());
  const bool none = chain == nullptr || sk_CRYPTO_BUFFER_num(chain) == 0;
  if (none && (SSL_get_verify_mode(ssl_.get()) & SSL_VERIFY_FAIL_IF_NO_PEER_CERT) == 0) return true;
  uint8_t alert = SSL_AD_BAD_CERTIFICATE;
  status_ = state_.verifier->Verify(chain, state_.certificate, alert);
  state_.verified = status_.ok();
  if (state_.verified) return true;
  failure_ = "peer_certificate";
  SSL_send_fatal_alert(ssl_.get(), alert);
  return false;
}

bool Handshaker::Finish(net::TlsInfo& info, RecordKeys& read, RecordKeys& write) {
  SSL* const ssl = ssl_.get();
  const SSL_CIPHER* const cipher = SSL_get_current_cipher(ssl);
  info.version = SSL_get_version(ssl);
  info.cipher = SSL_CIPHER_standard_name(cipher);
  info.application = Application(ssl);
  info.resumed = SSL_session_reused(ssl) != 0;
  info.client_authentication = state_.client_authentication;
  const char* const name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (name != nullptr) info.server_name = LowerCase(name);
  info.has_peer_certificate = state_.verified && !state_.verifier->any_issuer();
  if (info.has_peer_certificate) info.peer_certificate = std::move(state_.certificate);

  if (SSL_version(ssl) < TLS1_3_VERSION) return FinishTls12(read, write);
  // A server's tickets wait for a write.
  if (state_.server != nullptr && SSL_write(ssl, "", 0) < 0) return false;
  bssl::Span<const uint8_t> read_secret, write_secret;
  return bssl::SSL_get_traffic_secrets(ssl, &read_secret, &write_secret) &&
         read.InitTls13(cipher, read_secret, SSL_get_read_sequence(ssl)) &&
         write.InitTls13(cipher, write_secret, SSL_get_write_sequence(ssl));
}

bool Handshaker::FinishTls12(RecordKeys& read, RecordKeys& write) {
  SSL* const ssl = ssl_.get();
  const SSL_CIPHER* const cipher = SSL_get_current_cipher(ssl);
  const size_t key = SSL_CIPHER_get_cipher_nid(cipher) == NID_aes_128_gcm ? 16 : 32;
  std::vector<uint8_t> block(SSL_get_key_block_len(ssl));
  if (block.size() < 2 * key || !SSL_generate_key_block(ssl, block.data(), block.size()))
    return false;
  // RFC 5246 section 6.3, without keys for a MAC.
  const size_t iv = block.size() / 2 - key;
  const bssl::Span<const uint8_t> all(block.data(), block.size());
  const auto client_key = all.subspan(0, key), server_key = all.subspan(key, key);
  const auto client_iv = all.subspan(2 * key, iv), server_iv = all.subspan(2 * key + iv, iv);
  const bool server = state_.server != nullptr;
  const bool ok = read.InitTls12(cipher, server ? client_key : server_key,
                                 server ? client_iv : server_iv, SSL_get_read_sequence(ssl)) &&
                  write.InitTls12(cipher, server ? server_key : client_key,
                                  server ? server_iv : client_iv, SSL_get_write_sequence(ssl));
  OPENSSL_cleanse(block.data(), block.size());
  return ok;
}

bool Handshaker::TakeTicket(std::string_view message) {
  bssl::UniquePtr<SSL_SESSION> session(SSL_process_tls13_new_session_ticket(
      ssl_.get(), reinterpret_cast<const uint8_t*>(message.data()), message.size()));
  ERR_clear_error();
  if (!session) return false;
  state_.client->sessions().Add(state_.peer, std::move(session));
  return true;
}

}  // namespace portico::tls
