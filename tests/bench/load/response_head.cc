#include "tests/bench/load/response_head.h"

#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"

namespace portico::bench {
namespace {

constexpr std::string_view kEmptyLine = "\r\n\r\n";
constexpr size_t kStatusLine = sizeof("HTTP/1.1 200") - 1;

// Debian's Abseil has a string_view of its own.
absl::string_view Abseil(std::string_view text) { return {text.data(), text.size()}; }

size_t FindEmptyLine(std::string_view bytes) {
  // memmem is several times as fast as string_view::find.
  const void* found = memmem(bytes.data(), bytes.size(), kEmptyLine.data(), kEmptyLine.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(found) - bytes.data());
}

}  // namespace

HeadResult ReadResponseHead(std::string_view bytes, ResponseHead& head) {
  const size_t end = FindEmptyLine(bytes);
  if (end == std::string_view::npos) return HeadResult::kIncomplete;
  if (end < kStatusLine || bytes.substr(0, 7) != "HTTP/1." ||
      !absl::SimpleAtoi(Abseil(bytes.substr(9, 3)), &head.status)) {
    return HeadResult::kUnsupported;
  }
  head.size = end + kEmptyLine.size();
  head.content_length = 0;
  head.close = bytes[7] == '0';
  bool has_length = false;
  for (size_t at = bytes.find('\n'); at < end; at = bytes.find('\n', at + 1)) {
    const std::string_view line = bytes.substr(at + 1, bytes.find('\r', at + 1) - at - 1);
    if (line.size() < 11) continue;
    const char first = absl::ascii_tolower(line[0]);
    if (first == 'c' && absl::StartsWithIgnoreCase(Abseil(line), "content-length:")) {
      has_length = absl::SimpleAtoi(Abseil(line.substr(15)), &head.content_length);
    } else if (first == 'c' && absl::StartsWithIgnoreCase(Abseil(line), "connection:")) {
      head.close |= absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(Abseil(line.substr(11))), "close");
    } else if (first == 't' && absl::StartsWithIgnoreCase(Abseil(line), "transfer-encoding:")) {
      return HeadResult::kUnsupported;
    }
  }
  const bool bodiless = head.status == 204 || head.status == 304;
  return has_length || bodiless ? HeadResult::kComplete : HeadResult::kUnsupported;
}

std::optional<size_t> RequestHeadSize(std::string_view bytes) {
  const size_t end = FindEmptyLine(bytes);
  if (end == std::string_view::npos) return std::nullopt;
  return end + kEmptyLine.size();
}

}  // namespace portico::bench
