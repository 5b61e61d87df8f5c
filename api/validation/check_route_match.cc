#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "api/resource/host.h"
#include "api/resource/http_syntax.h"
#include "api/resource/path_template.h"
#include "api/resource/strings.h"
#include "api/validation/checks.h"

namespace portico::api {
namespace {

// An identifier of the proto language.
bool IsIdentifier(std::string_view text) {
  const auto letter = [](unsigned char c) { return absl::ascii_isalpha(c) || c == '_'; };
  return !text.empty() && letter(static_cast<unsigned char>(text[0])) &&
         std::all_of(text.begin(), text.end(),
                     [&](unsigned char c) { return letter(c) || absl::ascii_isdigit(c); });
}

void CheckGrpc(const v1::GrpcMatch& grpc, Report& report) {
  const std::string at = "spec.match.path.grpc.";
  constexpr size_t kMostBytes = 500;
  if (report.Required(at + "service", grpc.service(), "write the full name, \"pkg.Service\"")) {
    bool valid = grpc.service().size() <= kMostBytes;
    for (const absl::string_view part : absl::StrSplit(grpc.service(), '.'))
      valid = valid && IsIdentifier(Std(part));
    if (!valid) {
      report.Add(at + "service", grpc.service(), "is not the full name of a service",
                 "write it as in the .proto file: \"pkg.Service\", without \"/\", at most 500 "
                 "bytes");
    }
  }
  if (!grpc.method().empty() &&
      (grpc.method().size() > kMostBytes || !IsIdentifier(grpc.method()))) {
    report.Add(at + "method", grpc.method(), "is not the name of a method",
               "write it as in the .proto file, without the service, or leave it out for all");
  }
}

void CheckPath(const v1::PathMatch& path, Report& report) {
  const std::string at = "spec.match.path";
  switch (path.kind_case()) {
    case v1::PathMatch::kExact:
      report.Add(at + ".exact", path.exact(), CheckCanonicalPath(path.exact()));
      return;
    case v1::PathMatch::kPrefix: {
      const absl::Status status = CheckCanonicalPath(path.prefix());
      report.Add(at + ".prefix", path.prefix(), status);
      if (status.ok() && path.prefix().size() > 1 && path.prefix().back() == '/') {
        report.Add(at + ".prefix", path.prefix(),
                   "ends with \"/\", but a prefix counts whole segments anyway",
                   absl::StrCat("write \"", path.prefix().substr(0, path.prefix().size() - 1),
                                "\", which takes this path and everything below it"));
      }
      return;
    }
    case v1::PathMatch::kTemplate:
      report.Add(at + ".template", path.template_(), ParsePathTemplate(path.template_()).status());
      return;
    case v1::PathMatch::kRegex:
      CheckRegex(at + ".regex", path.regex(), report);
      return;
    case v1::PathMatch::kGrpc:
      CheckGrpc(path.grpc(), report);
      return;
    case v1::PathMatch::KIND_NOT_SET:
      report.Add(at, "", "is required and not set",
                 "set one of exact, prefix, template, regex, grpc; \"prefix: /\" takes all");
  }
}

void CheckHosts(const v1::RouteMatch& match, Report& report) {
  report.AtMost("spec.match.hosts", match.hosts_size(), 100, "hosts");
  Duplicates duplicates;
  for (int i = 0; i < match.hosts_size(); ++i) {
    const std::string field = At("spec.match.hosts", i);
    const absl::StatusOr<HostPattern> host = ParseHostPattern(match.hosts(i));
    report.Add(field, match.hosts(i), host.status());
    if (host.ok())
      duplicates.Check(report, field, absl::StrCat(host->wildcard ? "*." : "", host->name),
                       match.hosts(i));
  }
}

void CheckMethods(const v1::RouteMatch& match, Report& report) {
  report.AtMost("spec.match.methods", match.methods_size(), 32, "methods");
  Duplicates duplicates;
  for (int i = 0; i < match.methods_size(); ++i) {
    const std::string field = At("spec.match.methods", i);
    const std::string& method = match.methods(i);
    const std::string upper = absl::AsciiStrToUpper(method);
    if (!IsToken(method) || method.size() > 32) {
      report.Add(field, method, "is not a method (RFC 9110 section 9)",
                 "write one like GET or POST");
    } else if (method != upper) {
      report.Add(field, method, "is not in upper case, and methods are compared byte by byte",
                 absl::StrCat("write ", upper));
    } else {
      duplicates.Check(report, field, method);
    }
  }
}

// Whether conditions on one field or parameter can hold together.
class Contradictions {
 public:
  void Check(Report& report, const std::string& at, const std::string& name, bool absent,
             const std::string* exact) {
    State& state = states_[name];
    if ((absent && state.needs_value) || (!absent && state.absent)) {
      report.Add(at, name,
                 "is required to be absent by one condition and present by another, so this route "
                 "matches nothing",
                 "remove one of the two conditions");
    } else if (exact != nullptr && state.exact && *state.exact != *exact) {
      report.Add(at, *exact,
                 absl::StrCat("cannot equal two values at once (the other is \"",
                              Shortened(*state.exact), "\"), so this route matches nothing"),
                 "remove one, or use one regex with both");
    }
    state.absent = state.absent || absent;
    state.needs_value = state.needs_value || !absent;
    if (exact != nullptr) state.exact = *exact;
  }

