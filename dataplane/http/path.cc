#include "dataplane/http/path.h"

#include <algorithm>
#include <cstddef>

#include "dataplane/http/characters.h"

namespace portico::http {
namespace {

constexpr char kUpperHex[] = "0123456789ABCDEF";

// A character that a path may neither contain nor be repaired from.
bool IsForbidden(unsigned char c) { return c <= 0x20 || c == 0x7F || c == '\\' || c == '#' || c == '?'; }

// Whether the segment that begins at `i` (after its slash) is "." or "..".
bool IsDotSegment(std::string_view path, size_t i) {
  const std::string_view rest = path.substr(i);
  if (rest.empty() || rest[0] != '.') return false;
  if (rest.size() == 1 || rest[1] == '/') return true;
  return rest[1] == '.' && (rest.size() == 2 || rest[2] == '/');
}

// Checks `raw` and tells whether it is canonical.
std::string_view Examine(std::string_view raw, bool& canonical) {
  canonical = true;
  if (raw.empty() || raw[0] != '/') return "invalid_path";
  for (size_t i = 0; i < raw.size(); ++i) {
    const char c = raw[i];
    if (Is(c, kPathCharacter)) {
      if (c == '/' && IsDotSegment(raw, i + 1)) canonical = false;
    } else if (c == '%') {
      if (raw.size() - i < 3 || !Is(raw[i + 1], kHexDigit) || !Is(raw[i + 2], kHexDigit)) {
        return "invalid_percent_encoding";
      }
      const char decoded = static_cast<char>(HexValue(raw[i + 1]) << 4 | HexValue(raw[i + 2]));
      if (decoded == '\0') return "invalid_path";
      if (Is(decoded, kUnreservedCharacter) || raw[i + 1] >= 'a' || raw[i + 2] >= 'a') canonical = false;
      i += 2;
    } else if (IsForbidden(static_cast<unsigned char>(c))) {
      return "invalid_path";
    } else {
      canonical = false;
    }
  }
  return {};
}

// Decodes what need not be encoded and encodes what must be; `out` has three times
// the room. Returns the length.
size_t NormalizeCharacters(std::string_view raw, char* out) {
  size_t n = 0;
  for (size_t i = 0; i < raw.size(); ++i) {
    unsigned char c = raw[i];
    if (Is(raw[i], kPathCharacter)) {
      out[n++] = raw[i];
      continue;
    }
    if (c == '%') {
      c = static_cast<unsigned char>(HexValue(raw[i + 1]) << 4 | HexValue(raw[i + 2]));
      i += 2;
      if (Is(static_cast<char>(c), kUnreservedCharacter)) {
        out[n++] = static_cast<char>(c);
        continue;
      }
    }
    out[n++] = '%';
    out[n++] = kUpperHex[c >> 4];
    out[n++] = kUpperHex[c & 15];
  }
  return n;
}

// RFC 3986 section 5.2.4, in place. Returns the length.
size_t RemoveDotSegments(char* path, size_t size) {
  size_t out = 0;
  for (size_t i = 0; i < size;) {
    size_t end = i + 1;
    while (end < size && path[end] != '/') ++end;
    const std::string_view segment(path + i + 1, end - i - 1);
    const bool last = end == size;
    if (segment == "." || segment == "..") {
      if (segment == "..") {
        while (out > 0 && path[--out] != '/') {
        }
      }
      if (last) path[out++] = '/';
    } else {
      for (size_t k = i; k < end; ++k) path[out++] = path[k];
    }
    i = end;
  }
  return out;
}

bool IsDigits(std::string_view text) {
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
  }
  return true;
}

// RFC 9110 section 4.2: an empty port is allowed.
bool IsPort(std::string_view text) {
  if (text.size() > 5 || !IsDigits(text)) return false;
  unsigned value = 0;
  for (const char c : text) value = value * 10 + static_cast<unsigned>(c - '0');
  return value <= 65535;
}

std::string_view LowerCase(std::string_view text, base::Arena& arena) {
  size_t i = 0;
  while (i < text.size() && !(text[i] >= 'A' && text[i] <= 'Z')) ++i;
  if (i == text.size()) return text;
  char* copy = arena.NewArray<char>(text.size());
  for (size_t k = 0; k < text.size(); ++k) {
    copy[k] = text[k] >= 'A' && text[k] <= 'Z' ? static_cast<char>(text[k] + 32) : text[k];
  }
  return {copy, text.size()};
}

}  // namespace

