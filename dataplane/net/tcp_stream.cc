#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "dataplane/base/check.h"
#include "dataplane/net/byte_stream.h"

namespace portico::net {
namespace {

using NameFunction = int (*)(int, sockaddr*, socklen_t*);

SocketAddress Ask(NameFunction function, int fd) {
  sockaddr_storage address = {};
  socklen_t length = sizeof(address);
  if (function(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return SocketAddress();
  return SocketAddress::FromSockaddr(address);
}

class TcpStream final : public ByteStream {
 public:
  TcpStream(event::Loop& loop, int fd) : engine_(loop.engine()), fd_(fd) { PORTICO_CHECK(fd >= 0); }
  ~TcpStream() override { engine_.Close(fd_); }

  void StartReceive(event::ReceiveOperation& op) override {
    op.fd = fd_;
    engine_.StartReceive(op);
  }
  void StartSend(event::SendOperation& op) override {
    op.fd = fd_;
    engine_.StartSend(op);
  }
  void StartHangUpWatch(event::HangUpOperation& op) override {
    op.fd = fd_;
    engine_.StartHangUpWatch(op);
  }
  void Cancel(event::Operation& op) override { engine_.Cancel(op); }

  size_t SendNow(std::string_view bytes) override {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? 0 : static_cast<size_t>(sent);
  }
  void ShutdownWrite() override { ::shutdown(fd_, SHUT_WR); }

  void Abort() override {
    // Closing then discards what is unsent and sends a reset.
    const linger at_once = {.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  }

  SocketAddress peer() const override { return Ask(&::getpeername, fd_); }
  SocketAddress local() const override { return Ask(&::getsockname, fd_); }
  event::PipePool* pipes() const override { return engine_.pipes(); }
  bool HasUnread() const override {
    char byte;
    ssize_t count;
    do {
      count = ::recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    } while (count < 0 && errno == EINTR);
    return count >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
  }
  uint64_t made() const override {
    tcp_info info = {};
    socklen_t length = sizeof(info);
    if (::getsockopt(fd_, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return 0;
    return info.tcpi_bytes_acked;
  }

 private:
  event::Engine& engine_;
  const int fd_;
};

}  // namespace

std::unique_ptr<ByteStream> MakeTcpStream(event::Loop& loop, int fd) {
  return std::make_unique<TcpStream>(loop, fd);
}

}  // namespace portico::net
