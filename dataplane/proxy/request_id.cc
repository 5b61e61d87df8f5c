#include "dataplane/proxy/request_id.h"

#include <bit>
#include <cstdint>
#include <cstring>

namespace portico::proxy {
namespace {

constexpr uint64_t kEachByte = 0x0101010101010101;

// Eight hexadecimal digits of `value`, all at once: each of its nibbles in a byte of its
// own, the most significant one first in memory.
struct HexDigits {
  explicit HexDigits(uint32_t value) {
    uint64_t spread = value;
    spread = (spread | spread << 16) & 0x0000ffff0000ffff;
    spread = (spread | spread << 8) & 0x00ff00ff00ff00ff;
    spread = (spread | spread << 4) & 0x0f0f0f0f0f0f0f0f;
    // 1 in the bytes that are above 9: adding 6 carries into their upper halves.
    const uint64_t letter = ((spread + 6 * kEachByte) >> 4) & kEachByte;
    digits = __builtin_bswap64(spread + '0' * kEachByte + ('a' - '0' - 10) * letter);
  }
  void Put(char* out) const { std::memcpy(out, &digits, sizeof(digits)); }
  // Four of them, from `first` on (0 or 4).
  void PutFour(char* out, int first) const {
    const auto four = static_cast<uint32_t>(digits >> (8 * first));
    std::memcpy(out, &four, sizeof(four));
  }
  uint64_t digits;
};
static_assert(std::endian::native == std::endian::little);

// 16 digits.
char* PutHex(char* out, uint64_t value) {
  HexDigits(static_cast<uint32_t>(value >> 32)).Put(out);
  HexDigits(static_cast<uint32_t>(value)).Put(out + 8);
  return out + 16;
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
  // Version 4 and variant 10 in their places.
  const uint64_t high = (random.Next() & ~uint64_t{0xf000}) | 0x4000;
  const uint64_t low = (random.Next() & 0x3fffffffffffffff) | 0x8000000000000000;
  const HexDigits second(static_cast<uint32_t>(high));
  const HexDigits third(static_cast<uint32_t>(low >> 32));
  HexDigits(static_cast<uint32_t>(high >> 32)).Put(id);
  id[8] = '-';
  second.PutFour(id + 9, 0);
  id[13] = '-';
  second.PutFour(id + 14, 4);
  id[18] = '-';
  third.PutFour(id + 19, 0);
  id[23] = '-';
  third.PutFour(id + 24, 4);
  HexDigits(static_cast<uint32_t>(low)).Put(id + 28);
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
  out = PutHex(out, random.Next());
  out = PutHex(out, random.Next() | 1);  // Never all zero.
  *out++ = '-';
  out = PutHex(out, random.Next() | 1);
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
