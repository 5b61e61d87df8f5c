// bench_upstream: answers every HTTP/1.1 request at once, for as little CPU time as it can.
//
//   bench_upstream          # prints the port it listens on
//
// The path chooses the body: "/16k..." 16 KiB, "/1m..." 1 MiB, everything else 12 bytes. Ends when
// standard input does.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "tests/bench/load/response_head.h"
#include "tests/bench/load/ring.h"
#include "tools/flags/flags.h"

ABSL_FLAG(uint16_t, port, 0, "Port on 127.0.0.1. Default: 0, a free one.");

namespace portico::bench {
namespace {

constexpr size_t kBufferBytes = 4096;
enum Operation : uint8_t { kAccept, kReceive, kSend, kInput };

std::string Response(std::string body) {
  return absl::StrCat("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ", body.size(),
                      "\r\n\r\n", body);
}

struct Connection {
  uint32_t generation = 0;
  size_t have = 0;
  std::array<char, kBufferBytes> buffer;
};

class Upstream {
 public:
  Upstream(std::unique_ptr<Ring> ring, int listener) : ring_(std::move(ring)), listener_(listener) {}

  void Run() {
    ring_->Accept({.operation = kAccept}, listener_);
    ring_->Recv({.operation = kInput}, STDIN_FILENO, &input_, 1, 0, /*expect_wait=*/true);
    while (!ended_) {
      ring_->Wait(/*deadline=*/0);
      ring_->Reap([this](Tag tag, int result, bool more) { Handle(tag, result, more); });
    }
  }

 private:
  void Handle(Tag tag, int result, bool more) {
    switch (tag.operation) {
      case kAccept:
        if (result >= 0) Take(result);
        if (!more) ring_->Accept({.operation = kAccept}, listener_);
        return;
      case kInput:
        ended_ = true;
        return;
      case kReceive:
        if (result > 0) return HandleBytes(tag.index, static_cast<size_t>(result));
        ::close(static_cast<int>(tag.index));
        return;
      default:
        return;  // A send failed: the receive beside it ends too.
    }
  }

  // The index of a connection is its descriptor.
  void Take(int fd) {
    const int one = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    const auto index = static_cast<uint32_t>(fd);
    if (index >= connections_.size()) connections_.resize(index + 256);
    if (connections_[index] == nullptr) connections_[index] = std::make_unique<Connection>();
    connections_[index]->have = 0;
    Receive(index, /*expect_wait=*/true);
  }

  void Receive(uint32_t index, bool expect_wait) {
    Connection& connection = *connections_[index];
    ring_->Recv({.index = index, .operation = kReceive}, static_cast<int>(index),
                connection.buffer.data() + connection.have, kBufferBytes - connection.have, 0,
                expect_wait);
  }

  void HandleBytes(uint32_t index, size_t size) {
    Connection& connection = *connections_[index];
    connection.have += size;
    const std::string_view bytes(connection.buffer.data(), connection.have);
    const auto head = RequestHeadSize(bytes);
    if (head.has_value()) {
      const std::string& response = Choose(bytes);
      ring_->Send({.index = index, .operation = kSend}, static_cast<int>(index), response.data(),
                  response.size());
      // What follows the head would be the next request: proxies do not pipeline.
      connection.have = 0;
    } else if (connection.have == kBufferBytes) {
      ::shutdown(static_cast<int>(index), SHUT_RDWR);
      connection.have = 0;
    }
    Receive(index, /*expect_wait=*/true);
  }

  const std::string& Choose(std::string_view request) const {
    const std::string_view path = request.substr(std::min<size_t>(4, request.size()), 4);
    if (path.starts_with("/16k")) return medium_;
    if (path.starts_with("/1m")) return large_;
    return small_;
  }

  const std::string small_ = Response("hello world\n");
  const std::string medium_ = Response(std::string(16 << 10, 'x'));
  const std::string large_ = Response(std::string(1 << 20, 'x'));
  const std::unique_ptr<Ring> ring_;
  const int listener_;
  std::vector<std::unique_ptr<Connection>> connections_;
  char input_ = 0;
  bool ended_ = false;
};

int Listen(uint16_t port, sockaddr_in& address) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
  const int one = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  socklen_t size = sizeof(address);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(fd, 4096) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return -1;
  }
  return fd;
}

int Main(int argc, char** argv) {
  flags::ParseFlagsOrExit(argc, argv, {.name = "bench_upstream", .usage = "Answers every HTTP/1.1 request at once."});
  rlimit files = {};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  sockaddr_in address;
  const int listener = Listen(absl::GetFlag(FLAGS_port), address);
  auto ring = Ring::Create(4096);
  if (listener < 0 || !ring.ok()) {
    std::fprintf(stderr, "bench_upstream: %s\n",
                 listener < 0 ? strerror(errno) : std::string(ring.status().message()).c_str());
    return 1;
  }
  std::printf("%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  Upstream(*std::move(ring), listener).Run();
  return 0;
}

}  // namespace
}  // namespace portico::bench

int main(int argc, char** argv) { return portico::bench::Main(argc, argv); }
