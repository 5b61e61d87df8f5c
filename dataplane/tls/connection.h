// One TLS connection: BoringSSL, fed with bytes and asked for bytes. No I/O.
#ifndef DATAPLANE_TLS_CONNECTION_H_
#define DATAPLANE_TLS_CONNECTION_H_

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "dataplane/base/buffer.h"
#include "dataplane/net/tls_info.h"

namespace portico::tls {

class ClientContextImpl;
class ServerContextImpl;
struct CertificateSet;
class PeerVerifier;

// What callbacks of BoringSSL find behind an SSL: SSL_get_app_data().
struct ConnectionState {
  const ServerContextImpl* server = nullptr;
  const ClientContextImpl* client = nullptr;
  // A server's choice.
  const CertificateSet* set = nullptr;
  int client_authentication = 0;
  std::string binding;  // Of its tickets.
  // A client's key for its sessions.
  std::string peer;
  // Of the peer's certificate.
  const PeerVerifier* verifier = nullptr;
  bool certificate_required = false;
  bool verified = false;
  absl::Status refused;
  net::PeerCertificate certificate;
};

class Connection {
 public:
  // What records are made of at most, and what one has more than its plaintext.
  static constexpr size_t kMaxPlaintext = 16 * 1024;
  static constexpr size_t kMaxOverhead = 64;

  // `pool`: where Write() takes larger buffers from. `peer`: which endpoint sessions are for.
  static std::unique_ptr<Connection> ForServer(const ServerContextImpl& context,
                                               base::BufferPool& pool);
  static std::unique_ptr<Connection> ForClient(const ClientContextImpl& context,
                                               base::BufferPool& pool, std::string peer);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  enum class Step : uint8_t { kNeedMore, kDone, kFailed };
  // Goes on with the handshake and what was received, which it takes off the front of `received`.
  // Afterwards output() is to be sent, whatever the result.
  Step Advance(std::string_view& received);
  // What is to be sent beside what Write() makes: flights of the handshake, alerts.
  std::string& output() { return output_; }

  // After kFailed: see TlsStream::Handshake() and failure().
  const absl::Status& status() const { return status_; }
  std::string_view failure() const { return failure_; }

  // After kDone, once.
  void Finish(net::TlsInfo& info);

  // After kDone. Decrypts into `out`, which has `room` bytes: how many, at least 1; 0 when the peer
  // has announced its end; -EAGAIN when more must be received; or another -errno: ECONNRESET (it
  // sent an alert), EBADMSG (a record was changed on its way), EPROTO. Takes what it looked at off
  // the front of `received`.
  int32_t Read(std::string_view& received, char* out, size_t room);
  // Whether Read() has something of what it took.
  bool HasPending() const { return SSL_has_pending(ssl_.get()) != 0; }
  size_t PendingBytes() const { return static_cast<size_t>(SSL_pending(ssl_.get())); }
  // Encrypts at most kMaxPlaintext bytes as one record behind what is in `out`, which is replaced
  // by a larger one if it does not have kMaxOverhead bytes more room than these. False: it cannot.
  bool Write(std::string_view plaintext, base::Buffer& out);
  // Announces our end, once: output().
  void Close();

 private:
  Connection(SSL* ssl, base::BufferPool& pool, ConnectionState state);
  static const BIO_METHOD* Method();
  static int Read(BIO* bio, char* out, int size);
  static int Write(BIO* bio, const char* in, int size);
  static long Control(BIO* bio, int command, long number, void* pointer);
  void Classify();
  // The certificate of a resumed session, too, must still be good.
  bool CheckPeer();
  // To where records go that Write() makes.
  void Append(const char* bytes, size_t size);

  base::BufferPool& pool_;
  ConnectionState state_;
  bssl::UniquePtr<SSL> ssl_;
  std::string_view input_;          // During Advance() and Read().
  base::Buffer* sealed_ = nullptr;  // During Write().
  std::string output_;
  absl::Status status_;
  std::string_view failure_;
};

}  // namespace portico::tls

#endif  // DATAPLANE_TLS_CONNECTION_H_
