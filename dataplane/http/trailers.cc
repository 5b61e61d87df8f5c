#include "dataplane/http/trailers.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "dataplane/http/characters.h"

namespace portico::http {
namespace {

constexpr size_t kMaxFields = 100;

constexpr HeaderIds kUnsafeIds =
    IdBit(HeaderId::kAuthorization) | IdBit(HeaderId::kCacheControl) |
    IdBit(HeaderId::kConnection) | IdBit(HeaderId::kContentLength) | IdBit(HeaderId::kContentType) |
    IdBit(HeaderId::kCookie) | IdBit(HeaderId::kDate) | IdBit(HeaderId::kExpect) |
    IdBit(HeaderId::kForwarded) | IdBit(HeaderId::kHost) | IdBit(HeaderId::kKeepAlive) |
    IdBit(HeaderId::kLocation) | IdBit(HeaderId::kOrigin) | IdBit(HeaderId::kProxyAuthenticate) |
    IdBit(HeaderId::kProxyAuthorization) | IdBit(HeaderId::kProxyConnection) |
    IdBit(HeaderId::kRetryAfter) | IdBit(HeaderId::kSetCookie) | IdBit(HeaderId::kTe) |
    IdBit(HeaderId::kTrailer) | IdBit(HeaderId::kTransferEncoding) | IdBit(HeaderId::kUpgrade) |
    IdBit(HeaderId::kWwwAuthenticate) | IdBit(HeaderId::kXApiKey) |
    IdBit(HeaderId::kXForwardedFor) | IdBit(HeaderId::kXForwardedHost) |
    IdBit(HeaderId::kXForwardedProto) | IdBit(HeaderId::kXRequestId);

constexpr std::array<std::string_view, 22> kUnsafeNames = {
    "accept-ranges",
    "age",
    "authentication-info",
    "content-disposition",
    "content-encoding",
    "content-range",
    "content-security-policy",
    "expires",
    "if-match",
    "if-range",
    "if-modified-since",
    "if-none-match",
    "if-unmodified-since",
    "http2-settings",
    "max-forwards",
    "pragma",
    "proxy-authentication-info",
    "range",
    "strict-transport-security",
    "vary",
    "warning",
    "x-real-ip",
};

bool IsSendable(std::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) { return Is(c, kValueCharacter); });
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

bool IsSafeTrailer(const HeaderField& field) {
  if ((IdBit(field.id) & kUnsafeIds) != 0 || field.name.empty()) return false;
  if (field.id != HeaderId::kOther) return true;
  const auto is_field = [&field](std::string_view name) {
    return EqualsIgnoreCase(field.name, name);
  };
  if (std::any_of(kUnsafeNames.begin(), kUnsafeNames.end(), is_field)) return false;
  constexpr std::string_view kAccessControl = "access-control-";
  if (EqualsIgnoreCase(field.name.substr(0, kAccessControl.size()), kAccessControl)) return false;
  constexpr std::string_view kForwarded = "x-forwarded-";
  if (EqualsIgnoreCase(field.name.substr(0, kForwarded.size()), kForwarded)) return false;
  return std::all_of(field.name.begin(), field.name.end(),
                     [](char c) { return Is(c, kTokenCharacter); });
}

const HeaderList* SafeTrailers(const HeaderList* trailers, base::Arena& arena) {
  if (trailers == nullptr) return nullptr;
  size_t safe = 0;
  for (const HeaderField& field : *trailers) safe += IsSafeTrailer(field);
  if (safe == 0) return nullptr;
  if (safe == trailers->size()) return trailers;
  HeaderList* const kept = arena.New<HeaderList>(arena);
  for (const HeaderField& field : *trailers) {
    if (IsSafeTrailer(field)) kept->Add(field);
  }
  return kept;
}

bool TakesTrailers(const HeaderList& headers) {
  for (const HeaderField& field : headers) {
    if (field.id != HeaderId::kTe || field.name.empty()) continue;
    for (std::string_view rest = field.value; !rest.empty();) {
      const size_t comma = std::min(rest.find(','), rest.size());
      if (EqualsIgnoreCase(Trim(rest.substr(0, comma)), "trailers")) return true;
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  return false;
}

std::string_view WriteLastChunk(const HeaderList& trailers, base::Arena& arena) {
  constexpr std::string_view kStart = "0\r\n";
  size_t bytes = kStart.size() + 2;
  for (const HeaderField& field : trailers) bytes += field.name.size() + field.value.size() + 4;
  char* const start = static_cast<char*>(arena.Allocate(bytes, 1));
  char* out = start;
  const auto put = [&out](std::string_view text) {
    out = std::copy(text.begin(), text.end(), out);
  };
  put(kStart);
  for (const HeaderField& field : trailers) {
    if (!IsSafeTrailer(field) || !IsSendable(field.value)) continue;
    put(field.name);
    put(": ");
    put(field.value);
    put("\r\n");
  }
  put("\r\n");
  return {start, static_cast<size_t>(out - start)};
}

const HeaderList* TrailerSection::Fields(uint16_t size) const {
  if (bytes_ == nullptr || size == 0) return nullptr;
  HeaderList* const fields = arena_.New<HeaderList>(arena_);
  std::string_view rest(bytes_, size);
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view name = line.substr(0, colon);
    HeaderField field{name, Trim(line.substr(colon + 1)), LookUpHeader(name)};
    if (!IsSafeTrailer(field)) continue;
    if (fields->size() == kMaxFields) return nullptr;
    fields->Add(field);
  }
  return fields->size() == 0 ? nullptr : fields;
}

}  // namespace portico::http
