// Texts of policies, made in the exchange's arena.
#ifndef DATAPLANE_FILTERS_TEXT_H_
#define DATAPLANE_FILTERS_TEXT_H_

#include <charconv>
#include <cstdint>
#include <string_view>

#include "dataplane/base/arena.h"

namespace portico::filters {

// `value` in decimal digits.
inline std::string_view Decimal(base::Arena& arena, int64_t value) {
  constexpr size_t kMost = 20;
  char* const text = arena.NewArray<char>(kMost);
  const std::to_chars_result end = std::to_chars(text, text + kMost, value);
  return {text, static_cast<size_t>(end.ptr - text)};
}

// Whether `text` may stand in a header field (RFC 9110 section 5.5): no control
// characters but tab, no white space at the ends.
inline bool FitsHeader(std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && byte != '\t') || byte == 0x7f) return false;
  }
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  return text.empty() || (!blank(text.front()) && !blank(text.back()));
}

}  // namespace portico::filters

#endif  // DATAPLANE_FILTERS_TEXT_H_
