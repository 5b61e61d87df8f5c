#include "tests/bench/load/tls_client.h"

#include <openssl/bio.h>

namespace portico::bench {
namespace {

constexpr char kServerName[] = "api.example.com";

}  // namespace

TlsClientContext::TlsClientContext() : context_(SSL_CTX_new(TLS_client_method())) {
  SSL_CTX_set_min_proto_version(context_.get(), TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(context_.get(), "TLS_AES_128_GCM_SHA256");
  SSL_CTX_set1_groups_list(context_.get(), "X25519");
  SSL_CTX_set_verify(context_.get(), SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_session_cache_mode(context_.get(), SSL_SESS_CACHE_OFF);
  // Thousands of connections at rest hold no buffers.
  SSL_CTX_set_mode(context_.get(), SSL_MODE_RELEASE_BUFFERS);
  static constexpr unsigned char kHttp1[] = "\x08http/1.1";
  SSL_CTX_set_alpn_protos(context_.get(), kHttp1, sizeof(kHttp1) - 1);
}

TlsClient::TlsClient(const TlsClientContext& context)
    : ssl_(SSL_new(context.context_.get())), in_(BIO_new(BIO_s_mem())), out_(BIO_new(BIO_s_mem())) {
  // Nothing there means "not yet", not the end.
  BIO_set_mem_eof_return(in_, -1);
  BIO_set_mem_eof_return(out_, -1);
  SSL_set_bio(ssl_.get(), in_, out_);
  SSL_set_tlsext_host_name(ssl_.get(), kServerName);
  SSL_set_connect_state(ssl_.get());
}

TlsClient::Handshake TlsClient::Advance() {
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) return Handshake::kDone;
  return SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ ? Handshake::kWantsMore
                                                                  : Handshake::kFailed;
}

void TlsClient::Feed(std::string_view bytes) {
  BIO_write(in_, bytes.data(), static_cast<int>(bytes.size()));
}

int TlsClient::Read(char* out, size_t size) {
  const int result = SSL_read(ssl_.get(), out, static_cast<int>(size));
  if (result > 0) return result;
  return SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ ? 0 : -1;
}

void TlsClient::Write(std::string_view bytes) {
  SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
}

bool TlsClient::TakeOutput(std::string& out) {
  const size_t size = BIO_ctrl_pending(out_);
  if (size == 0) return false;
  out.resize(size);
  BIO_read(out_, out.data(), static_cast<int>(size));
  return true;
}

}  // namespace portico::bench
