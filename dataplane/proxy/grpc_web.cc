#include "dataplane/proxy/grpc_web.h"

#include <algorithm>
#include <array>

namespace portico::proxy {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr int8_t kNoDigit = -1;

constexpr std::array<int8_t, 256> MakeDigits() {
  std::array<int8_t, 256> digits{};
  for (int8_t& digit : digits) digit = kNoDigit;
  for (size_t i = 0; i < kAlphabet.size(); ++i) {
    digits[static_cast<unsigned char>(kAlphabet[i])] = static_cast<int8_t>(i);
  }
  return digits;
}
constexpr std::array<int8_t, 256> kDigits = MakeDigits();

constexpr char kTrailerFlag = '\x80';
constexpr std::string_view kUnknown =
    "grpc-status:2\r\ngrpc-message:the upstream sent no status\r\n";

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

template <typename Visitor>
void ForEachField(const http::HeaderList* list, Visitor&& visit) {
  if (list == nullptr) return;
  for (const http::HeaderField& field : *list) {
    if (!field.name.empty()) visit(field);
  }
}

}  // namespace

std::optional<size_t> Base64Decoder::Decode(std::string_view text, char* out) {
  const char* const start = out;
  for (const char c : text) {
    if (c == '=') {
      // "xx==" or "xxx=": what is left over of the bits must be zero.
      if (count_ < 2) return std::nullopt;
      ++padding_;
      bits_ <<= 6;
    } else {
      const int8_t digit = kDigits[static_cast<unsigned char>(c)];
      if (digit == kNoDigit || padding_ > 0) return std::nullopt;
      bits_ = bits_ << 6 | static_cast<uint32_t>(digit);
    }
    if (++count_ < 4) continue;
    const uint32_t unused = padding_ == 0 ? 0 : (1u << (8 * padding_)) - 1;
    if ((bits_ & unused) != 0) return std::nullopt;
    *out++ = static_cast<char>(bits_ >> 16);
    if (padding_ < 2) *out++ = static_cast<char>(bits_ >> 8);
    if (padding_ < 1) *out++ = static_cast<char>(bits_);
    bits_ = count_ = padding_ = 0;
  }
  return static_cast<size_t>(out - start);
}

void EncodeBase64(std::string_view bytes, char* out) {
  const auto byte = [&bytes](size_t i) -> uint32_t {
    return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0;
  };
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const uint32_t bits = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    *out++ = kAlphabet[bits >> 18];
    *out++ = kAlphabet[bits >> 12 & 63];
    *out++ = i + 1 < bytes.size() ? kAlphabet[bits >> 6 & 63] : '=';
    *out++ = i + 2 < bytes.size() ? kAlphabet[bits & 63] : '=';
  }
}

std::string_view EncodeBase64(std::string_view bytes, base::Arena& arena) {
  const size_t size = EncodedBase64(bytes.size());
  char* const out = static_cast<char*>(arena.Allocate(size, 1));
  EncodeBase64(bytes, out);
  return {out, size};
}

std::string_view GrpcWebTrailerFrame(const http::HeaderList* first, const http::HeaderList* second,
                                     base::Arena& arena) {
  size_t size = 0;
  bool has_status = false;
  const auto measure = [&](const http::HeaderField& field) {
    size += field.name.size() + field.value.size() + 3;
    has_status = has_status || field.id == http::HeaderId::kGrpcStatus;
  };
  ForEachField(first, measure);
  ForEachField(second, measure);
  if (!has_status) size += kUnknown.size();

  char* const start = static_cast<char*>(arena.Allocate(size + 5, 1));
  char* out = start;
  *out++ = kTrailerFlag;
  for (int shift = 24; shift >= 0; shift -= 8) *out++ = static_cast<char>(size >> shift);
  const auto put = [&out](std::string_view text) {
    out = std::copy(text.begin(), text.end(), out);
  };
  const auto write = [&](const http::HeaderField& field) {
    for (const char c : field.name) *out++ = Lower(c);
    put(":");
    put(field.value);
    put("\r\n");
  };
  ForEachField(first, write);
  ForEachField(second, write);
  if (!has_status) put(kUnknown);
  return {start, static_cast<size_t>(out - start)};
}

bool IsGrpcStatusField(const http::HeaderField& field) {
  return field.id == http::HeaderId::kGrpcStatus ||
         http::EqualsIgnoreCase(field.name, "grpc-message") ||
         http::EqualsIgnoreCase(field.name, "grpc-status-details-bin");
}

}  // namespace portico::proxy
