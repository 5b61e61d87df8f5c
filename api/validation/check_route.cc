#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "api/resource/host.h"
#include "api/resource/http_syntax.h"
#include "api/resource/path_template.h"
#include "api/resource/strings.h"
#include "api/validation/checks.h"

namespace portico::api {
namespace {

void CheckUpstreams(const v1::Route& route, Report& report) {
  report.AtMost("spec.upstreams", route.upstreams_size(), 100, "upstreams");
  Duplicates duplicates;
  for (int i = 0; i < route.upstreams_size(); ++i) {
    const std::string at = At("spec.upstreams", i);
    const v1::WeightedUpstream& upstream = route.upstreams(i);
    if (report.Required(at + ".name", upstream.name(), "name an Upstream")) {
      duplicates.Check(report, at + ".name", upstream.name());
    }
    if (upstream.weight() != 0) report.Range(at + ".weight", upstream.weight(), 1, 1000000);
  }
}

void CheckResponse(const v1::Route& route, Report& report) {
  const v1::DirectResponse& respond = route.respond();
  const bool valid = report.Range("spec.respond.status", respond.status(), 200, 599);
  report.AtMost("spec.respond.body", respond.body().size(), 4096, "bytes");
  if (valid && !respond.body().empty() &&
      (respond.status() == 204 || respond.status() == 205 || respond.status() == 304)) {
    report.Add(
        "spec.respond.body", respond.body(),
        absl::StrCat("cannot be sent with status ", respond.status(), " (RFC 9110 section 15)"),
        "remove the body, or use another status");
  }
  if (!IsFieldValue(respond.content_type())) {
    report.Add("spec.respond.content_type", respond.content_type(), "is no header value",
               "write a media type like application/json");
  }
  // What a request that is not forwarded has no use for.
  if (route.has_rewrite()) {
    report.Add("spec.rewrite", "", "has no effect beside respond: nothing is forwarded",
               "remove rewrite, or forward to upstreams");
  }
  if (route.has_retry()) {
    report.Add("spec.retry", "", "has no effect beside respond: nothing is forwarded",
               "remove retry, or forward to upstreams");
  }
}

void CheckAction(const v1::Route& route, Report& report) {
  if (route.has_respond() && !route.upstreams().empty()) {
    report.Add("spec.respond", "", "stands beside upstreams, and a route does one or the other",
               "remove one of the two");
  } else if (!route.has_respond() && route.upstreams().empty()) {
    report.Add("spec.upstreams", "", "is required and not set", "name an Upstream, or set respond");
  }
  CheckUpstreams(route, report);
  if (route.has_respond()) CheckResponse(route, report);
}

void CheckRewriteHost(const std::string& host, Report& report) {
  std::string_view name = host;
  const size_t colon = name.rfind(':');
  const bool has_port = colon != std::string_view::npos && name.back() != ']' &&
                        name.substr(0, colon).find_first_of(":") == std::string_view::npos;
  const bool bracket_port = colon != std::string_view::npos && colon > 0 && name[colon - 1] == ']';
  if (has_port || bracket_port) {
    const std::string_view port = name.substr(colon + 1);
    if (port.empty() || port.size() > 5 ||
        port.find_first_not_of("0123456789") != std::string_view::npos) {
      report.Add("spec.rewrite.host", host, "has a port that is not a number",
                 "correct or remove it");
      return;
    }
    name = name.substr(0, colon);
  }
  const absl::StatusOr<HostPattern> pattern = ParseHostPattern(name);
  if (!pattern.ok()) {
    report.Add("spec.rewrite.host", host, pattern.status());
  } else if (pattern->wildcard) {
    report.Add("spec.rewrite.host", host, "is a wildcard, and one host must be sent",
               "write one host name");
  }
}

void CheckRewrite(const v1::Route& route, Report& report) {
  const v1::Rewrite& rewrite = route.rewrite();
  if (rewrite.prefix().empty() && rewrite.host().empty()) {
    report.Add("spec.rewrite", "", "changes nothing", "set prefix or host, or remove rewrite");
  }
  if (!rewrite.host().empty()) CheckRewriteHost(rewrite.host(), report);
  if (rewrite.prefix().empty()) return;
  if (!route.match().path().has_prefix()) {
    report.Add("spec.rewrite.prefix", rewrite.prefix(),
               "replaces a matched prefix, but match.path has none",
               "use match.path.prefix, or remove rewrite.prefix");
  }
  const absl::Status status = CheckCanonicalPath(rewrite.prefix());
  report.Add("spec.rewrite.prefix", rewrite.prefix(), status);
  if (status.ok() && rewrite.prefix().size() > 1 && rewrite.prefix().back() == '/') {
    report.Add(
        "spec.rewrite.prefix", rewrite.prefix(), "ends with \"/\", which would be doubled",
        absl::StrCat("write \"", rewrite.prefix().substr(0, rewrite.prefix().size() - 1), "\""));
  }
}

void CheckNames(const google::protobuf::RepeatedPtrField<std::string>& names,
                const std::string& field, const char* fix, Report& report) {
  report.AtMost(field, names.size(), 16, "names");
  Duplicates duplicates;
  for (int i = 0; i < names.size(); ++i) {
    if (report.Required(At(field, i), names[i], fix))
      duplicates.Check(report, At(field, i), names[i]);
  }
}

}  // namespace

void CheckAuthentication(const v1::Authentication& authentication, Report& report) {
  const std::string list = "spec.authentication.any_of";
  if (authentication.any_of().empty()) {
    report.Add(list, "", "is required and not set",
               "add {jwt: {provider: NAME}} or {api_key: {}}, or remove authentication to let "
               "everybody call");
  }
  report.AtMost(list, authentication.any_of_size(), 8, "methods");
  Duplicates duplicates;
  const bool any_jwt =
      std::any_of(authentication.any_of().begin(), authentication.any_of().end(),
                  [](const v1::AuthenticationMethod& method) { return method.has_jwt(); });
  for (int i = 0; i < authentication.any_of_size(); ++i) {
    const v1::AuthenticationMethod& method = authentication.any_of(i);
    const std::string at = At(list, i);
    if (method.has_jwt()) {
      const std::string& provider = method.jwt().provider();
      if (report.Required(at + ".jwt.provider", provider, "name a JwtProvider")) {
        duplicates.Check(report, at + ".jwt.provider", absl::StrCat("jwt ", provider), provider);
      }
    } else if (method.has_api_key()) {
      const std::string& written = method.api_key().header();
      const std::string header = written.empty() ? "x-api-key" : absl::AsciiStrToLower(written);
      const std::string field = at + ".api_key.header";
      if (!report.FieldName(field, header)) continue;
      duplicates.Check(report, field, absl::StrCat("key ", header), header);
      if (any_jwt && header == "authorization") {
        report.Add(field, written, "is the field that the JWT of this route is read from",
                   "use another field, as x-api-key");
      }
    } else {
      report.Add(at, "", "names no method", "set jwt or api_key");
    }
  }
}

void CheckRoute(const v1::Route& route, Report& report) {
  CheckRouteMatch(route.match(), report);
  CheckAction(route, report);
  if (route.has_rewrite()) CheckRewrite(route, report);
  if (route.has_timeout())
    report.Range("spec.timeout", route.timeout(), absl::Milliseconds(1), absl::Hours(24 * 7));
  if (route.has_authentication()) CheckAuthentication(route.authentication(), report);
  CheckNames(route.rate_limits(), "spec.rate_limits", "name a RateLimitPolicy", report);
  CheckNames(route.header_transforms(), "spec.header_transforms", "name a HeaderTransform", report);
  if (route.retry().attempts() != 0)
    report.Range("spec.retry.attempts", route.retry().attempts(), 1, 5);
}

}  // namespace portico::api
