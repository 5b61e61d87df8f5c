#include "dataplane/net/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace portico::net {
namespace {

constexpr uint8_t kMappedPrefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

absl::Status BadAddress(std::string_view text) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", std::string(text), "\" is not an IP address; write one like 192.0.2.1 or 2001:db8::1"));
}

absl::Status BadSocketAddress(std::string_view text) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", std::string(text), "\" is not an address with a port; write one like 192.0.2.1:80 or [2001:db8::1]:80"));
}

absl::Status BadRange(std::string_view text) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", std::string(text), "\" is not an address range; write one like 10.0.0.0/8 or 2001:db8::/32"));
}

// Digits only, without a sign, spaces or superfluous zeros.
bool ParseNumber(std::string_view text, uint32_t max, uint32_t& out) {
  if (text.empty() || text.size() > 5 || (text.size() > 1 && text[0] == '0')) return false;
  uint32_t value = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + static_cast<uint32_t>(c - '0');
  }
  if (value > max) return false;
  out = value;
  return true;
}

// The digits of one byte: three characters, of which `size` are meant, behind one another
// so that they are written as one word.
struct ByteText {
  char digits[3] = {};
  uint8_t size = 0;
};

constexpr std::array<ByteText, 256> MakeByteTexts() {
  std::array<ByteText, 256> texts;
  for (int value = 0; value < 256; ++value) {
    ByteText& text = texts[static_cast<size_t>(value)];
    if (value >= 100) text.digits[text.size++] = static_cast<char>('0' + value / 100);
    if (value >= 10) text.digits[text.size++] = static_cast<char>('0' + value / 10 % 10);
    text.digits[text.size++] = static_cast<char>('0' + value % 10);
  }
  return texts;
}
constexpr std::array<ByteText, 256> kByteTexts = MakeByteTexts();

}  // namespace

absl::StatusOr<IpAddress> IpAddress::Parse(std::string_view text) {
  char terminated[INET6_ADDRSTRLEN];
  if (text.empty() || text.size() >= sizeof(terminated) || text.find('\0') != text.npos) return BadAddress(text);
  std::memcpy(terminated, text.data(), text.size());
  terminated[text.size()] = '\0';
  uint8_t bytes[16];
  if (text.find(':') == text.npos) {
    if (::inet_pton(AF_INET, terminated, bytes) != 1) return BadAddress(text);
    return FromBytes(bytes, /*v6=*/false);
  }
  if (::inet_pton(AF_INET6, terminated, bytes) != 1) return BadAddress(text);
  return FromBytes(bytes, /*v6=*/true);
}

IpAddress IpAddress::FromSockaddr(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    return FromBytes(reinterpret_cast<const uint8_t*>(&v4.sin_addr), /*v6=*/false);
  }
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    return FromBytes(v6.sin6_addr.s6_addr, /*v6=*/true);
  }
  return IpAddress();
}

IpAddress IpAddress::FromBytes(const uint8_t* bytes, bool v6) {
  IpAddress result;
  if (v6 && std::memcmp(bytes, kMappedPrefix, sizeof(kMappedPrefix)) == 0) {
    bytes += sizeof(kMappedPrefix);
    v6 = false;
  }
  result.v6_ = v6;
  std::memcpy(result.bytes_.data(), bytes, v6 ? 16 : 4);
  return result;
}

size_t IpAddress::Format(char* out) const {
  if (v6_) {
    char text[INET6_ADDRSTRLEN];
    ::inet_ntop(AF_INET6, bytes_.data(), text, sizeof(text));
    const size_t size = std::strlen(text);
    std::memcpy(out, text, size);
    return size;
  }
  // Four bytes are written for each number: the dot, or the next number, comes over what
  // is too much. What the last one writes is at most 16 bytes behind `out`.
  char* next = out;
  for (size_t i = 0; i < 4; ++i) {
    const ByteText& text = kByteTexts[bytes_[i]];
    std::memcpy(next, &text, sizeof(text));
    next[text.size] = '.';
    next += text.size + 1;
  }
  return static_cast<size_t>(next - out) - 1;
}

