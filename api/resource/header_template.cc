#include "api/resource/header_template.h"

#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "api/resource/http_syntax.h"
#include "api/resource/near.h"
#include "api/resource/strings.h"

namespace portico::api {
namespace {

constexpr int kMaxVariables = 32;

struct Known {
  std::string_view name;  // A final dot means that a NAME follows.
  HeaderVariable variable;
};

constexpr std::array<Known, 16> kKnown = {{
    {"client.address", HeaderVariable::kClientAddress},
    {"request.id", HeaderVariable::kRequestId},
    {"request.method", HeaderVariable::kRequestMethod},
    {"request.path", HeaderVariable::kRequestPath},
    {"request.host", HeaderVariable::kRequestHost},
    {"request.header.", HeaderVariable::kRequestHeader},
    {"route.name", HeaderVariable::kRouteName},
    {"upstream.name", HeaderVariable::kUpstreamName},
    {"consumer.name", HeaderVariable::kConsumerName},
    {"consumer.plan", HeaderVariable::kConsumerPlan},
    {"claim.", HeaderVariable::kClaim},
    {"tls.version", HeaderVariable::kTlsVersion},
    {"tls.server_name", HeaderVariable::kTlsServerName},
    {"tls.client.fingerprint", HeaderVariable::kTlsClientFingerprint},
    {"tls.client.subject", HeaderVariable::kTlsClientSubject},
    {"tls.client.san", HeaderVariable::kTlsClientSan},
}};

std::string KnownList() {
  std::string list;
  for (const Known& known : kKnown) {
    absl::StrAppend(&list, list.empty() ? "" : ", ", "${", Absl(known.name),
                    known.name.back() == '.' ? "NAME" : "", "}");
  }
  return list;
}

absl::StatusOr<HeaderPart> ParseVariable(std::string_view name) {
  std::vector<std::string> names;
  for (const Known& known : kKnown) {
    const bool takes_name = known.name.back() == '.';
    names.emplace_back(known.name);
    if (!takes_name && name == known.name) return HeaderPart{known.variable, ""};
    if (!takes_name || name.substr(0, known.name.size()) != known.name) continue;
    std::string_view argument = name.substr(known.name.size());
    if (known.variable == HeaderVariable::kRequestHeader && !IsToken(argument)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "has \"${", Absl(name),
          "}\" without the name of a header field; write \"${request.header.x-name}\""));
    }
    if (argument.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "has \"${", Absl(name), "}\" without the name of a claim; write \"${claim.sub}\""));
    }
    return HeaderPart{known.variable, known.variable == HeaderVariable::kRequestHeader
                                          ? absl::AsciiStrToLower(Absl(argument))
                                          : std::string(argument)};
  }
  const std::string near = Nearest(name, names);
  return absl::InvalidArgumentError(
      absl::StrCat("has the unknown variable \"${", Absl(name), "}\"; ",
                   near.empty() ? "" : absl::StrCat("did you mean \"${", near, "}\"? "),
                   "known are ", KnownList()));
}

}  // namespace

absl::StatusOr<std::vector<HeaderPart>> ParseHeaderTemplate(std::string_view value) {
  std::vector<HeaderPart> parts;
  std::string literal;
  int variables = 0;
  const auto flush = [&] {
    if (!literal.empty()) parts.push_back(HeaderPart{std::nullopt, std::exchange(literal, "")});
  };
  size_t at = 0;
  while (at < value.size()) {
    const size_t dollar = std::min(value.find('$', at), value.size());
    literal.append(value.substr(at, dollar - at));
    if (dollar == value.size()) break;
    const char next = dollar + 1 < value.size() ? value[dollar + 1] : '\0';
    if (next == '$') {
      literal.push_back('$');
      at = dollar + 2;
      continue;
    }
    if (next != '{') {
      return absl::InvalidArgumentError(
          "has a \"$\" that starts no variable; write \"$$\" for the character itself, \"${...}\" "
          "for a "
          "variable");
    }
    const size_t close = value.find('}', dollar);
    if (close == std::string_view::npos) {
      return absl::InvalidArgumentError("has a \"${\" without a \"}\"; close it");
    }
    absl::StatusOr<HeaderPart> part = ParseVariable(value.substr(dollar + 2, close - dollar - 2));
    if (!part.ok()) return part.status();
    if (++variables > kMaxVariables) {
      return absl::InvalidArgumentError(
          absl::StrCat("has more than ", kMaxVariables, " variables; use fewer"));
    }
    flush();
    parts.push_back(*std::move(part));
    at = close + 1;
  }
  flush();
  return parts;
}

}  // namespace portico::api
