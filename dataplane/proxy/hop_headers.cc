#include "dataplane/proxy/hop_headers.h"

#include <charconv>
#include <cstddef>

#include "dataplane/proxy/request_id.h"

namespace portico::proxy {
namespace {

using http::HeaderId;

bool Trusted(const net::IpAddress& ip, const std::vector<net::CidrRange>& trusted) {
  for (const net::CidrRange& range : trusted) {
    if (range.Contains(ip)) return true;
  }
  return false;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Goes left through one field; true when the walk is over.
bool WalkLeft(std::string_view value, const Hop& hop, net::IpAddress& client) {
  while (true) {
    const size_t comma = value.rfind(',');
    const std::string_view last =
        Trim(comma == std::string_view::npos ? value : value.substr(comma + 1));
    const auto parsed = net::IpAddress::Parse(last);
    if (!parsed.ok()) return true;
    client = *parsed;
    if (!Trusted(client, hop.trusted_hops)) return true;
    if (comma == std::string_view::npos) return false;
    value = value.substr(0, comma);
  }
}

constexpr size_t kMaxCertificateValue = 8 * 1024;

// In quotes, where the value could be read as more than one.
char* PutValue(std::string_view value, bool quoted, char* out) {
  if (quoted) *out++ = '"';
  for (const char c : value) {
    if (quoted && (c == '"' || c == '\\')) *out++ = '\\';
    // Certificates hold anything; a field does not.
    *out++ = c < ' ' || c > '~' ? '?' : c;
  }
  if (quoted) *out++ = '"';
  return out;
}

}  // namespace

bool IsMisdirected(const http::RequestHead& request, const net::TlsInfo& tls) {
  return tls.authentications != nullptr &&
         tls.authentications->ClientAuthenticationFor(request.host) != tls.client_authentication;
}

std::string_view ClientCertificateValue(const net::PeerCertificate& certificate,
                                        base::Arena& arena) {
  char* const text = arena.NewArray<char>(kMaxCertificateValue);
  char* out = text;
  const auto put = [&](std::string_view key, std::string_view value, bool quoted) {
    const size_t room = kMaxCertificateValue - static_cast<size_t>(out - text);
    if (key.size() + 2 * value.size() + 3 > room) return;
    if (out != text) *out++ = ';';
    out = PutValue(key, false, out);
    out = PutValue(value, quoted || value.find_first_of(",;=\"\\") != std::string_view::npos, out);
  };
  put("Hash=", certificate.fingerprint, false);
  put("Subject=", certificate.subject, true);
  for (const std::string& uri : certificate.uris) put("URI=", uri, false);
  for (const std::string& name : certificate.dns_names) put("DNS=", name, false);
  return {text, static_cast<size_t>(out - text)};
}

bool Hop::peer_trusted() const { return Trusted(peer, trusted_hops); }

net::IpAddress ClientAddress(const http::RequestHead& request, const Hop& hop) {
  net::IpAddress client = hop.peer;
  if (!hop.peer_trusted()) return client;
  for (const http::HeaderField* field = request.headers.end(); field != request.headers.begin();) {
    --field;
    if (field->id != HeaderId::kXForwardedFor || field->name.empty()) continue;
    if (WalkLeft(field->value, hop, client)) break;
  }
  return client;
}

std::string_view SetRequestId(http::RequestHead& request, const Hop& hop,
                              upstream::Random& random) {
  const http::HeaderField* field = request.headers.Find(HeaderId::kXRequestId);
  if (field != nullptr && hop.peer_trusted() && IsUsableRequestId(field->value) &&
      request.headers.Count(HeaderId::kXRequestId) == 1) {
    return field->value;
  }
  const std::string_view id = MakeRequestId(random, request.headers.arena());
  request.headers.Set(HeaderId::kXRequestId, id);
  return id;
}

bool CameByHttps(const http::RequestHead& request, const Hop& hop) {
  if (hop.secure) return true;
  const http::HeaderField* said = request.headers.Find(HeaderId::kXForwardedProto);
  return said != nullptr && http::EqualsIgnoreCase(said->value, "https") && hop.peer_trusted() &&
         request.headers.Count(HeaderId::kXForwardedProto) == 1;
}

std::string_view HttpsUrl(const http::RequestHead& request, uint32_t port) {
  base::Arena& arena = request.headers.arena();
  char text[12] = ":";
  const char* const end = std::to_chars(text + 1, text + sizeof(text), port).ptr;
  const std::string_view suffix =
      port == 443 ? "" : std::string_view(text, static_cast<size_t>(end - text));
  // OPTIONS * has no path.
  const std::string_view path = request.path == "*" ? "/" : request.path;
  return arena.Concat(
      {"https://", request.host, suffix, path, request.has_query ? "?" : "", request.query});
}

void SetHopHeaders(http::RequestHead& request, const Hop& hop, upstream::Random& random) {
  http::HeaderList& headers = request.headers;
  base::Arena& arena = headers.arena();
  const bool trusted = hop.peer_trusted();

  char* const text = static_cast<char*>(arena.Allocate(net::IpAddress::kMaxText, 1));
  const std::string_view peer(text, hop.peer.Format(text));
  std::string_view forwarded_for = peer;
  if (trusted) {
    std::string_view before;
    for (const http::HeaderField& field : headers) {
      if (field.id != HeaderId::kXForwardedFor || field.name.empty() || field.value.empty())
        continue;
      before = before.empty() ? field.value : arena.Concat({before, ", ", field.value});
    }
    if (!before.empty()) forwarded_for = arena.Concat({before, ", ", peer});
  } else {
    headers.Remove(HeaderId::kXForwardedHost);
    headers.Remove(HeaderId::kForwarded);
  }
  headers.Set(HeaderId::kXForwardedFor, forwarded_for);

  const bool proven = hop.tls != nullptr && hop.tls->has_peer_certificate;
  if (proven || !trusted) headers.Remove(HeaderId::kXForwardedClientCert);
  if (proven) {
    headers.Add(HeaderId::kXForwardedClientCert,
                ClientCertificateValue(hop.tls->peer_certificate, arena));
  }

  if (!trusted || headers.Count(HeaderId::kXForwardedProto) != 1) {
    headers.Set(HeaderId::kXForwardedProto, hop.secure ? "https" : "http");
  }

  const http::HeaderField* trace = headers.Find(HeaderId::kTraceparent);
  if (trace == nullptr || !IsValidTraceparent(trace->value) ||
      headers.Count(HeaderId::kTraceparent) != 1) {
    headers.Set(HeaderId::kTraceparent, MakeTraceparent(random, arena));
    headers.Remove(HeaderId::kTracestate);  // It belongs to the trace that was dropped.
  }
}

}  // namespace portico::proxy
