#include "api/resource/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "api/resource/strings.h"

namespace portico::api {
namespace {

// A plain decimal number of at most `digits` digits, without leading zeros.
std::optional<int> ParseDecimal(std::string_view text, size_t digits) {
  if (text.empty() || text.size() > digits) return std::nullopt;
  if (text.size() > 1 && text[0] == '0') return std::nullopt;
  int value = 0;
  for (unsigned char c : text) {
    if (!absl::ascii_isdigit(c)) return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return value;
}

void ClearHostBits(IpAddress& ip, int prefix_length) {
  for (int bit = prefix_length; bit < (ip.v6 ? 128 : 32); ++bit) {
    ip.bytes[bit / 8] &= static_cast<uint8_t>(~(0x80u >> (bit % 8)));
  }
}

}  // namespace

absl::StatusOr<IpAddress> ParseIpAddress(std::string_view text) {
  IpAddress ip;
  const std::string terminated(text);
  // inet_pton() stops at NUL, so text that holds one must not get there.
  if (text.find('\0') == std::string_view::npos) {
    if (inet_pton(AF_INET, terminated.c_str(), ip.bytes.data()) == 1) return ip;
    ip.bytes.fill(0);
    if (inet_pton(AF_INET6, terminated.c_str(), ip.bytes.data()) == 1) {
      ip.v6 = true;
      return ip;
    }
  }
  return absl::InvalidArgumentError(
      "is not an IP address; write one like \"10.0.0.7\" or \"fd00::7\"");
}

absl::StatusOr<SocketAddress> ParseSocketAddress(std::string_view text) {
  constexpr char kFix[] =
      "write an IP address and a port like \"10.0.0.7:8080\" or \"[fd00::7]:8080\"";
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) {
    return absl::InvalidArgumentError(absl::StrCat("has no port; ", kFix));
  }
  std::string_view host = text.substr(0, colon);
  const bool brackets = host.front() == '[' && host.back() == ']' && host.size() > 2;
  if (brackets) host = host.substr(1, host.size() - 2);
  absl::StatusOr<IpAddress> ip = ParseIpAddress(host);
  if (!ip.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("does not start with an IP address (host names are not accepted); ", kFix));
  }
  if (ip->v6 != brackets) {
    return absl::InvalidArgumentError(
        absl::StrCat(brackets ? "has brackets around an IPv4 address; "
                              : "has no brackets around its IPv6 address; ",
                     kFix));
  }
  const std::optional<int> port = ParseDecimal(text.substr(colon + 1), 5);
  if (!port || *port > 65535) {
    return absl::InvalidArgumentError(
        "has a port that is not a number from 0 to 65535; correct it");
  }
  return SocketAddress{*ip, static_cast<uint16_t>(*port)};
}

absl::StatusOr<Cidr> ParseCidr(std::string_view text) {
  const size_t slash = text.find('/');
  absl::StatusOr<IpAddress> ip = ParseIpAddress(text.substr(0, slash));
  if (!ip.ok()) {
    return absl::InvalidArgumentError(
        "does not start with an IP address; write a range like \"10.0.0.0/8\" or \"fd00::/8\"");
  }
  const int longest = ip->v6 ? 128 : 32;
  if (slash == std::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("has no prefix length; write \"", Absl(text),
                                                   "/", longest, "\" for the one address"));
  }
  const std::optional<int> length = ParseDecimal(text.substr(slash + 1), 3);
  if (!length || *length > longest) {
    return absl::InvalidArgumentError(absl::StrCat(
        "has a prefix length that is not a number from 0 to ", longest, "; correct it"));
  }
  Cidr range{*ip, *length};
  ClearHostBits(range.network, range.prefix_length);
  if (range.network != *ip) {
    return absl::InvalidArgumentError(
        absl::StrCat("has bits set after its prefix; write \"", ToString(range), "\""));
  }
  return range;
}

bool Cidr::Contains(const IpAddress& address) const {
  if (address.v6 != network.v6) return false;
  IpAddress masked = address;
  ClearHostBits(masked, prefix_length);
  return masked == network;
}

std::string ToString(const IpAddress& address) {
  char text[INET6_ADDRSTRLEN];
  inet_ntop(address.v6 ? AF_INET6 : AF_INET, address.bytes.data(), text, sizeof(text));
  return text;
}

std::string ToString(const SocketAddress& address) {
  return address.ip.v6 ? absl::StrCat("[", ToString(address.ip), "]:", address.port)
                       : absl::StrCat(ToString(address.ip), ":", address.port);
}

std::string ToString(const Cidr& range) {
  return absl::StrCat(ToString(range.network), "/", range.prefix_length);
}

}  // namespace portico::api
