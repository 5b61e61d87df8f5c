// The pieces of HTTP syntax that configuration is made of (RFC 9110).
#ifndef API_RESOURCE_HTTP_SYNTAX_H_
#define API_RESOURCE_HTTP_SYNTAX_H_

#include <string_view>

namespace portico::api {

// A token: field names and methods (RFC 9110 section 5.6.2). Not empty.
bool IsToken(std::string_view text);

// Whether `text` may stand in a field value: no control characters but tab, no white space at
// either end (RFC 9110 section 5.5). May be empty.
bool IsFieldValue(std::string_view text);

// Whether Portico itself sets or needs the request or response field of this name (without case),
// so that configuration may neither change nor remove it: those that frame a message or name a hop
// (Host, Content-Length, Transfer-Encoding, Connection, Keep-Alive, Proxy-Connection, TE, Trailer,
// Upgrade, Expect), and pseudo-headers.
bool IsReservedField(std::string_view name);

}  // namespace portico::api

#endif  // API_RESOURCE_HTTP_SYNTAX_H_
