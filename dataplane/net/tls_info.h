// What a TLS handshake came to, as those see it who know nothing of TLS.
#ifndef DATAPLANE_NET_TLS_INFO_H_
#define DATAPLANE_NET_TLS_INFO_H_

#include <string>
#include <string_view>
#include <vector>

namespace portico::net {

// The peer's certificate, verified. Empty strings: it has none.
struct PeerCertificate {
  std::string fingerprint;             // SHA-256 of its DER form, 64 lower-case hexadecimal digits.
  std::string subject;                 // RFC 2253.
  std::vector<std::string> dns_names;  // Subject alternative names.
  std::vector<std::string> uris;

  // The first URI, or else the first DNS name, or else empty.
  std::string_view AlternativeName() const {
    if (!uris.empty()) return uris.front();
    return dns_names.empty() ? std::string_view() : std::string_view(dns_names.front());
  }
  // Whom it names, as policies and logs say it: that, or else the subject. Outlives renewals,
  // unlike the fingerprint.
  std::string_view Identity() const {
    const std::string_view name = AlternativeName();
    return name.empty() ? std::string_view(subject) : name;
  }
};

// Which client authentication names are held to.
class ClientAuthenticationTable {
 public:
  // As TlsInfo::client_authentication. `host` in lower case, without port.
  virtual int ClientAuthenticationFor(std::string_view host) const = 0;

 protected:
  ~ClientAuthenticationTable() = default;
};

// Constant once the handshake is complete.
struct TlsInfo {
  std::string_view version;      // "TLSv1.2", "TLSv1.3"
  std::string_view cipher;       // Its standard name (RFC 8446 appendix B.4).
  std::string_view application;  // ALPN's choice: "h2", "http/1.1"; empty: none.
  std::string server_name;       // SNI, lower case; empty: the client sent none.
  bool resumed = false;
  // Which client authentication the handshake was held to: 0 is the listener's, n the n-th of
  // ListenerTls.server_names.
  int client_authentication = 0;
  // A server's, of the time of the handshake: a request for a host with another number is not
  // for this connection. nullptr: a client's.
  const ClientAuthenticationTable* authentications = nullptr;
  bool has_peer_certificate = false;
  PeerCertificate peer_certificate;
};

}  // namespace portico::net

#endif  // DATAPLANE_NET_TLS_INFO_H_
