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

void RewriteTarget(http::RequestHead& request, const snapshot::RouteEntry& route) {
  base::Arena& arena = request.headers.arena();
  std::string_view path = request.path;
  if (route.has_rewrite_prefix) {
    path = ReplacePrefix(path, route.match_prefix, route.rewrite_prefix, arena);
  }
  // Nearly always the received target is canonical already, and stays a slice.
  const bool unchanged = request.target.substr(0, path.size()) == path &&
                         request.target.size() == path.size() + (request.has_query ? 1 + request.query.size() : 0);
  if (!unchanged && request.target != "*") {
    request.target = request.has_query ? arena.Concat({path, "?", request.query}) : path;
  }
  // The writer makes Host from the authority.
  if (!route.rewrite_host.empty()) request.authority = route.rewrite_host;
}

}  // namespace portico::proxy