 private:
  struct State {
    bool absent = false;
    bool needs_value = false;
    std::optional<std::string> exact;
  };
  std::map<std::string, State> states_;
};

void CheckHeaders(const v1::RouteMatch& match, Report& report) {
  report.AtMost("spec.match.headers", match.headers_size(), 32, "conditions");
  Duplicates duplicates;
  Contradictions contradictions;
  for (int i = 0; i < match.headers_size(); ++i) {
    const std::string at = At("spec.match.headers", i);
    const v1::HeaderMatch& header = match.headers(i);
    if (report.Token(at + ".name", header.name()) &&
        absl::EqualsIgnoreCase(header.name(), "host")) {
      report.Add(at + ".name", header.name(), "is matched by hosts", "use match.hosts");
    }
    switch (header.condition_case()) {
      case v1::HeaderMatch::kExact:
      case v1::HeaderMatch::kPrefix: {
        const bool exact = header.has_exact();
        const std::string& value = exact ? header.exact() : header.prefix();
        // A prefix may end in a space, which a whole value never does.
        if (!IsFieldValue(exact ? value : value + "x")) {
          report.Add(at + (exact ? ".exact" : ".prefix"), value,
                     "can never be a header value (RFC 9110 section 5.5)",
                     "remove control characters and white space at the ends");
        }
        break;
      }
      case v1::HeaderMatch::kRegex:
        CheckRegex(at + ".regex", header.regex(), report);
        break;
      case v1::HeaderMatch::kPresent:
        break;
      case v1::HeaderMatch::CONDITION_NOT_SET:
        report.Add(at, header.name(), "has no condition",
                   "set one of exact, prefix, regex, present");
        continue;
    }
    const std::string name = absl::AsciiStrToLower(header.name());
    v1::HeaderMatch shape = header;
    shape.set_name(name);
    if (!duplicates.Check(report, at, shape.SerializeAsString(), header.name())) continue;
    contradictions.Check(report, at, name, header.has_present() && !header.present(),
                         header.has_exact() ? &header.exact() : nullptr);
  }
}

void CheckQuery(const v1::RouteMatch& match, Report& report) {
  report.AtMost("spec.match.query", match.query_size(), 32, "conditions");
  Duplicates duplicates;
  Contradictions contradictions;
  for (int i = 0; i < match.query_size(); ++i) {
    const std::string at = At("spec.match.query", i);
    const v1::QueryMatch& query = match.query(i);
    report.Required(at + ".name", query.name(), "name a query parameter");
    if (query.condition_case() == v1::QueryMatch::CONDITION_NOT_SET) {
      report.Add(at, query.name(), "has no condition", "set one of exact, regex, present");
      continue;
    }
    if (query.has_regex()) CheckRegex(at + ".regex", query.regex(), report);
    if (!duplicates.Check(report, at, query.SerializeAsString(), query.name())) continue;
    contradictions.Check(report, at, query.name(), query.has_present() && !query.present(),
                         query.has_exact() ? &query.exact() : nullptr);
  }
}

}  // namespace

void CheckRouteMatch(const v1::RouteMatch& match, Report& report) {
  report.AtMost("spec.match.listeners", match.listeners_size(), 100, "listeners");
  Duplicates listeners;
  for (int i = 0; i < match.listeners_size(); ++i) {
    const std::string field = At("spec.match.listeners", i);
    if (report.Required(field, match.listeners(i), "name a Listener"))
      listeners.Check(report, field, match.listeners(i));
  }
  CheckHosts(match, report);
  CheckPath(match.path(), report);
  CheckMethods(match, report);
  CheckHeaders(match, report);
  CheckQuery(match, report);
}

}  // namespace portico::api
