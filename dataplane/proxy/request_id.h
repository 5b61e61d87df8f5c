// Names for requests.
#ifndef DATAPLANE_PROXY_REQUEST_ID_H_
#define DATAPLANE_PROXY_REQUEST_ID_H_

#include <string_view>

#include "dataplane/base/arena.h"
#include "dataplane/upstream/random.h"

namespace portico::proxy {

// A new random UUID (RFC 9562 version 4) in the arena, 36 characters.
std::string_view MakeRequestId(upstream::Random& random, base::Arena& arena);

// True for 1 to 128 characters of letters, digits and "-_.:/+=": what may be kept
// from a trusted hop and written to logs as it is.
bool IsUsableRequestId(std::string_view id);

// A new W3C trace context, "00-<trace id>-<parent id>-01", 55 characters.
std::string_view MakeTraceparent(upstream::Random& random, base::Arena& arena);

// Version 00, both ids not all zero (W3C Trace Context section 3.2).
bool IsValidTraceparent(std::string_view value);

}  // namespace portico::proxy

#endif  // DATAPLANE_PROXY_REQUEST_ID_H_
