// The client's side of TLS 1.3 for one connection of the load generator, without I/O. With OpenSSL:
// the load is no part of Portico, and its own library would hide its own faults.
#ifndef TESTS_BENCH_LOAD_TLS_CLIENT_H_
#define TESTS_BENCH_LOAD_TLS_CLIENT_H_

#include <openssl/ssl.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace portico::bench {

// What all connections share. Certificates are not verified, sessions are never resumed, and only
// one cipher suite (AES-128-GCM) and one group (X25519) are offered, so that every server does the
// same work.
class TlsClientContext {
 public:
  TlsClientContext();

 private:
  friend class TlsClient;
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  std::unique_ptr<SSL_CTX, Free> context_;
};

class TlsClient {
 public:
  explicit TlsClient(const TlsClientContext& context);

  // Goes on with the handshake, with what was fed; what it has to say is in the output.
  enum class Handshake { kDone, kWantsMore, kFailed };
  Handshake Advance();

  // Bytes from the server.
  void Feed(std::string_view bytes);
  // Decrypts into `out`: how many bytes; 0: none are there; -1: the server has ended the connection
  // or broken TLS.
  int Read(char* out, size_t size);
  // Encrypts into the output. After the handshake.
  void Write(std::string_view bytes);
  // Moves the output into `out`, whose content is replaced. False if there is none; `out` is
  // unchanged then.
  bool TakeOutput(std::string& out);

 private:
  struct Free {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  std::unique_ptr<SSL, Free> ssl_;
  // Owned by ssl_.
  BIO* in_;
  BIO* out_;
};

}  // namespace portico::bench

#endif  // TESTS_BENCH_LOAD_TLS_CLIENT_H_
