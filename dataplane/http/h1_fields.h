// What the two parsers of heads share: field lines and framing. Private to http/.
#ifndef DATAPLANE_HTTP_H1_FIELDS_H_
#define DATAPLANE_HTTP_H1_FIELDS_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/http/headers.h"
#include "dataplane/http/message.h"

namespace portico::http::internal {

// What RemoveHopByHopFields() removes by itself.
inline constexpr HeaderIds kHopByHopIds =
    IdBit(HeaderId::kConnection) | IdBit(HeaderId::kKeepAlive) | IdBit(HeaderId::kProxyConnection) |
    IdBit(HeaderId::kProxyAuthenticate) | IdBit(HeaderId::kProxyAuthorization) | IdBit(HeaderId::kTe) |
    IdBit(HeaderId::kTrailer) | IdBit(HeaderId::kTransferEncoding) | IdBit(HeaderId::kUpgrade);

// Parses `fields`, complete field lines and the empty line after them, into `list`.
// H1HeadScanner has found neither broken lines nor control characters in them.
// Returns an error's reason or nothing: invalid_header, too_many_headers,
// conflicting_length, invalid_content_length, invalid_transfer_encoding.
std::string_view ParseFields(std::string_view fields, uint32_t max_count, HeaderList& list);

// What fields say about framing, and about fields that may occur once.
struct Framing {
  bool has_length = false;
  uint64_t length = 0;
  bool chunked = false;
  bool close = false;       // Connection: close
  bool keep_alive = false;  // Connection: keep-alive
  bool upgrade = false;     // Connection: upgrade
  const HeaderField* host = nullptr;
  bool several_hosts = false;
  const HeaderField* expect = nullptr;
  // Reason: invalid_content_length, conflicting_length, invalid_transfer_encoding.
  std::string_view error;
};

// `version`: of the message; HTTP/1.0 knows no Transfer-Encoding.
Framing ReadFraming(const HeaderList& list, Version version);

// Content-Length: up to 18 digits. False: it is none.
bool ParseLength(std::string_view text, uint64_t& length);
// What one Connection field says about `close`, `keep_alive` and `upgrade`.
void ReadConnection(std::string_view value, Framing& framing);
// A response's body as RFC 9112 section 6.3 has it, from its framing and head.status
// and head.version. Returns whether the connection may carry another exchange.
bool SetResponseBody(const Framing& framing, Method request_method, ResponseHead& head);

// RequestHead::upgrade of a head whose other members are set: "websocket" where a GET of
// HTTP/1.1 without content asks for that protocol alone (RFC 6455 section 4.1), else
// nothing. Other protocols are not for us, and Upgrade may be ignored (RFC 9110 section 7.8).
std::string_view UpgradeOf(const RequestHead& head, const Framing& framing);

// "HTTP/1.0" or "HTTP/1.1". Reasons: unsupported_version (another one), `malformed`.
std::string_view ParseVersion(std::string_view text, std::string_view malformed, Version& version);

// Calls f(element) for each element of a comma-separated list, without OWS.
template <typename F>
void ForEachElement(std::string_view list, F&& f) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    std::string_view element = list.substr(0, comma);
    list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
    while (!element.empty() && (element.front() == ' ' || element.front() == '\t')) element.remove_prefix(1);
    while (!element.empty() && (element.back() == ' ' || element.back() == '\t')) element.remove_suffix(1);
    if (!element.empty()) f(element);
  }
}

}  // namespace portico::http::internal

#endif  // DATAPLANE_HTTP_H1_FIELDS_H_
