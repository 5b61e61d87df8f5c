// What every engine must do, whatever the kernel interface below it.
#include "dataplane/event/engine.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/base/clock.h"
#include "dataplane/event/loop.h"
#include "dataplane/event/run_task.h"

namespace portico::event {
namespace {

using base::kNanosPerMilli;

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

struct Factory {
  const char* name;
  absl::StatusOr<std::unique_ptr<Engine>> (*create)();
};

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

TEST_P(EngineTest, ReceivesBytesThenTheEnd) {
  for (const auto& [ours, peer] : {Pair(), TcpPair()}) {
    Noted<ReceiveOperation> receive;
    StartReceive(receive, ours);
    Turns(3);
    EXPECT_FALSE(receive.done());
    // A resting connection holds no buffer.
    EXPECT_EQ(pool_.live(), 0u);
    Write(peer, "hello");
    ASSERT_TRUE(Until([&] { return receive.done(); }));
    EXPECT_EQ(receive.result, 5);
    EXPECT_EQ(receive.op.buffer.view(), "hello");
    receive.op.buffer.Reset();
    receive.Again();
    StartReceive(receive, ours);
    Turns(3);
    EXPECT_FALSE(receive.done());
    ::close(peer);
    ASSERT_TRUE(Until([&] { return receive.done(); }));
    EXPECT_EQ(receive.result, 0);
    EXPECT_FALSE(receive.op.buffer);
    EXPECT_EQ(receive.completions, 1);
    engine().Close(ours);
  }
}

TEST_P(EngineTest, NothingCompletesInsideItsStart) {
  const auto [ours, peer] = TcpPair();
  Write(peer, "x");
  Noted<ReceiveOperation> receive;
  Noted<SendOperation> send;
  StartReceive(receive, ours);
  StartSend(send, ours, "y");
  EXPECT_FALSE(receive.done());
  EXPECT_FALSE(send.done());
  EXPECT_TRUE(send.op.pending());
  ASSERT_TRUE(Until([&] { return receive.done() && send.done(); }));
  receive.op.buffer.Reset();
  engine().Close(ours);
  ::close(peer);
}

// Bytes and the end in one event: a short receive does not hide the end.
TEST_P(EngineTest, TheEndThatCameWithTheBytes) {
  for (const bool before : {true, false}) {
    const auto [ours, peer] = TcpPair();
    Noted<ReceiveOperation> receive;
    if (before) StartReceive(receive, ours);
    Write(peer, "last");
    ::close(peer);
    if (!before) StartReceive(receive, ours);
    ASSERT_TRUE(Until([&] { return receive.done(); }));
    EXPECT_EQ(receive.result, 4);
    receive.op.buffer.Reset();
    receive.Again();
    StartReceive(receive, ours);
    ASSERT_TRUE(Until([&] { return receive.done(); }));
    EXPECT_EQ(receive.result, 0);
    engine().Close(ours);
  }
}

TEST_P(EngineTest, AppendsToABufferWithRoom) {
  const auto [ours, peer] = Pair();
  Noted<ReceiveOperation> receive;
  receive.op.buffer = pool_.Allocate();
  std::memcpy(receive.op.buffer.data(), "ab", 2);
  receive.op.buffer.set_size(2);
  StartReceive(receive, ours);
  Write(peer, "cd");
  ASSERT_TRUE(Until([&] { return receive.done(); }));
  EXPECT_EQ(receive.result, 2);
  EXPECT_EQ(receive.op.buffer.view(), "abcd");
  receive.Again();
  StartReceive(receive, ours);
  ::close(peer);
  ASSERT_TRUE(Until([&] { return receive.done(); }));
  EXPECT_EQ(receive.result, 0);
  EXPECT_EQ(receive.op.buffer.view(), "abcd");
  receive.op.buffer.Reset();
  engine().Close(ours);
}

// More than the buffer: the rest is not waited for.
TEST_P(EngineTest, FullBuffersAreFollowedByTheRest) {
  const auto [ours, peer] = Pair();
  const std::string sent(40'000, 'z');
  Write(peer, sent);
  size_t received = 0;
  while (received < sent.size()) {
    Noted<ReceiveOperation> receive;
    StartReceive(receive, ours);
    ASSERT_TRUE(Until([&] { return receive.done(); }));
    ASSERT_GT(receive.result, 0);
    received += static_cast<size_t>(receive.result);
  }
  EXPECT_EQ(received, sent.size());
  engine().Close(ours);
  ::close(peer);
}

TEST_P(EngineTest, PartialSendsGoOnByThemselves) {
  for (const auto& [ours, peer] : {Pair(), TcpPair()}) {
    const int small = 8192;
    ::setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    std::vector<std::string> pieces;
    std::string all;
    for (int i = 0; i < SendOperation::kMaxSlices; ++i) {
      pieces.emplace_back(static_cast<size_t>(i * 40'000 + (i % 3)), static_cast<char>('a' + i));
      all += pieces.back();
    }
    Noted<SendOperation> send;
    send.op.fd = ours;
    for (std::string& piece : pieces) send.op.slices[send.op.slice_count++] = {piece.data(), piece.size()};
    engine().StartSend(send.op);
    std::string received;
    char buffer[30'000];
    const int reader = peer;
    const auto drain = [&, reader] {
      const ssize_t count = ::recv(reader, buffer, sizeof(buffer), MSG_DONTWAIT);
      if (count > 0) received.append(buffer, static_cast<size_t>(count));
      return received.size() == all.size() && send.done();
    };
    Turns(3);
    EXPECT_FALSE(send.done());
    ASSERT_TRUE(Until(drain));
    EXPECT_EQ(send.result, static_cast<int32_t>(all.size()));
    EXPECT_TRUE(received == all);
    engine().Close(ours);
    ::close(peer);
  }
}

TEST_P(EngineTest, SendingNothing) {
  const auto [ours, peer] = Pair();
  Noted<SendOperation> send;
  StartSend(send, ours, "");
  ASSERT_TRUE(Until([&] { return send.done(); }));
  EXPECT_EQ(send.result, 0);
  engine().Close(ours);
  ::close(peer);
}

TEST_P(EngineTest, HalfClose) {
  const auto [ours, peer] = TcpPair();
  Noted<ReceiveOperation> receive;
  StartReceive(receive, ours);
  ::shutdown(peer, SHUT_WR);
  ASSERT_TRUE(Until([&] { return receive.done(); }));
  EXPECT_EQ(receive.result, 0);
  // The other direction still works.
  Noted<SendOperation> send;
  StartSend(send, ours, "answer");
  ASSERT_TRUE(Until([&] { return send.done(); }));
  EXPECT_EQ(send.result, 6);
  char buffer[16];
  ASSERT_TRUE(Until([&, fd = peer] { return ::recv(fd, buffer, sizeof(buffer), MSG_PEEK) == 6; }));
  engine().Close(ours);
  ::close(peer);
}

TEST_P(EngineTest, PeerResets) {
  const auto [ours, peer] = TcpPair();
  Noted<ReceiveOperation> receive;
  StartReceive(receive, ours);
  Turns(2);
  Reset(peer);
  ASSERT_TRUE(Until([&] { return receive.done(); }));
  EXPECT_EQ(receive.result, -ECONNRESET);
  // No signal, an error.
  Noted<SendOperation> send;
  StartSend(send, ours, "x");
  ASSERT_TRUE(Until([&] { return send.done(); }));
  EXPECT_EQ(send.result, -EPIPE);
  engine().Close(ours);
}

TEST_P(EngineTest, PeerResetsDuringASend) {
  const auto [ours, peer] = TcpPair();
  const std::string bytes(8 << 20, 'x');
  Noted<SendOperation> send;
  StartSend(send, ours, bytes);
  Turns(2);
  EXPECT_FALSE(send.done());
  Reset(peer);
  ASSERT_TRUE(Until([&] { return send.done(); }));
  EXPECT_LT(send.result, 0);
  engine().Close(ours);
}

TEST_P(EngineTest, CancelInFlight) {
  const auto [ours, peer] = TcpPair();
  const std::string bytes(8 << 20, 'x');
  Noted<ReceiveOperation> receive;
  Noted<SendOperation> send;
  Noted<HangUpOperation> watch;
  StartReceive(receive, ours);
  StartSend(send, ours, bytes);
  watch.op.fd = ours;
  engine().StartHangUpWatch(watch.op);
  Turns(3);
  engine().Cancel(receive.op);
  engine().Cancel(send.op);
  engine().Cancel(watch.op);
  engine().Cancel(watch.op);  // Twice is once.
  EXPECT_FALSE(receive.done() || send.done() || watch.done());
  ASSERT_TRUE(Until([&] { return receive.done() && send.done() && watch.done(); }));
  EXPECT_EQ(receive.result, -ECANCELED);
  EXPECT_EQ(send.result, -ECANCELED);
  EXPECT_EQ(watch.result, -ECANCELED);
  Turns(3);
  EXPECT_EQ(watch.completions, 1);
  engine().Cancel(watch.op);  // Of nothing.
  // The socket is still good for receiving.
  receive.Again();
  StartReceive(receive, ours);
  Write(peer, "more");
  ASSERT_TRUE(Until([&] { return receive.done(); }));
  EXPECT_EQ(receive.result, 4);
  receive.op.buffer.Reset();
  engine().Close(ours);
  ::close(peer);
}

TEST_P(EngineTest, CancelThatIsTooLateLosesNothing) {
  const auto [ours, peer] = Pair();
  Noted<SendOperation> send;
  StartSend(send, ours, "sent");
  engine().Cancel(send.op);
  ASSERT_TRUE(Until([&] { return send.done(); }));
  char buffer[16];
  const ssize_t count = ::recv(peer, buffer, sizeof(buffer), MSG_DONTWAIT);
  // Either all was sent and it says so, or it was cancelled before anything was.
  EXPECT_EQ(send.result == 4, count == 4);
  EXPECT_TRUE(send.result == 4 || send.result == -ECANCELED);
  Write(peer, "bytes");
  Noted<ReceiveOperation> receive;
  StartReceive(receive, ours);
  engine().Cancel(receive.op);
  ASSERT_TRUE(Until([&] { return receive.done(); }));
  if (receive.result == -ECANCELED) {
    receive.Again();
    StartReceive(receive, ours);
    ASSERT_TRUE(Until([&] { return receive.done(); }));
  }
  EXPECT_EQ(receive.result, 5);
  receive.op.buffer.Reset();
  engine().Close(ours);
  ::close(peer);
}

TEST_P(EngineTest, HangUps) {
  enum How { kClose, kHalfClose, kReset, kBefore };
  for (How how : {kClose, kHalfClose, kReset, kBefore}) {
    const auto [ours, peer] = TcpPair();
    Noted<HangUpOperation> watch;
    watch.op.fd = ours;
    if (how == kBefore) {
      Noted<ReceiveOperation> receive;
      StartReceive(receive, ours);
      ::close(peer);
      ASSERT_TRUE(Until([&] { return receive.done(); }));
      engine().StartHangUpWatch(watch.op);
    } else {
      engine().StartHangUpWatch(watch.op);
      // Bytes are no hang-up, and stay to be read.
      Write(peer, "pipelined");
      Turns(5);
      EXPECT_FALSE(watch.done());
      if (how == kClose) ::close(peer);
      if (how == kHalfClose) ::shutdown(peer, SHUT_WR);
      if (how == kReset) Reset(peer);
    }
    ASSERT_TRUE(Until([&] { return watch.done(); })) << how;
    EXPECT_EQ(watch.result, 0);
    if (how == kClose || how == kHalfClose) {
      Noted<ReceiveOperation> receive;
      StartReceive(receive, ours);
      ASSERT_TRUE(Until([&] { return receive.done(); }));
      EXPECT_EQ(receive.result, 9);
    }
    if (how == kHalfClose) ::close(peer);
    engine().Close(ours);
  }
}

TEST_P(EngineTest, ConnectRefused) {
  sockaddr_storage address;
  ::close(Listener(address));
  Noted<ConnectOperation> connect;
  Connect(connect, address);
  EXPECT_FALSE(connect.done());
  ASSERT_TRUE(Until([&] { return connect.done(); }));
  EXPECT_EQ(connect.result, -ECONNREFUSED);
  engine().Close(connect.op.fd);
}

TEST_P(EngineTest, ConnectThatHangsIsCancelled) {
  sockaddr_storage address;
  const int listener = Listener(address, 0);
  // Nobody accepts: a few fit into the queue, the next ones hang.
  std::vector<std::unique_ptr<Noted<ConnectOperation>>> connects;
  for (int i = 0; i < 8; ++i) {
    connects.push_back(std::make_unique<Noted<ConnectOperation>>());
    Connect(*connects.back(), address);
  }
  Turns(20);
  ASSERT_FALSE(connects.back()->done());
  for (auto& connect : connects) engine().Cancel(connect->op);
  for (auto& connect : connects) {
    ASSERT_TRUE(Until([&] { return connect->done(); }));
    engine().Close(connect->op.fd);
  }
  EXPECT_EQ(connects.back()->result, -ECANCELED);
  ::close(listener);
}

TEST_P(EngineTest, ManyConnections) {
  constexpr int kConnections = 400;
  sockaddr_storage address;
  const int listener = Listener(address);
  struct One {
    Noted<ConnectOperation> connect;
    Noted<SendOperation> send;
    Noted<ReceiveOperation> receive;
    int accepted = -1;
  };
  std::vector<std::unique_ptr<One>> all;
  std::vector<int> accepted;
  Noted<AcceptOperation> accept;
  accept.op.fd = listener;
  accept.then = [&] {
    ASSERT_GE(accept.result, 0);
    EXPECT_EQ(accept.op.peer.ss_family, AF_INET);
    accepted.push_back(accept.result);
    engine().StartAccept(accept.op);
  };
  engine().StartAccept(accept.op);
  for (int i = 0; i < kConnections; ++i) {
    all.push_back(std::make_unique<One>());
    Connect(all.back()->connect, address);
  }
  ASSERT_TRUE(Until([&] { return accepted.size() == kConnections; }));
  for (size_t i = 0; i < kConnections; ++i) {
    ASSERT_TRUE(Until([&] { return all[i]->connect.done(); }));
    EXPECT_EQ(all[i]->connect.result, 0);
    StartReceive(all[i]->receive, accepted[i]);
    StartSend(all[i]->send, all[i]->connect.op.fd, "hi");
  }
  for (auto& one : all) {
    ASSERT_TRUE(Until([&] { return one->receive.done() && one->send.done(); }));
    EXPECT_EQ(one->receive.result, 2);
    one->receive.op.buffer.Reset();
  }
  accept.then = nullptr;
  engine().Cancel(accept.op);
  ASSERT_TRUE(Until([&] { return !accept.op.pending(); }));
  for (auto& one : all) engine().Close(one->connect.op.fd);
  for (int fd : accepted) engine().Close(fd);
  engine().Close(listener);
}

TEST_P(EngineTest, OutOfDescriptors) {
  sockaddr_storage address;
  const int listener = Listener(address);
  const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::connect(client, reinterpret_cast<sockaddr*>(&address), sizeof(sockaddr_in)), 0);
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit tight = before;
  tight.rlim_cur = static_cast<rlim_t>(::fcntl(client, F_DUPFD, 0));
  ::close(static_cast<int>(tight.rlim_cur));
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
  Noted<AcceptOperation> accept;
  accept.op.fd = listener;
  engine().StartAccept(accept.op);
  EXPECT_TRUE(Until([&] { return accept.done(); }));
  EXPECT_EQ(accept.result, -EMFILE);
  // Asked again, the same again; and when there is room, the connection comes.
  accept.Again();
  engine().StartAccept(accept.op);
  EXPECT_TRUE(Until([&] { return accept.done(); }));
  EXPECT_EQ(accept.result, -EMFILE);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  accept.Again();
  engine().StartAccept(accept.op);
  ASSERT_TRUE(Until([&] { return accept.done(); }));
  EXPECT_GE(accept.result, 0);
  engine().Close(accept.result);
  engine().Close(listener);
  ::close(client);
}

TEST_P(EngineTest, DescriptorsAreReused) {
  int last = -1, reused = 0;
  for (int i = 0; i < 20; ++i) {
    const auto [ours, peer] = Pair();
    reused += ours == last ? 1 : 0;
    last = ours;
    Noted<ReceiveOperation> receive;
    StartReceive(receive, ours);
    Write(peer, "x");
    ASSERT_TRUE(Until([&] { return receive.done(); }));
    // Leaves an unread byte and a hang-up behind.
    Write(peer, "y");
    ::close(peer);
    receive.op.buffer.Reset();
    engine().Close(ours);
  }
  EXPECT_GT(reused, 0);
}

// A socket that never runs dry does not keep others from their bytes.
TEST_P(EngineTest, OneBusySocketDoesNotStarveOthers) {
  const auto [busy, feeder] = Pair();
  const auto [quiet, friend_fd] = Pair();
  const std::string block(16 * 1024, 'x');
  int busy_receives = 0;
  Noted<ReceiveOperation> receive;
  Noted<ReceiveOperation> other;
  bool stop = false;
  receive.then = [&, feeder_fd = feeder, busy_fd = busy] {
    ++busy_receives;
    receive.op.buffer.Reset();
    if (stop) return;
    ASSERT_GT(::send(feeder_fd, block.data(), block.size(), MSG_NOSIGNAL), 0);
    StartReceive(receive, busy_fd);
  };
  StartReceive(other, quiet);
  StartReceive(receive, busy);
  Write(feeder, block);
  Write(feeder, block);
  while (busy_receives < 100) loop_.RunOnce(0);
  Write(friend_fd, "now");
  const int before = busy_receives;
  ASSERT_TRUE(Until([&] { return other.done(); }));
  EXPECT_LT(busy_receives - before, 20'000);
  stop = true;
  ASSERT_TRUE(Until([&] { return !receive.op.pending(); }));
  other.op.buffer.Reset();
  engine().Close(busy);
  engine().Close(quiet);
  ::close(feeder);
  ::close(friend_fd);
}

TEST_P(EngineTest, WakeEndsTheNextWait) {
  engine().Wake();
  bool waited = false;
  engine().Poll(-1, [&] { waited = true; });
  EXPECT_TRUE(waited);
}

TEST(EngineDeathTest, DestroyingAPendingOperationAborts) {
  EXPECT_DEATH(
      {
        Loop loop(*CreateEpollEngine(), base::RealClock());
        int fds[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0) ::_exit(0);
        ReceiveOperation op;
        op.fd = fds[0];
        op.pool = &loop.upstream_buffers();
        op.on_complete = [](Operation&) {};
        loop.engine().StartReceive(op);
      },
      "check failed: !pending_");
}

INSTANTIATE_TEST_SUITE_P(Engines, EngineTest, testing::Values(Factory{"epoll", &CreateEpollEngine}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace portico::event
