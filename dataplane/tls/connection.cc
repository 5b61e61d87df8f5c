#include "dataplane/tls/connection.h"

#include <errno.h>
#include <openssl/err.h>

#include <algorithm>
#include <cstring>
#include <utility>

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

Connection::Connection(SSL* ssl, base::BufferPool& pool, ConnectionState state)
    : pool_(pool), state_(std::move(state)), ssl_(ssl) {
  PORTICO_CHECK(ssl != nullptr);
  SSL_set_app_data(ssl, &state_);
  // What only a handshake needs is not kept.
  SSL_set_shed_handshake_config(ssl, 1);
  BIO* const bio = BIO_new(Method());
  PORTICO_CHECK(bio != nullptr);
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl, bio, bio);
}

Connection::~Connection() = default;

std::unique_ptr<Connection> Connection::ForServer(const ServerContextImpl& context,
                                                  base::BufferPool& pool) {
  ConnectionState state;
  state.server = &context;
  SSL* const ssl = context.NewConnection();
  // owned: by the result; the constructor is private.
  std::unique_ptr<Connection> handshake(new Connection(ssl, pool, std::move(state)));
  SSL_set_accept_state(ssl);
  return handshake;
}

std::unique_ptr<Connection> Connection::ForClient(const ClientContextImpl& context,
                                                  base::BufferPool& pool, std::string peer) {
  ConnectionState state;
  state.client = &context;
  state.peer = std::move(peer);
  state.verifier = &context.verifier();
  SSL* const ssl = context.NewConnection();
  // owned: by the result; the constructor is private.
  std::unique_ptr<Connection> handshake(new Connection(ssl, pool, std::move(state)));
  SSL_set_connect_state(ssl);
  if (bssl::UniquePtr<SSL_SESSION> session = context.sessions().Take(handshake->state_.peer)) {
    SSL_set_session(ssl, session.get());
  }
  return handshake;
}

const BIO_METHOD* Connection::Method() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_TYPE_MEM, "portico");
    PORTICO_CHECK(made != nullptr && BIO_meth_set_read(made, &Read) &&
                  BIO_meth_set_write(made, &Write) && BIO_meth_set_ctrl(made, &Control));
    return made;
  }();
  return method;
}

int Connection::Read(BIO* bio, char* out, int size) {
  auto& self = *static_cast<Connection*>(BIO_get_data(bio));
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

int Connection::Write(BIO* bio, const char* in, int size) {
  auto& self = *static_cast<Connection*>(BIO_get_data(bio));
  if (size <= 0) return size;
  self.Append(in, static_cast<size_t>(size));
  return size;
}

long Connection::Control(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

void Connection::Append(const char* bytes, size_t size) {
  if (sealed_ == nullptr) {
    output_.append(bytes, size);
    return;
  }
  base::Buffer& out = *sealed_;
  if (out.capacity() - out.size() < size) {
    base::Buffer larger = pool_.Allocate(out.size() + size);
    if (out.size() > 0) std::memcpy(larger.data(), out.data(), out.size());
    larger.set_size(out.size());
    out = std::move(larger);
  }
  std::memcpy(out.data() + out.size(), bytes, size);
  out.set_size(out.size() + size);
}

Connection::Step Connection::Advance(std::string_view& received) {
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

void Connection::Classify() {
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

bool Connection::CheckPeer() {
  if (state_.server == nullptr || state_.verifier == nullptr || !SSL_session_reused(ssl_.get()))
    return true;
  const STACK_OF(CRYPTO_BUFFER)* chain = SSL_get0_peer_certificates(ssl_.get());
  const bool none = chain == nullptr || sk_CRYPTO_BUFFER_num(chain) == 0;
  if (none && !state_.certificate_required) return true;
  uint8_t alert = SSL_AD_BAD_CERTIFICATE;
  status_ = state_.verifier->Verify(chain, state_.certificate, alert);
  state_.verified = status_.ok();
  if (state_.verified) return true;
  failure_ = "peer_certificate";
  SSL_send_fatal_alert(ssl_.get(), alert);
  return false;
}

void Connection::Finish(net::TlsInfo& info) {
  SSL* const ssl = ssl_.get();
  info.version = SSL_get_version(ssl);
  info.cipher = SSL_CIPHER_standard_name(SSL_get_current_cipher(ssl));
  info.application = Application(ssl);
  info.resumed = SSL_session_reused(ssl) != 0;
  info.client_authentication = state_.client_authentication;
  info.authentications = state_.server;
  const char* const name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (name != nullptr) info.server_name = LowerCase(name);
  info.has_peer_certificate = state_.verified && !state_.verifier->any_issuer();
  if (info.has_peer_certificate) info.peer_certificate = std::move(state_.certificate);
}

int32_t Connection::Read(std::string_view& received, char* out, size_t room) {
  constexpr size_t kMax = size_t{1} << 30;
  input_ = received;
  ERR_clear_error();
  const int result = SSL_read(ssl_.get(), out, static_cast<int>(std::min(room, kMax)));
  received = input_;
  input_ = {};
  if (result > 0) return result;
  const int error = SSL_get_error(ssl_.get(), result);
  if (error == SSL_ERROR_ZERO_RETURN) return 0;
  if (error == SSL_ERROR_WANT_READ) return -EAGAIN;
  const int reason = ERR_GET_REASON(ERR_peek_error());
  ERR_clear_error();
  if (reason >= SSL_AD_REASON_OFFSET) return -ECONNRESET;
  return reason == SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC ? -EBADMSG : -EPROTO;
}

bool Connection::Write(std::string_view plaintext, base::Buffer& out) {
  sealed_ = &out;
  ERR_clear_error();
  const int size = static_cast<int>(plaintext.size());
  const bool written = SSL_write(ssl_.get(), plaintext.data(), size) == size;
  sealed_ = nullptr;
  if (!written) ERR_clear_error();
  return written;
}

void Connection::Close() {
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

}  // namespace portico::tls
