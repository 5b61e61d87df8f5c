// The PROXY protocol: how a balancer in front tells who the client is.
#ifndef DATAPLANE_NET_PROXY_PROTOCOL_H_
#define DATAPLANE_NET_PROXY_PROTOCOL_H_

#include <cstddef>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "dataplane/net/address.h"

namespace portico::net {

// What a complete header said. Without addresses (UNKNOWN, LOCAL, or a family other
// than TCP over IP) the connection's own ones are used.
struct ProxyHeader {
  // Bytes of the header; the protocol follows.
  size_t consumed = 0;
  int version = 0;  // 1 or 2
  // LOCAL: made by the balancer itself, such as a health check.
  bool local = false;
  std::optional<SocketAddress> source;
  std::optional<SocketAddress> destination;
};

struct ProxyParseResult {
  enum State { kNeedMore, kDone, kError };
  State state = kNeedMore;
  ProxyHeader header;   // with kDone
  absl::Status error;   // with kError: InvalidArgument saying what is wrong
};

// The longest header taken, in bytes; of version 1, without any address 107.
inline constexpr size_t kMaxProxyHeader = 4096;
inline constexpr size_t kMaxProxyHeaderV1 = 107;

// Parses versions 1 and 2 from the first bytes of a connection, as HAProxy's
// proxy-protocol.txt (2020/03/05) says: strictly, both versions accepted, a missing
// header is an error. Called again with all bytes so far while it needs more.
// Extensions (TLVs) of a version 2 header with addresses are checked to be
// well-formed and skipped; a checksum (PP2_TYPE_CRC32C) among them is verified.
ProxyParseResult ParseProxyHeader(std::string_view bytes);

}  // namespace portico::net

#endif  // DATAPLANE_NET_PROXY_PROTOCOL_H_
