// IP addresses, socket addresses and CIDR ranges as plain data.
#ifndef API_RESOURCE_ADDRESS_H_
#define API_RESOURCE_ADDRESS_H_

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace portico::api {

struct IpAddress {
  bool v6 = false;
  // Network byte order. An IPv4 address uses the first four; the others are zero.
  std::array<uint8_t, 16> bytes{};
  auto operator<=>(const IpAddress&) const = default;
};

struct SocketAddress {
  IpAddress ip;
  uint16_t port = 0;  // Host byte order.
  auto operator<=>(const SocketAddress&) const = default;
};

struct Cidr {
  IpAddress network;      // Bits after the prefix are zero.
  int prefix_length = 0;  // 0 to 32, or 0 to 128.
  // Families do not mix: an IPv4-mapped IPv6 address is in no IPv4 range.
  bool Contains(const IpAddress& address) const;
  auto operator<=>(const Cidr&) const = default;
};

// "10.0.0.7" or "fd00::7", no brackets, no zone.
// All parsers here: errors are InvalidArgument, "reason; fix".
absl::StatusOr<IpAddress> ParseIpAddress(std::string_view text);

// "10.0.0.7:8080" or "[fd00::7]:8080". Port 0 to 65535, without sign or leading zeros.
absl::StatusOr<SocketAddress> ParseSocketAddress(std::string_view text);

// "10.0.0.0/8", "::1/128". Bits after the prefix must be zero.
absl::StatusOr<Cidr> ParseCidr(std::string_view text);

std::string ToString(const IpAddress& address);
std::string ToString(const SocketAddress& address);
std::string ToString(const Cidr& range);

}  // namespace portico::api

#endif  // API_RESOURCE_ADDRESS_H_
