#include "api/resource/http_syntax.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "api/resource/strings.h"

namespace portico::api {

bool IsToken(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](unsigned char c) {
    return absl::ascii_isalnum(c) || kMarks.find(static_cast<char>(c)) != std::string_view::npos;
  });
}

bool IsFieldValue(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t'; };
  if (!text.empty() && (is_space(text.front()) || is_space(text.back()))) return false;
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return c == '\t' || (c >= 0x20 && c != 0x7f); });
}

bool IsReservedField(std::string_view name) {
  constexpr std::array<std::string_view, 10> kReserved = {
      "host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection",
      "te",   "trailer",        "upgrade",           "expect"};
  if (!name.empty() && name.front() == ':') return true;
  return std::any_of(kReserved.begin(), kReserved.end(), [&](std::string_view reserved) {
    return absl::EqualsIgnoreCase(Absl(reserved), Absl(name));
  });
}

}  // namespace portico::api
