#include "tools/demo/echo_server.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace portico::demo {
namespace {

// An address as bind() wants it.
struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t length = 0;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

absl::StatusOr<SocketAddress> ReadAddress(const std::string& text) {
  const size_t colon = text.rfind(':');
  uint32_t port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(text.substr(colon + 1), &port) ||
      port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("address \"", text, "\": write IP:PORT, like 127.0.0.1:0"));
  }
  std::string host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  addrinfo hints = {};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), text.c_str() + colon + 1, &hints, &found) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("address \"", text, "\": write an IP address, not a name"));
  }
  SocketAddress address;
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  address.length = found->ai_addrlen;
  freeaddrinfo(found);
  return address;
}

std::string LocalAddress(int fd) {
  SocketAddress address;
  address.length = sizeof(address.storage);
  getsockname(fd, address.get(), &address.length);
  std::array<char, NI_MAXHOST> host = {};
  std::array<char, NI_MAXSERV> port = {};
  getnameinfo(address.get(), address.length, host.data(), host.size(), port.data(), port.size(),
              NI_NUMERICHOST | NI_NUMERICSERV);
  if (address.storage.ss_family == AF_INET6) {
    return absl::StrCat("[", host.data(), "]:", port.data());
  }
  return absl::StrCat(host.data(), ":", port.data());
}

int StartTimer(uint32_t milliseconds) {
  const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  itimerspec when = {};
  when.it_value.tv_sec = milliseconds / 1000;
  when.it_value.tv_nsec = static_cast<int64_t>(milliseconds % 1000) * 1000000;
  if (timer >= 0) timerfd_settime(timer, 0, &when, nullptr);
  return timer;
}

}  // namespace

absl::StatusOr<std::unique_ptr<EchoServer>> EchoServer::Create(const std::string& address,
                                                               std::string name) {
  absl::StatusOr<SocketAddress> parsed = ReadAddress(address);
  if (!parsed.ok()) return parsed.status();
  const int fd = socket(parsed->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
  if (fd < 0 || bind(fd, parsed->get(), parsed->length) != 0 || listen(fd, 4096) != 0) {
    const absl::Status status = absl::UnavailableError(
        absl::StrCat("cannot listen on ", address, ": ", std::strerror(errno)));
    if (fd >= 0) close(fd);
    return status;
  }
  // owned: the constructor is private, so make_unique cannot be used.
  return std::unique_ptr<EchoServer>(new EchoServer(std::move(name), LocalAddress(fd), fd,
                                                    epoll_create1(EPOLL_CLOEXEC),
                                                    eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)));
}

EchoServer::EchoServer(std::string name, std::string address, int listener, int epoll, int stop)
    : name_(std::move(name)),
      address_(std::move(address)),
      listener_(listener),
      epoll_(epoll),
      stop_(stop) {
  Watch(listener_, EPOLLIN, true);
  Watch(stop_, EPOLLIN, true);
}

EchoServer::~EchoServer() {
  CloseEnded();
  for (const auto& [timer, client] : timers_) close(timer);
  for (const int fd : {listener_, epoll_, stop_, shutdown_timer_}) {
    if (fd >= 0) close(fd);
  }
}

void EchoServer::Stop() {
  const uint64_t one = 1;
  // The write cannot fail: the counter is far from full.
  [[maybe_unused]] const ssize_t written = write(stop_, &one, sizeof(one));
}

void EchoServer::Watch(int fd, uint32_t events, bool is_new) {
  epoll_event event = {};
  event.events = events;
  event.data.fd = fd;
  epoll_ctl(epoll_, is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
}

void EchoServer::Run() {
  std::array<epoll_event, 256> events;
  while (!shutdown_over_ && !(shutting_down_ && clients_.empty())) {
    const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      const int fd = events[i].data.fd;
      if (fd == listener_) {
        Accept();
      } else if (fd == stop_) {
        BeginShutdown();
      } else if (fd == shutdown_timer_) {
        shutdown_over_ = true;
      } else {
        HandleClient(fd, events[i].events);
      }
    }
    CloseEnded();
  }
  clients_.clear();
}

void EchoServer::Accept() {
  while (true) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    clients_[fd].connection = std::make_unique<EchoConnection>(fd, name_);
    clients_[fd].events = EPOLLIN;
    Watch(fd, EPOLLIN, true);
  }
}

void EchoServer::BeginShutdown() {
  if (shutting_down_) return;
  shutting_down_ = true;
  epoll_ctl(epoll_, EPOLL_CTL_DEL, stop_, nullptr);
  close(listener_);
  listener_ = -1;
  shutdown_timer_ = StartTimer(kShutdownMs);
  Watch(shutdown_timer_, EPOLLIN, true);
  std::vector<int> open;
  for (const auto& [fd, client] : clients_) open.push_back(fd);
  for (const int fd : open) Apply(fd, clients_[fd].connection->OnShutdown());
}

void EchoServer::HandleClient(int fd, uint32_t events) {
  if (const auto timer = timers_.find(fd); timer != timers_.end()) {
    const int owner = timer->second;
    timers_.erase(timer);
    ended_timers_.push_back(fd);
    clients_[owner].timer = -1;
    Apply(owner, clients_[owner].connection->OnTimer());
    return;
  }
  const auto found = clients_.find(fd);
  // It may have been dropped earlier in the same batch of events.
  if (found == clients_.end()) return;
  EchoConnection& connection = *found->second.connection;
  if ((events & EPOLLERR) != 0 || (events & (EPOLLHUP | EPOLLIN | EPOLLOUT)) == EPOLLHUP) {
    Drop(fd);
  } else if ((events & EPOLLOUT) != 0) {
    Apply(fd, connection.OnWritable());
  } else {
    Apply(fd, connection.OnReadable());
  }
}

void EchoServer::Apply(int fd, EchoConnection::Want want) {
  Client& client = clients_[fd];
  uint32_t events = 0;
  switch (want) {
    case EchoConnection::Want::kRead:
      events = EPOLLIN;
      break;
    case EchoConnection::Want::kWrite:
      events = EPOLLOUT;
      break;
    case EchoConnection::Want::kTimer:
      if (client.timer < 0) {
        client.timer = StartTimer(client.connection->delay_ms());
        timers_[client.timer] = fd;
        Watch(client.timer, EPOLLIN, true);
      }
      break;
    case EchoConnection::Want::kClose:
      Drop(fd);
      return;
  }
  if (events != client.events) Watch(fd, events, false);
  client.events = events;
}

void EchoServer::Drop(int fd) {
  const auto found = clients_.find(fd);
  if (found->second.timer >= 0) {
    timers_.erase(found->second.timer);
    ended_timers_.push_back(found->second.timer);
  }
  ended_.push_back(std::move(found->second.connection));
  clients_.erase(found);
}

void EchoServer::CloseEnded() {
  ended_.clear();
  for (const int timer : ended_timers_) close(timer);
  ended_timers_.clear();
}

}  // namespace portico::demo
