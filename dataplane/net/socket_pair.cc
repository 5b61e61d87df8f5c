#include "dataplane/net/socket_pair.h"

#include <sys/socket.h>

#include "dataplane/base/check.h"

namespace portico::net {

std::pair<std::unique_ptr<ByteStream>, std::unique_ptr<ByteStream>> MakeSocketPair(event::Loop& loop) {
  int fds[2] = {-1, -1};
  PORTICO_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
  return {MakeTcpStream(loop, fds[0]), MakeTcpStream(loop, fds[1])};
}

}  // namespace portico::net
