// One handshake: BoringSSL, fed with bytes and asked for bytes. No I/O.
#ifndef DATAPLANE_TLS_HANDSHAKE_H_
#define DATAPLANE_TLS_HANDSHAKE_H_

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "dataplane/net/tls_info.h"
#include "dataplane/tls/record.h"

namespace portico::tls {

class ClientContextImpl;
class ServerContextImpl;
struct CertificateSet;
class PeerVerifier;

// What callbacks of BoringSSL find behind an SSL: SSL_get_app_data().
struct HandshakeState {
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
  bool verified = false;
  absl::Status refused;
  net::PeerCertificate certificate;
};

class Handshaker {
 public:
  // `peer`: which endpoint sessions are for.
  static std::unique_ptr<Handshaker> ForServer(const ServerContextImpl& context);
  static std::unique_ptr<Handshaker> ForClient(const ClientContextImpl& context, std::string peer);
  ~Handshaker();
  Handshaker(const Handshaker&) = delete;
  Handshaker& operator=(const Handshaker&) = delete;

  enum class Step : uint8_t { kNeedMore, kDone, kFailed };
  // Goes on with what was received, which it takes off the front of `received`. Afterwards output()
  // is to be sent, whatever the result.
  Step Advance(std::string_view& received);
  std::string& output() { return output_; }

  // After kFailed: see TlsStream::Handshake() and failure().
  const absl::Status& status() const { return status_; }
  std::string_view failure() const { return failure_; }

  // After kDone. output() is then what is to be sent before anything else: session tickets. False:
  // BoringSSL refuses.
  bool Finish(net::TlsInfo& info, RecordKeys& read, RecordKeys& write);

  // A client's: takes a NewSessionTicket message (RFC 8446 section 4.6.1). False: it is not one.
  bool TakeTicket(std::string_view message);

 private:
  Handshaker(SSL* ssl, HandshakeState state);
  static const BIO_METHOD* Method();
  static int Read(BIO* bio, char* out, int size);
  static int Write(BIO* bio, const char* in, int size);
  static long Control(BIO* bio, int command, long number, void* pointer);
  void Classify();
  // The certificate of a resumed session, too, must still be good.
  bool CheckPeer();
  bool FinishTls12(RecordKeys& read, RecordKeys& write);

  HandshakeState state_;
  bssl::UniquePtr<SSL> ssl_;
  std::string_view input_;
  std::string output_;
  absl::Status status_;
  std::string_view failure_;
};

}  // namespace portico::tls

#endif  // DATAPLANE_TLS_HANDSHAKE_H_
