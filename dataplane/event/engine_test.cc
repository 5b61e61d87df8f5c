// What every engine must do with a connection's bytes, whatever the kernel interface
// below it.
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "dataplane/event/engine_fixture.h"

namespace portico::event {
namespace {

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

INSTANTIATE_TEST_SUITE_P(Engines, EngineTest, testing::ValuesIn(Engines()), &EngineName);

}  // namespace
}  // namespace portico::event
