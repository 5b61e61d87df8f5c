#include "api/resource/path_template.h"

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "api/resource/strings.h"

namespace portico::api {
namespace {

constexpr size_t kMaxPathBytes = 1024;
constexpr size_t kMaxSegments = 64;

// RFC 3986 section 2.3.
bool IsUnreserved(unsigned char c) {
  return absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

absl::Status CheckEscape(std::string_view path, size_t at) {
  std::string_view escape = path.substr(at, 3);
  if (escape.size() < 3 || !absl::ascii_isxdigit(escape[1]) || !absl::ascii_isxdigit(escape[2])) {
    return absl::InvalidArgumentError(
        "holds a \"%\" that two hexadecimal digits do not follow; write \"%25\" for the character "
        "itself");
  }
  if (absl::ascii_islower(escape[1]) || absl::ascii_islower(escape[2])) {
    return absl::InvalidArgumentError(
        absl::StrCat("holds \"", Absl(escape), "\", but canonical paths use upper case; write \"",
                     absl::AsciiStrToUpper(Absl(escape)), "\""));
  }
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'A' + 10; };
  const auto decoded = static_cast<unsigned char>(digit(escape[1]) * 16 + digit(escape[2]));
  if (IsUnreserved(decoded)) {
    return absl::InvalidArgumentError(
        absl::StrCat("holds \"", Absl(escape), "\", but canonical paths have it decoded; write \"",
                     std::string(1, static_cast<char>(decoded)), "\""));
  }
  return absl::OkStatus();
}

absl::Status CheckBytes(std::string_view path) {
  for (size_t i = 0; i < path.size(); ++i) {
    const auto c = static_cast<unsigned char>(path[i]);
    if (c == '?' || c == '#') {
      return absl::InvalidArgumentError(
          "holds a query or fragment, and a path has none; use match.query for parameters");
    }
    if (c <= 0x20 || c >= 0x7f) {
      return absl::InvalidArgumentError(
          "holds a space, a control character or a non-ASCII byte; percent-encode it");
    }
    if (c == '%') {
      if (absl::Status status = CheckEscape(path, i); !status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

std::vector<std::string_view> SplitSegments(std::string_view path) {
  std::vector<std::string_view> segments;
  size_t start = 1;
  while (start <= path.size()) {
    const size_t slash = std::min(path.find('/', start), path.size());
    segments.push_back(path.substr(start, slash - start));
    start = slash + 1;
  }
  return segments;
}

absl::Status CheckCommon(std::string_view path) {
  if (path.empty() || path[0] != '/') {
    return absl::InvalidArgumentError("does not start with \"/\"; put one in front");
  }
  if (path.size() > kMaxPathBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("is ", path.size(), " bytes long; use at most ", kMaxPathBytes));
  }
  if (absl::Status status = CheckBytes(path); !status.ok()) return status;
  for (std::string_view segment : SplitSegments(path)) {
    if (segment == "." || segment == "..") {
      return absl::InvalidArgumentError(
          "holds a dot segment, which canonical paths never have; write the path it leads to");
    }
  }
  return absl::OkStatus();
}

bool IsVariableName(std::string_view name) {
  return !name.empty() && absl::ascii_isalpha(name[0]) &&
         std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return absl::ascii_isalnum(c) || c == '_'; });
}

absl::StatusOr<TemplateSegment> ParseSegment(std::string_view text, bool last) {
  if (text.find_first_of("{}") == std::string_view::npos) {
    if (text.find('*') != std::string_view::npos) {
      return absl::InvalidArgumentError(
          "holds a \"*\" outside of a variable; write \"{name}\" for one segment, \"{name=**}\" at "
          "the "
          "end for the rest");
    }
    if (text.empty() && !last) {
      return absl::InvalidArgumentError("holds an empty segment (\"//\"); remove one slash");
    }
    return TemplateSegment{TemplateSegment::Kind::kLiteral, std::string(text)};
  }
  if (text.front() != '{' || text.back() != '}' || text.find_first_of("{}", 1) != text.size() - 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("mixes text and variable in the segment \"", Absl(text),
                     "\"; let a variable be a whole segment, or use match.path.regex"));
  }
  std::string_view inner = text.substr(1, text.size() - 2);
  TemplateSegment segment{TemplateSegment::Kind::kVariable, ""};
  if (const size_t equals = inner.find('='); equals != std::string_view::npos) {
    if (inner.substr(equals + 1) != "**") {
      return absl::InvalidArgumentError(
          absl::StrCat("has the unknown pattern \"", Absl(inner.substr(equals + 1)),
                       "\" in a variable; write \"{name}\" for one segment, \"{name=**}\" at the "
                       "end for the rest"));
    }
    if (!last) {
      return absl::InvalidArgumentError(
          "goes on after \"{name=**}\", which takes the whole rest; move it to the end");
    }
    segment.kind = TemplateSegment::Kind::kRest;
    inner = inner.substr(0, equals);
  }
  if (!IsVariableName(inner)) {
    return absl::InvalidArgumentError(
        absl::StrCat("has the variable name \"", Absl(inner),
                     "\"; use letters, digits and \"_\", starting with a letter"));
  }
  segment.text = std::string(inner);
  return segment;
}

}  // namespace

absl::StatusOr<std::vector<TemplateSegment>> ParsePathTemplate(std::string_view text) {
  if (absl::Status status = CheckCommon(text); !status.ok()) return status;
  const std::vector<std::string_view> parts = SplitSegments(text);
  if (parts.size() > kMaxSegments) {
    return absl::InvalidArgumentError(
        absl::StrCat("has ", parts.size(), " segments; use at most ", kMaxSegments));
  }
  std::vector<TemplateSegment> segments;
  std::set<std::string> names;
  for (size_t i = 0; i < parts.size(); ++i) {
    absl::StatusOr<TemplateSegment> segment = ParseSegment(parts[i], i + 1 == parts.size());
    if (!segment.ok()) return segment.status();
    if (segment->kind != TemplateSegment::Kind::kLiteral && !names.insert(segment->text).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("has two variables named \"", segment->text, "\"; give each its own name"));
    }
    segments.push_back(*std::move(segment));
  }
  if (names.empty()) {
    return absl::InvalidArgumentError("has no variable; use match.path.exact");
  }
  return segments;
}

absl::Status CheckCanonicalPath(std::string_view path) {
  if (absl::Status status = CheckCommon(path); !status.ok()) return status;
  if (path.find_first_of("{}") != std::string_view::npos) {
    return absl::InvalidArgumentError(
        "holds braces; use match.path.template for variables, \"%7B\" and \"%7D\" for the "
        "characters");
  }
  return absl::OkStatus();
}

}  // namespace portico::api