std::string_view CanonicalizePath(std::string_view raw, base::Arena& arena, std::string_view& path) {
  bool canonical = false;
  if (const std::string_view error = Examine(raw, canonical); !error.empty()) return error;
  if (canonical) {
    path = raw;
    return {};
  }
  char* out = arena.NewArray<char>(raw.size() * 3);
  const size_t size = NormalizeCharacters(raw, out);
  path = {out, RemoveDotSegments(out, size)};
  return {};
}

bool IsCanonicalPath(std::string_view path) {
  bool canonical = false;
  return Examine(path, canonical).empty() && canonical;
}

std::string_view ParseAuthority(std::string_view raw, base::Arena& arena, std::string_view& authority,
                                std::string_view& host) {
  size_t host_size = 0;
  if (!raw.empty() && raw[0] == '[') {
    host_size = raw.find(']');
    if (host_size == std::string_view::npos || host_size < 3) return "invalid_host";
    for (const char c : raw.substr(1, host_size - 1)) {
      if (!Is(c, kHexDigit) && c != ':' && c != '.') return "invalid_host";
    }
    ++host_size;
  } else {
    while (host_size < raw.size() && Is(raw[host_size], kUnreservedCharacter)) ++host_size;
    if (host_size == 0) return "invalid_host";
  }
  const std::string_view rest = raw.substr(host_size);
  if (!rest.empty() && (rest[0] != ':' || !IsPort(rest.substr(1)))) return "invalid_host";
  authority = LowerCase(raw, arena);
  host = authority.substr(0, host_size);
  // The root of the DNS may be written: "a.test." and "a.test" are one host.
  if (host.size() > 1 && host.back() == '.') host.remove_suffix(1);
  return {};
}

std::string_view ParseTarget(std::string_view raw, RequestHead& head) {
  base::Arena& arena = head.headers.arena();
  head.target = raw;
  if (raw == "*") {
    head.path = raw;
    return head.method == Method::kOptions ? std::string_view() : "invalid_target";
  }
  for (const char c : raw) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte == 0x7F || byte == '#') return "invalid_target";
  }
  std::string_view local = raw;
  if (raw.empty() || raw[0] != '/') {
    const size_t colon = raw.find("://");
    if (colon == std::string_view::npos || colon == 0) return "invalid_target";
    const std::string_view scheme = raw.substr(0, colon);
    if (!EqualsIgnoreCase(scheme, "http") && !EqualsIgnoreCase(scheme, "https")) return "invalid_scheme";
    const std::string_view rest = raw.substr(colon + 3);
    const size_t end = std::min(rest.find_first_of("/?"), rest.size());
    if (const std::string_view error = ParseAuthority(rest.substr(0, end), arena, head.authority, head.host);
        !error.empty()) {
      return error;
    }
    local = rest.substr(end);
    if (local.empty() && head.method == Method::kOptions) {
      // RFC 9112 section 3.2.4.
      head.target = head.path = "*";
      return {};
    }
    if (local.empty()) {
      local = "/";
    } else if (local[0] == '?') {
      local = arena.Concat({"/", local});
    }
    head.target = local;
  }
  const size_t question = local.find('?');
  head.has_query = question != std::string_view::npos;
  head.query = head.has_query ? local.substr(question + 1) : std::string_view();
  return CanonicalizePath(local.substr(0, question), arena, head.path);
}

}  // namespace portico::http
