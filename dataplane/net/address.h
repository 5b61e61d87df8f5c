// IP addresses and ports.
#ifndef DATAPLANE_NET_ADDRESS_H_
#define DATAPLANE_NET_ADDRESS_H_

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace portico::net {

// An IPv4 or IPv6 address, IPv4-mapped ones kept as IPv4. Cheap to copy.
class IpAddress {
 public:
  IpAddress() = default;
  static absl::StatusOr<IpAddress> Parse(std::string_view text);
  static IpAddress FromSockaddr(const sockaddr_storage& address);
  static IpAddress FromBytes(const uint8_t* bytes, bool v6);

  bool is_v6() const { return v6_; }
  // 4 or 16 bytes in network order.
  const std::array<uint8_t, 16>& bytes() const { return bytes_; }
  std::string ToString() const;
  // Writes at most 45 characters, returns how many. For the hot path: `out` has room for
  // kMaxText, all of which may be written to.
  static constexpr size_t kMaxText = 45;
  size_t Format(char* out) const;
  bool operator==(const IpAddress&) const = default;

 private:
  std::array<uint8_t, 16> bytes_{};
  bool v6_ = false;
};

struct SocketAddress {
  IpAddress ip;
  uint16_t port = 0;

  // "1.2.3.4:80", "[::1]:80". Errors: InvalidArgument naming the text.
  static absl::StatusOr<SocketAddress> Parse(std::string_view text);
  static SocketAddress FromSockaddr(const sockaddr_storage& address);
  socklen_t ToSockaddr(sockaddr_storage& out) const;
  std::string ToString() const;
  bool operator==(const SocketAddress&) const = default;
};

// A range like "10.0.0.0/8".
struct CidrRange {
  IpAddress base;
  uint8_t bits = 0;
  static absl::StatusOr<CidrRange> Parse(std::string_view text);
  bool Contains(const IpAddress& ip) const;
};

}  // namespace portico::net

#endif  // DATAPLANE_NET_ADDRESS_H_
