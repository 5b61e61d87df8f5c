// What the tests of engines share.
#ifndef DATAPLANE_EVENT_ENGINE_FIXTURE_H_
#define DATAPLANE_EVENT_ENGINE_FIXTURE_H_

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/base/buffer.h"
#include "dataplane/base/clock.h"
#include "dataplane/event/engine.h"
#include "dataplane/event/engine_factory.h"
#include "dataplane/event/loop.h"
#include "dataplane/event/run_task.h"

namespace portico::event {

// An operation that notes how it ended.
template <typename T>
struct Noted {
  T op;
  int completions = 0;
  int32_t result = 0;
  std::function<void()> then;

  Noted() {
    op.context = this;
    op.on_complete = [](Operation& o) {
      auto* self = static_cast<Noted*>(o.context);
      ++self->completions;
      self->result = o.result();
      if (self->then) self->then();
    };
  }
  bool done() const { return completions > 0; }
  void Again() { completions = 0; }
};

// A way to make an engine.
struct Factory {
  const char* name;
  absl::StatusOr<std::unique_ptr<Engine>> (*create)();
};

// A loop with the engine under test, and plain sockets to talk to it.
class EngineTest : public testing::TestWithParam<Factory> {
 protected:
  EngineTest() : loop_(*GetParam().create(), base::RealClock()) {}
  ~EngineTest() override { EXPECT_EQ(pool_.live(), 0u); }

  Engine& engine() { return loop_.engine(); }
  testing::AssertionResult Until(const std::function<bool()>& done) {
    if (RunUntil(loop_, done)) return testing::AssertionSuccess();
    return testing::AssertionFailure() << "did not happen";
  }
  void Turns(int count) {
    for (int i = 0; i < count; ++i) loop_.RunOnce(0);
  }

  // Ours first: it belongs to the engine. The other is used with plain calls.
  std::pair<int, int> Pair() {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    return {fds[0], fds[1]};
  }
  // Connected TCP sockets.
  std::pair<int, int> TcpPair() {
    sockaddr_storage address;
    const int listener = Listener(address);
    const int peer = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::connect(peer, reinterpret_cast<sockaddr*>(&address), sizeof(sockaddr_in)), 0);
    const int ours = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    EXPECT_GE(ours, 0);
    ::close(listener);
    ::fcntl(peer, F_SETFL, O_NONBLOCK);
    return {ours, peer};
  }
  int Listener(sockaddr_storage& address, int backlog = 1024) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(address);
    std::memset(&address, 0, sizeof(address));
    v4.sin_family = AF_INET;
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&v4), sizeof(v4)), 0);
    EXPECT_EQ(::listen(fd, backlog), 0);
    socklen_t length = sizeof(v4);
    EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&v4), &length), 0);
    return fd;
  }
  void StartReceive(Noted<ReceiveOperation>& receive, int fd) {
    receive.op.fd = fd;
    receive.op.pool = &pool_;
    engine().StartReceive(receive.op);
  }
  void StartSend(Noted<SendOperation>& send, int fd, std::string_view bytes) {
    send.op.fd = fd;
    send.op.slice_count = 1;
    send.op.slices[0] = {const_cast<char*>(bytes.data()), bytes.size()};
    engine().StartSend(send.op);
  }
  void Connect(Noted<ConnectOperation>& connect, const sockaddr_storage& address) {
    connect.op.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    connect.op.peer = address;
    connect.op.peer_length = sizeof(sockaddr_in);
    engine().StartConnect(connect.op);
  }
  static void Write(int fd, std::string_view bytes) {
    ASSERT_EQ(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  static void Reset(int fd) {
    const linger at_once = {1, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    ::close(fd);
  }

  base::BufferPool pool_;
  Loop loop_;
};

// Every engine that this kernel allows; each test runs with each of them. Containers
// often forbid io_uring: engine_factory_test makes sure that it is not left out where
// the kernel has it.
inline std::vector<Factory> Engines() {
  std::vector<Factory> engines = {{"epoll", [] { return CreateEngine(EngineKind::kEpoll); }}};
  const absl::StatusOr<std::unique_ptr<Engine>> uring = CreateEngine(EngineKind::kUring);
  if (absl::IsFailedPrecondition(uring.status())) {
    std::cerr << "without io_uring: " << uring.status() << "\n";
  } else {
    engines.push_back({"uring", [] { return CreateEngine(EngineKind::kUring); }});
  }
  return engines;
}

inline std::string EngineName(const testing::TestParamInfo<Factory>& info) { return info.param.name; }

}  // namespace portico::event

#endif  // DATAPLANE_EVENT_ENGINE_FIXTURE_H_
