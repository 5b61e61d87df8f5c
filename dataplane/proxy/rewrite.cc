#include "dataplane/proxy/rewrite.h"

namespace portico::proxy {
namespace {

std::string_view WithoutTrailingSlash(std::string_view path) {
  if (!path.empty() && path.back() == '/') path.remove_suffix(1);
  return path;
}

}  // namespace

std::string_view ReplacePrefix(std::string_view path, std::string_view match,
                               std::string_view replacement, base::Arena& arena) {
  const std::string_view rest = path.substr(WithoutTrailingSlash(match).size());
  const std::string_view start = WithoutTrailingSlash(replacement);
  if (start.empty()) return rest.empty() ? std::string_view("/") : rest;
  if (rest.empty()) return replacement;
  return arena.Concat({start, rest});
}

void RewriteRequest(http::RequestHead& request, const snapshot::RouteEntry& route) {
  if (!route.has_rewrite) return;
  const snapshot::RouteDetails& details = *route.details;
  if (details.has_rewrite_prefix) {
    request.path = ReplacePrefix(request.path, details.match_prefix, details.rewrite_prefix,
                                 request.headers.arena());
  }
  if (!details.rewrite_host.empty()) request.authority = details.rewrite_host;
}

}  // namespace portico::proxy
