// Listening sockets.
#ifndef DATAPLANE_NET_LISTEN_H_
#define DATAPLANE_NET_LISTEN_H_

#include "absl/status/statusor.h"
#include "dataplane/net/address.h"

namespace portico::net {

struct ListenOptions {
  // Several sockets (one a worker) on one port, SO_REUSEPORT.
  bool reuse_port = false;
  // Connections that wait to be accepted.
  int backlog = 4096;
};

// A TCP socket that listens, non-blocking, close-on-exec; what it accepts sends
// without delay (TCP_NODELAY). Port 0: a free one, see LocalAddress(). An IPv6
// socket takes IPv6 only. The caller owns the socket: Engine::Close().
// Errors: Unavailable (address in use or not of this machine), PermissionDenied
// (privileged port), ResourceExhausted (no descriptor); the message names the
// address and the errno.
absl::StatusOr<int> Listen(const SocketAddress& address, const ListenOptions& options = {});

// Where a socket is bound, with the port that the kernel chose.
absl::StatusOr<SocketAddress> LocalAddress(int fd);

}  // namespace portico::net

#endif  // DATAPLANE_NET_LISTEN_H_
