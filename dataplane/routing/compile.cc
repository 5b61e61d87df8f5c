#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/resource/facts.h"
#include "api/resource/path_template.h"
#include "api/resource/strings.h"
#include "dataplane/routing/compiled_match.h"
#include "dataplane/routing/matcher.h"

namespace portico::routing {
namespace {

constexpr int kRangeBytes = 32;

absl::Status Bad(const char* field, const std::string& value, const absl::Status& why) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": \"", value, "\" ", why.message()));
}

absl::Status CompileHosts(const v1::RouteMatch& match, CompiledMatch& out) {
  for (const std::string& text : match.hosts()) {
    absl::StatusOr<api::HostPattern> host = api::ParseHostPattern(text);
    if (!host.ok()) return Bad("match.hosts", text, host.status());
    if (std::find(out.hosts.begin(), out.hosts.end(), *host) == out.hosts.end()) {
      out.hosts.push_back(*std::move(host));
    }
  }
  return absl::OkStatus();
}

absl::Status CompilePrefix(const std::string& text, CompiledMatch& out) {
  if (absl::Status status = api::CheckCanonicalPath(text); !status.ok()) {
    return Bad("match.path.prefix", text, status);
  }
  out.kind = PathKind::kPrefix;
  out.pattern = text;
  if (out.pattern.back() == '/') out.pattern.pop_back();  // "/api/" says the same as "/api"
  out.segments = static_cast<uint16_t>(std::count(out.pattern.begin(), out.pattern.end(), '/'));
  return absl::OkStatus();
}

absl::Status CompileTemplate(const std::string& text, CompiledMatch& out) {
  absl::StatusOr<std::vector<api::TemplateSegment>> segments = api::ParsePathTemplate(text);
  if (!segments.ok()) return Bad("match.path.template", text, segments.status());
  out.kind = PathKind::kWhole;
  for (const api::TemplateSegment& segment : *segments) {
    if (segment.kind == api::TemplateSegment::Kind::kRest) {
      out.kind = PathKind::kPrefix;
      break;
    }
    out.pattern += '/';
    if (segment.kind == api::TemplateSegment::Kind::kVariable) {
      out.pattern += kVariableMark;
      out.has_variable = true;
    } else {
      out.pattern += segment.text;
    }
    ++out.segments;
  }
  return absl::OkStatus();
}

absl::Status CompilePath(const v1::PathMatch& path, CompiledMatch& out) {
  switch (path.kind_case()) {
    case v1::PathMatch::kExact:
      if (absl::Status status = api::CheckCanonicalPath(path.exact()); !status.ok()) {
        return Bad("match.path.exact", path.exact(), status);
      }
      out.kind = PathKind::kExact;
      out.pattern = path.exact();
      return absl::OkStatus();
    case v1::PathMatch::kPrefix:
      return CompilePrefix(path.prefix(), out);
    case v1::PathMatch::kTemplate:
      return CompileTemplate(path.template_(), out);
    case v1::PathMatch::kRegex: {
      out.kind = PathKind::kRegex;
      auto regex = CompileRegex(path.regex(), "match.path.regex");
      if (!regex.ok()) return regex.status();
      out.regex = *std::move(regex);
      // The range is that of matches anchored at the start, which is what we ask for.
      const std::string anchored = absl::StrCat("^(?:", path.regex(), ")$");
      re2::RE2::Options options;
      options.set_log_errors(false);
      const re2::RE2 bounded(anchored, options);
      if (!bounded.ok() ||
          !bounded.PossibleMatchRange(&out.regex_min, &out.regex_max, kRangeBytes)) {
        out.regex_min.clear();
        out.regex_max.clear();
      }
      return absl::OkStatus();
    }
    case v1::PathMatch::kGrpc: {
      v1::PathMatch same;
      (path.grpc().method().empty() ? *same.mutable_prefix() : *same.mutable_exact()) =
          api::GrpcPath(path.grpc());
      return CompilePath(same, out);
    }
    case v1::PathMatch::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(
      "match.path: is missing; write one of exact, prefix, template, regex, grpc");
}

}  // namespace

absl::StatusOr<CompiledMatchPtr> Matcher::Compile(const v1::RouteMatch& match) {
  auto out = std::make_shared<CompiledMatch>();
  if (absl::Status status = CompileHosts(match, *out); !status.ok()) return status;
  if (absl::Status status = CompilePath(match.path(), *out); !status.ok()) return status;
  absl::StatusOr<Conditions> conditions = CompileConditions(match, out->methods);
  if (!conditions.ok()) return conditions.status();
  out->conditions = *std::move(conditions);
  const auto capped = [](size_t count) { return static_cast<uint32_t>(std::min<size_t>(count, 0x7fff)); };
  out->precedence = (match.methods().empty() ? 0u : 1u << 31) |
                    capped(out->conditions.headers.size()) << 16 | capped(out->conditions.query.size());
  return CompiledMatchPtr(std::move(out));
}

}  // namespace portico::routing
