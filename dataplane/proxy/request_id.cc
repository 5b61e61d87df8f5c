#include "dataplane/proxy/request_id.h"

#include <cstdint>

namespace portico::proxy {
namespace {

constexpr char kHex[] = "0123456789abcdef";

// The lowest `digits` hexadecimal digits of `value`, most significant first.
char* PutHex(char* out, uint64_t value, int digits) {
  for (int i = digits - 1; i >= 0; --i) {
    out[i] = kHex[value & 0xf];
    value >>= 4;
  }
  return out + digits;
}

bool IsLowerHex(std::string_view text) {
  for (const char c : text) {
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
  }
  return true;
}

bool IsAllZero(std::string_view text) {
  return text.find_first_not_of('0') == std::string_view::npos;
}

}  // namespace

std::string_view MakeRequestId(upstream::Random& random, base::Arena& arena) {
  constexpr size_t kLength = 36;
  char* const id = static_cast<char*>(arena.Allocate(kLength, 1));
  const uint64_t high = random.Next();
  // Version 4 and variant 10 in their places.
  const uint64_t low = (random.Next() & 0x3fffffffffffffff) | 0x8000000000000000;
  char* out = PutHex(id, high >> 32, 8);
  *out++ = '-';
  out = PutHex(out, high >> 16, 4);
  *out++ = '-';
  out = PutHex(out, (high & 0x0fff) | 0x4000, 4);
  *out++ = '-';
  out = PutHex(out, low >> 48, 4);
  *out++ = '-';
  PutHex(out, low, 12);
  return {id, kLength};
}

bool IsUsableRequestId(std::string_view id) {
  if (id.empty() || id.size() > 128) return false;
  for (const char c : id) {
    const bool alphanumeric =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!alphanumeric && std::string_view("-_.:/+=").find(c) == std::string_view::npos) return false;
  }
  return true;
}

std::string_view MakeTraceparent(upstream::Random& random, base::Arena& arena) {
  constexpr size_t kLength = 55;
  char* const value = static_cast<char*>(arena.Allocate(kLength, 1));
  char* out = value;
  *out++ = '0';
  *out++ = '0';
  *out++ = '-';
  out = PutHex(out, random.Next(), 16);
  out = PutHex(out, random.Next() | 1, 16);  // Never all zero.
  *out++ = '-';
  out = PutHex(out, random.Next() | 1, 16);
  *out++ = '-';
  *out++ = '0';
  *out++ = '1';
  return {value, kLength};
}

bool IsValidTraceparent(std::string_view value) {
  return value.size() == 55 && value.substr(0, 3) == "00-" && value[35] == '-' && value[52] == '-' &&
         IsLowerHex(value.substr(3, 32)) && !IsAllZero(value.substr(3, 32)) &&
         IsLowerHex(value.substr(36, 16)) && !IsAllZero(value.substr(36, 16)) &&
         IsLowerHex(value.substr(53, 2));
}

}  // namespace portico::proxy
