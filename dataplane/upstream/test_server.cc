#include "dataplane/upstream/test_server.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "dataplane/base/check.h"
#include "dataplane/event/run_task.h"
#include "dataplane/net/listen.h"

namespace portico::upstream {
namespace {

constexpr std::string_view kResponse = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

bool Readable(int fd) {
  pollfd poll_fd{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&poll_fd, 1, 0) == 1;
}

}  // namespace

TestServer::TestServer(event::Loop& loop, int backlog) : loop_(loop) {
  listen_fd_ = *net::Listen(*net::SocketAddress::Parse("127.0.0.1:0"), {.backlog = backlog});
  address_ = *net::LocalAddress(listen_fd_);
}

TestServer::~TestServer() {
  for (const int fd : open_) ::close(fd);
  ::close(listen_fd_);
}

int TestServer::Accept() {
  PORTICO_CHECK(event::RunUntil(loop_, [this] { return Readable(listen_fd_); }));
  const int fd = ::accept4(listen_fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  PORTICO_CHECK(fd >= 0);
  open_.push_back(fd);
  return fd;
}

bool TestServer::Quiet() {
  for (int i = 0; i < 5; ++i) loop_.RunOnce(0);
  return !Readable(listen_fd_);
}

std::string TestServer::ReadHead(int fd) {
  std::string head;
  while (head.find("\r\n\r\n") == std::string::npos) {
    PORTICO_CHECK(event::RunUntil(loop_, [fd] { return Readable(fd); }));
    char bytes[4096];
    const ssize_t got = ::recv(fd, bytes, sizeof(bytes), 0);
    if (got <= 0) return "";
    head.append(bytes, static_cast<size_t>(got));
  }
  return head;
}

void TestServer::Write(int fd, std::string_view bytes) {
  PORTICO_CHECK(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
}

std::string TestServer::Answer(int fd) {
  std::string head = ReadHead(fd);
  if (!head.empty()) Write(fd, kResponse);
  return head;
}

bool TestServer::Closed(int fd) {
  return event::RunUntil(
      loop_,
      [fd] {
        char byte;
        return Readable(fd) && ::recv(fd, &byte, 1, MSG_PEEK) <= 0;
      },
      20);
}

void TestServer::Close(int fd) {
  open_.erase(std::find(open_.begin(), open_.end(), fd));
  ::close(fd);
}

void TestServer::FillBacklog() {
  sockaddr_storage storage = {};
  const socklen_t length = address_.ToSockaddr(storage);
  while (true) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    PORTICO_CHECK(fd >= 0);
    open_.push_back(fd);
    ::connect(fd, reinterpret_cast<const sockaddr*>(&storage), length);
    pollfd poll_fd{.fd = fd, .events = POLLOUT, .revents = 0};
    // Loopback answers within the call; whoever is not in now is not let in.
    if (::poll(&poll_fd, 1, 5) == 0) return;
  }
}

net::SocketAddress RefusingAddress() {
  // Bound, so that nobody else gets the port; not listening. Stays open as long as
  // the test runs.
  static const int fd = [] {
    const int made = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_storage storage = {};
    const socklen_t length = net::SocketAddress::Parse("127.0.0.1:0")->ToSockaddr(storage);
    PORTICO_CHECK(made >= 0 && ::bind(made, reinterpret_cast<const sockaddr*>(&storage), length) == 0);
    return made;
  }();
  return *net::LocalAddress(fd);
}

}  // namespace portico::upstream
