#include "dataplane/net/listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "dataplane/net/await.h"

namespace portico::net {
namespace {

absl::Status Failed(int fd, const char* what, const SocketAddress& address) {
  const int error = errno;
  if (fd >= 0) ::close(fd);
  const absl::Status status = ErrnoStatus(error, what);
  const std::string message = absl::StrCat("listening on ", address.ToString(), ": ", status.message());
  if (error == EACCES || error == EPERM) return absl::PermissionDeniedError(message);
  if (error == EADDRNOTAVAIL) return absl::UnavailableError(message);
  return absl::Status(status.code(), message);
}

bool SetFlag(int fd, int level, int option) {
  const int one = 1;
  return ::setsockopt(fd, level, option, &one, sizeof(one)) == 0;
}

}  // namespace

absl::StatusOr<int> Listen(const SocketAddress& address, const ListenOptions& options) {
  sockaddr_storage storage = {};
  const socklen_t length = address.ToSockaddr(storage);
  const int fd = ::socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return Failed(fd, "socket", address);
  if (!SetFlag(fd, SOL_SOCKET, SO_REUSEADDR)) return Failed(fd, "SO_REUSEADDR", address);
  if (options.reuse_port && !SetFlag(fd, SOL_SOCKET, SO_REUSEPORT)) return Failed(fd, "SO_REUSEPORT", address);
  if (address.ip.is_v6() && !SetFlag(fd, IPPROTO_IPV6, IPV6_V6ONLY)) return Failed(fd, "IPV6_V6ONLY", address);
  // Inherited by accepted sockets, which saves a system call for each.
  if (!SetFlag(fd, IPPROTO_TCP, TCP_NODELAY)) return Failed(fd, "TCP_NODELAY", address);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&storage), length) != 0) return Failed(fd, "bind", address);
  if (::listen(fd, options.backlog) != 0) return Failed(fd, "listen", address);
  return fd;
}

absl::StatusOr<SocketAddress> LocalAddress(int fd) {
  sockaddr_storage storage = {};
  socklen_t length = sizeof(storage);
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return ErrnoStatus(errno, "getsockname");
  return SocketAddress::FromSockaddr(storage);
}

}  // namespace portico::net
