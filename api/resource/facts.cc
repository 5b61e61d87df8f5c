#include "api/resource/facts.h"

#include <algorithm>
#include <functional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "api/resource/address.h"

namespace portico::api {
namespace {

void AddAll(const google::protobuf::RepeatedPtrField<std::string>& names, std::string_view kind,
            const std::string& field, std::vector<Reference>& out) {
  for (int i = 0; i < names.size(); ++i) {
    if (!names[i].empty())
      out.push_back({kind, names[i], absl::StrCat("spec.", field, "[", i, "]")});
  }
}

void RouteReferences(const v1::Route& route, std::vector<Reference>& out) {
  AddAll(route.match().listeners(), "Listener", "match.listeners", out);
  for (int i = 0; i < route.upstreams_size(); ++i) {
    const std::string& name = route.upstreams(i).name();
    if (!name.empty())
      out.push_back({"Upstream", name, absl::StrCat("spec.upstreams[", i, "].name")});
  }
  for (int i = 0; i < route.authentication().any_of_size(); ++i) {
    const v1::AuthenticationMethod& method = route.authentication().any_of(i);
    const std::string path = absl::StrCat("spec.authentication.any_of[", i, "].");
    if (!method.jwt().provider().empty()) {
      out.push_back({"JwtProvider", method.jwt().provider(), path + "jwt.provider"});
    }
    if (!method.api_key().header().empty()) {
      out.push_back({kApiKeyField, absl::AsciiStrToLower(method.api_key().header()),
                     path + "api_key.header"});
    }
  }
  AddAll(route.rate_limits(), "RateLimitPolicy", "rate_limits", out);
  AddAll(route.header_transforms(), "HeaderTransform", "header_transforms", out);
}

void ClientAuthenticationReferences(const v1::ClientAuthentication& authentication,
                                    const std::string& at, std::vector<Reference>& out) {
  AddAll(authentication.ca_bundles(), "CaBundle",
         absl::StrCat(at, "client_authentication.ca_bundles"), out);
}

void ListenerReferences(const v1::Listener& listener, std::vector<Reference>& out) {
  if (!listener.access_log().empty()) {
    out.push_back({"AccessLog", listener.access_log(), "spec.access_log"});
  }
  if (!listener.has_tls()) return;
  const v1::ListenerTls& tls = listener.tls();
  AddAll(tls.certificates(), "Certificate", "tls.certificates", out);
  ClientAuthenticationReferences(tls.client_authentication(), "tls.", out);
  for (int i = 0; i < tls.server_names_size(); ++i) {
    ClientAuthenticationReferences(tls.server_names(i).client_authentication(),
                                   absl::StrCat("tls.server_names[", i, "]."), out);
  }
}

void UpstreamReferences(const v1::Upstream& upstream, std::vector<Reference>& out) {
  if (!upstream.has_tls()) return;
  AddAll(upstream.tls().ca_bundles(), "CaBundle", "tls.ca_bundles", out);
  if (!upstream.tls().certificate().empty()) {
    out.push_back({"Certificate", upstream.tls().certificate(), "spec.tls.certificate"});
  }
}

// Variables lose their names: "/users/{id}" and "/users/{name}" match the same.
std::string TemplateShape(std::string_view text) {
  std::string shape;
  for (size_t i = 0; i < text.size(); ++i) {
    shape.push_back(text[i]);
    if (text[i] != '{') continue;
    const size_t end = std::min(text.find_first_of("=}", i), text.size());
    i = end - 1;
  }
  return shape;
}

std::string PathShape(const v1::PathMatch& path) {
  switch (path.kind_case()) {
    case v1::PathMatch::kExact:
      return absl::StrCat("=", path.exact());
    case v1::PathMatch::kPrefix:
      return absl::StrCat("^", path.prefix());
    case v1::PathMatch::kTemplate:
      return absl::StrCat("t", TemplateShape(path.template_()));
    case v1::PathMatch::kRegex:
      return absl::StrCat("~", path.regex());
    case v1::PathMatch::kGrpc:
      // The same shape as the path that it stands for, with which it may be in conflict.
      return absl::StrCat(path.grpc().method().empty() ? "^" : "=", GrpcPath(path.grpc()));
    case v1::PathMatch::KIND_NOT_SET:
      break;
  }
  return "";
}

std::string ConditionShape(const v1::HeaderMatch& match) {
  const std::string value = match.has_exact()    ? absl::StrCat("=", match.exact())
                            : match.has_prefix() ? absl::StrCat("^", match.prefix())
                            : match.has_regex()  ? absl::StrCat("~", match.regex())
                                                 : absl::StrCat("?", match.present());
  return absl::StrCat("h", absl::AsciiStrToLower(match.name()), "\n", value);
}

std::string ConditionShape(const v1::QueryMatch& match) {
  const std::string value = match.has_exact()   ? absl::StrCat("=", match.exact())
                            : match.has_regex() ? absl::StrCat("~", match.regex())
                                                : absl::StrCat("?", match.present());
  return absl::StrCat("q", match.name(), "\n", value);
}

// Each piece with its length in front, so that no two lists read the same.
void AppendPiece(std::string& text, const std::string& piece) {
  absl::StrAppend(&text, piece.size(), ":", piece);
}

void RouteClaims(const v1::RouteMatch& match, std::vector<Claim>& out) {
  std::string shape;
  AppendPiece(shape, PathShape(match.path()));
  std::vector<std::string> conditions;
  for (const v1::HeaderMatch& header : match.headers())
    conditions.push_back(ConditionShape(header));
  for (const v1::QueryMatch& query : match.query()) conditions.push_back(ConditionShape(query));
  std::sort(conditions.begin(), conditions.end());
  for (const std::string& condition : conditions) AppendPiece(shape, condition);
  absl::StrAppend(&shape, match.methods().empty() ? "*" : "m");
  if (match.hosts().empty()) out.push_back({absl::StrCat("route", shape), "spec.match"});
  for (const std::string& host : match.hosts()) {
    std::string value = absl::StrCat("route", shape);
    AppendPiece(value, absl::AsciiStrToLower(host));
    out.push_back({std::move(value), "spec.match"});
  }
}

}  // namespace

std::vector<Reference> ReferencesOf(const v1::Resource& resource) {
  std::vector<Reference> out;
  if (resource.has_route()) {
    RouteReferences(resource.route(), out);
  } else if (resource.has_listener()) {
    ListenerReferences(resource.listener(), out);
  } else if (resource.has_upstream()) {
    UpstreamReferences(resource.upstream(), out);
  } else if (resource.has_consumer()) {
    if (!resource.consumer().plan().empty())
      out.push_back({"Plan", resource.consumer().plan(), "spec.plan"});
  } else if (resource.has_plan()) {
    for (int i = 0; i < resource.plan().rate_limits_size(); ++i) {
      const std::string& policy = resource.plan().rate_limits(i).policy();
      if (!policy.empty()) {
        out.push_back(
            {"RateLimitPolicy", policy, absl::StrCat("spec.rate_limits[", i, "].policy")});
      }
    }
  }
  return out;
}

std::string GrpcPath(const v1::GrpcMatch& match) {
  return absl::StrCat("/", match.service(), match.method().empty() ? "" : "/", match.method());
}

std::vector<Claim> ClaimsOf(const v1::Resource& resource) {
  std::vector<Claim> out;
  if (resource.has_route()) {
    RouteClaims(resource.route().match(), out);
  } else if (resource.has_listener()) {
    const absl::StatusOr<SocketAddress> address = ParseSocketAddress(resource.listener().address());
    // Port 0 is a free port, another one for each listener.
    if (address.ok() && address->port != 0) {
      out.push_back({absl::StrCat("address", ToString(*address)), "spec.address"});
    }
  } else if (resource.has_consumer()) {
    for (int i = 0; i < resource.consumer().api_keys_size(); ++i) {
      const std::string& hash = resource.consumer().api_keys(i).sha256();
      // Anything else is refused by itself, and may be a key in the wrong place, not to be shown.
      if (hash.size() != 64 || hash.find_first_not_of("0123456789abcdef") != std::string::npos)
        continue;
      out.push_back({absl::StrCat("key", hash), absl::StrCat("spec.api_keys[", i, "].sha256")});
    }
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const Claim& a, const Claim& b) { return a.value < b.value; });
  return out;
}

uint64_t FilterBits(std::string_view fact) {
  const uint64_t hash = std::hash<std::string_view>()(fact);
  return (uint64_t{1} << (hash & 63)) | (uint64_t{1} << ((hash >> 6) & 63)) |
         (uint64_t{1} << ((hash >> 12) & 63));
}

uint64_t FilterBits(std::string_view kind, std::string_view name) {
  std::string fact(kind);
  fact.push_back('/');
  fact.append(name);
  return FilterBits(fact);
}

uint64_t ReferenceFilter(const v1::Resource& resource) {
  uint64_t filter = 0;
  for (const Reference& reference : ReferencesOf(resource))
    filter |= FilterBits(reference.kind, reference.name);
  return filter;
}

uint64_t ClaimFilter(const v1::Resource& resource) {
  uint64_t filter = 0;
  for (const Claim& claim : ClaimsOf(resource)) filter |= FilterBits(claim.value);
  return filter;
}

}  // namespace portico::api
