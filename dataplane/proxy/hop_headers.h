// What a request says about the hops it came through.
#ifndef DATAPLANE_PROXY_HOP_HEADERS_H_
#define DATAPLANE_PROXY_HOP_HEADERS_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "dataplane/http/message.h"
#include "dataplane/net/address.h"
#include "dataplane/net/tls_info.h"
#include "dataplane/upstream/random.h"

namespace portico::proxy {

// How the request reached the proxy.
struct Hop {
  // Whoever opened the connection, as told by the PROXY header if there is one.
  net::IpAddress peer;
  bool secure = false;
  const std::vector<net::CidrRange>& trusted_hops;
  // nullptr: cleartext.
  const net::TlsInfo* tls = nullptr;

  bool peer_trusted() const;
};

// The nearest address that is not a trusted hop: the peer, or, if that is
// trusted, the right-most x-forwarded-for entry that is not. An entry that is no
// address ends the walk.
net::IpAddress ClientAddress(const http::RequestHead& request, const Hop& hop);

// The request's id: the client's x-request-id if the peer is trusted and the id
// usable, else a new one. Sets the field.
std::string_view SetRequestId(http::RequestHead& request, const Hop& hop, upstream::Random& random);

// Whether the client sent the request by https: over TLS, or as a trusted hop says.
bool CameByHttps(const http::RequestHead& request, const Hop& hop);

// The URL of the request with https, in the arena. 443 is left out.
std::string_view HttpsUrl(const http::RequestHead& request, uint32_t port);

// Whether the request's host is held to another client authentication than its connection's server
// name was (RFC 9110 section 7.4).
bool IsMisdirected(const http::RequestHead& request, const net::TlsInfo& tls);

// The value of x-forwarded-client-cert: Hash=...;Subject="...";URI=...;DNS=..., in the arena. Names
// beyond some 8 KiB are left out.
std::string_view ClientCertificateValue(const net::PeerCertificate& certificate,
                                        base::Arena& arena);

// Appends the peer to x-forwarded-for, sets x-forwarded-proto, drops what an
// untrusted peer claims (x-forwarded-host and Forwarded too), and makes a
// traceparent if there is no valid one. Sets x-forwarded-client-cert to what the client proved by
// its certificate; without one the field stays only if a trusted hop sent it.
void SetHopHeaders(http::RequestHead& request, const Hop& hop, upstream::Random& random);

}  // namespace portico::proxy

#endif  // DATAPLANE_PROXY_HOP_HEADERS_H_