std::string IpAddress::ToString() const {
  char text[INET6_ADDRSTRLEN];
  return std::string(text, Format(text));
}

absl::StatusOr<SocketAddress> SocketAddress::Parse(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return BadSocketAddress(text);
  std::string_view host = text.substr(0, colon);
  const bool brackets = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  // An IPv6 address needs brackets, an IPv4 address has none.
  if (brackets != (host.find(':') != host.npos)) return BadSocketAddress(text);
  uint32_t port = 0;
  if (!ParseNumber(text.substr(colon + 1), 65535, port)) return BadSocketAddress(text);
  const absl::StatusOr<IpAddress> ip = IpAddress::Parse(host);
  if (!ip.ok()) return BadSocketAddress(text);
  return SocketAddress{*ip, static_cast<uint16_t>(port)};
}

SocketAddress SocketAddress::FromSockaddr(const sockaddr_storage& address) {
  SocketAddress result;
  result.ip = IpAddress::FromSockaddr(address);
  if (address.ss_family == AF_INET) result.port = ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  if (address.ss_family == AF_INET6) result.port = ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  return result;
}

socklen_t SocketAddress::ToSockaddr(sockaddr_storage& out) const {
  std::memset(&out, 0, sizeof(out));
  if (ip.is_v6()) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(out);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(v6.sin6_addr.s6_addr, ip.bytes().data(), 16);
    return sizeof(sockaddr_in6);
  }
  auto& v4 = reinterpret_cast<sockaddr_in&>(out);
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  std::memcpy(&v4.sin_addr, ip.bytes().data(), 4);
  return sizeof(sockaddr_in);
}

std::string SocketAddress::ToString() const {
  if (ip.is_v6()) return absl::StrCat("[", ip.ToString(), "]:", port);
  return absl::StrCat(ip.ToString(), ":", port);
}

absl::StatusOr<CidrRange> CidrRange::Parse(std::string_view text) {
  const size_t slash = text.rfind('/');
  const std::string_view address = text.substr(0, slash);
  const absl::StatusOr<IpAddress> ip = IpAddress::Parse(address);
  if (!ip.ok()) return BadRange(text);
  CidrRange range;
  uint32_t bits = ip->is_v6() ? 128 : 32;
  if (slash != text.npos) {
    // An IPv4-mapped range is written with the length of an IPv6 one.
    const bool mapped = !ip->is_v6() && address.find(':') != address.npos;
    const uint32_t most = mapped ? 128 : bits;
    if (!ParseNumber(text.substr(slash + 1), most, bits)) return BadRange(text);
    if (mapped) {
      if (bits < 96) return BadRange(text);
      bits -= 96;
    }
  }
  range.bits = static_cast<uint8_t>(bits);
  std::array<uint8_t, 16> bytes = ip->bytes();
  for (size_t i = 0; i < bytes.size(); ++i) {
    const size_t kept = std::min<size_t>(8, bits > i * 8 ? bits - i * 8 : 0);
    bytes[i] = static_cast<uint8_t>(bytes[i] & (0xff00u >> kept));
  }
  range.base = IpAddress::FromBytes(bytes.data(), ip->is_v6());
  // Masking a range such as ::/0 may not turn it into an IPv4 one.
  if (range.base.is_v6() != ip->is_v6()) return BadRange(text);
  return range;
}

bool CidrRange::Contains(const IpAddress& ip) const {
  if (ip.is_v6() != base.is_v6()) return false;
  const size_t whole = bits / 8;
  if (std::memcmp(ip.bytes().data(), base.bytes().data(), whole) != 0) return false;
  const size_t rest = bits % 8;
  if (rest == 0) return true;
  const auto mask = static_cast<uint8_t>(0xff00u >> rest);
  return (ip.bytes()[whole] & mask) == base.bytes()[whole];
}

}  // namespace portico::net
