#include "dataplane/proxy/request_id.h"

#include <bit>
#include <cstdint>
#include <cstring>

namespace portico::proxy {
namespace {

// The 16 hexadecimal digits of a number, all at once, the most significant one first: a
// vector of the compiler, as SSE2 and its like have it.
class HexDigits {
 public:
  static constexpr size_t kDigits = 16;

  explicit HexDigits(uint64_t value) {
    const uint64_t in_order = __builtin_bswap64(value);
    Bytes bytes = {};
    std::memcpy(&bytes, &in_order, sizeof(in_order));
    const Bytes low = bytes & 0xf, high = (bytes >> 4) & 0xf;
    const Bytes nibbles =
        __builtin_shufflevector(high, low, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const Bytes digits = nibbles + '0' + ((nibbles > 9) & ('a' - '0' - 10));
    std::memcpy(text_, &digits, sizeof(text_));
  }
  // `count` of them from the `first` on.
  template <size_t first, size_t count>
  char* Put(char* out) const {
    static_assert(first + count <= kDigits);
    std::memcpy(out, text_ + first, count);
    return out + count;
  }

 private:
  using Bytes = signed char __attribute__((vector_size(16)));
  char text_[kDigits];
};
static_assert(std::endian::native == std::endian::little);

char* PutHex(char* out, uint64_t value) { return HexDigits(value).Put<0, 16>(out); }

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
  const HexDigits first(high), second(low);
  char* out = first.Put<0, 8>(id);
  *out++ = '-';
  out = first.Put<8, 4>(out);
  *out++ = '-';
  out = first.Put<12, 4>(out);
  *out++ = '-';
  out = second.Put<0, 4>(out);
  *out++ = '-';
  second.Put<4, 12>(out);
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
