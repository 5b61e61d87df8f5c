// What the upstream is asked for.
#ifndef DATAPLANE_PROXY_REWRITE_H_
#define DATAPLANE_PROXY_REWRITE_H_

#include <string_view>

#include "dataplane/base/arena.h"
#include "dataplane/http/message.h"
#include "dataplane/snapshot/snapshot.h"

namespace portico::proxy {

// "/api/x" with `match` "/api" and `replacement` "/internal" is "/internal/x";
// "/" as replacement removes the prefix. Never empty.
std::string_view ReplacePrefix(std::string_view path, std::string_view match,
                               std::string_view replacement, base::Arena& arena);

// Rewrites path and authority as the route says. The codec sends them upstream: the
// path is the canonical one already, the query stays as received.
void RewriteRequest(http::RequestHead& request, const snapshot::RouteEntry& route);

}  // namespace portico::proxy

#endif  // DATAPLANE_PROXY_REWRITE_H_
