// Bytes that go from one socket to another through a pipe, with every engine.
#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/event/engine_fixture.h"
#include "dataplane/event/pipe.h"

namespace portico::event {
namespace {

class PipeTest : public EngineTest {
 protected:
  void StartReceive(Noted<ReceiveOperation>& receive, int fd, Pipe* pipe, size_t most) {
    receive.Again();
    receive.op.fd = fd;
    receive.op.pipe = pipe;
    receive.op.size_hint = most;
    engine().StartReceive(receive.op);
  }
  void StartSend(Noted<SendOperation>& send, int fd, Pipe* pipe) {
    send.Again();
    send.op.fd = fd;
    send.op.slice_count = 0;
    send.op.pipe = pipe;
    engine().StartSend(send.op);
  }
  static std::string ReadAll(int fd) {
    std::string all;
    char buffer[4096];
    while (true) {
      const ssize_t count = ::recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
      if (count <= 0) return all;
      all.append(buffer, static_cast<size_t>(count));
    }
  }
  static void Shrink(int fd, int option) {
    const int small = 8192;
    ASSERT_EQ(::setsockopt(fd, SOL_SOCKET, option, &small, sizeof(small)), 0);
  }
};

std::string Pattern(size_t size) {
  std::string text(size, '\0');
  uint32_t state = 1;
  for (char& c : text) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return text;
}

TEST_P(PipeTest, EveryByteOnceAndInOrderToASlowerPeer) {
  const auto [from, source] = TcpPair();
  const auto [to, sink] = TcpPair();
  // The sink's kernel takes as much as fits, its reader 20 KB a turn.
  Shrink(to, SO_SNDBUF);
  const std::string sent = Pattern(3'000'017);
  size_t written = 0, moved = 0;
  std::string received;
  Noted<ReceiveOperation> receive;
  Noted<SendOperation> send;
  PipeLease pipe = engine().pipes()->Take();
  ASSERT_NE(pipe, nullptr);
  receive.then = [&] {
    ASSERT_GT(receive.result, 0);
    ASSERT_EQ(pipe->size(), static_cast<size_t>(receive.result));
    StartSend(send, to, pipe.get());
  };
  send.then = [&] {
    ASSERT_EQ(send.result, receive.result);
    ASSERT_EQ(pipe->size(), 0u);
    moved += static_cast<size_t>(send.result);
    if (moved < sent.size()) StartReceive(receive, from, pipe.get(), PipePool::kPipeBytes);
  };
  StartReceive(receive, from, pipe.get(), PipePool::kPipeBytes);
  char buffer[20'000];
  const int in = source, out = sink;
  ASSERT_TRUE(Until([&] {
    if (written < sent.size()) {
      const ssize_t count = ::send(in, sent.data() + written, sent.size() - written, MSG_DONTWAIT);
      if (count > 0) written += static_cast<size_t>(count);
    }
    const ssize_t count = ::recv(out, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (count > 0) received.append(buffer, static_cast<size_t>(count));
    return received.size() == sent.size() && moved == sent.size();
  }));
  EXPECT_TRUE(received == sent);
  EXPECT_EQ(pool_.live(), 0u);
  pipe.reset();
  EXPECT_EQ(engine().pipes()->live(), 0u);
  EXPECT_EQ(engine().pipes()->idle(), 1u);
  for (const int fd : {from, to}) engine().Close(fd);
  for (const int fd : {source, sink}) ::close(fd);
}

TEST_P(PipeTest, NoMoreThanAskedFor) {
  const auto [from, source] = TcpPair();
  const auto [to, sink] = TcpPair();
  Write(source, "bodynext");
  PipeLease pipe = engine().pipes()->Take();
  Noted<ReceiveOperation> receive;
  StartReceive(receive, from, pipe.get(), 4);
  EXPECT_FALSE(receive.done());
  ASSERT_TRUE(Until([&] { return receive.done(); }));
  EXPECT_EQ(receive.result, 4);
  // What follows is for the next, ordinary receive.
  Noted<ReceiveOperation> next;
  EngineTest::StartReceive(next, from);
  ASSERT_TRUE(Until([&] { return next.done(); }));
  EXPECT_EQ(next.op.buffer.view(), "next");
  next.op.buffer.Reset();
  // Slices go first.
  Noted<SendOperation> send;
  char head[] = "head ";
  send.op.fd = to;
  send.op.slices[0] = {head, 5};
  send.op.slice_count = 1;
  send.op.pipe = pipe.get();
  engine().StartSend(send.op);
  ASSERT_TRUE(Until([&] { return send.done(); }));
  EXPECT_EQ(send.result, 9);
  EXPECT_EQ(ReadAll(sink), "head body");
  for (const int fd : {from, to}) engine().Close(fd);
  for (const int fd : {source, sink}) ::close(fd);
}

TEST_P(PipeTest, TheEndAndHalfClose) {
  const auto [from, source] = TcpPair();
  const auto [to, sink] = TcpPair();
  PipeLease pipe = engine().pipes()->Take();
  Noted<ReceiveOperation> receive;
  StartReceive(receive, from, pipe.get(), 100);
  Turns(3);
  EXPECT_FALSE(receive.done());
  Write(source, "last");
  ::shutdown(source, SHUT_WR);
  ASSERT_TRUE(Until([&] { return receive.done(); }));
  EXPECT_EQ(receive.result, 4);
  Noted<SendOperation> send;
  StartSend(send, to, pipe.get());
  ASSERT_TRUE(Until([&] { return send.done(); }));
  EXPECT_EQ(ReadAll(sink), "last");
  StartReceive(receive, from, pipe.get(), 100);
  ASSERT_TRUE(Until([&] { return receive.done(); }));
  EXPECT_EQ(receive.result, 0);
  // The other direction goes on.
  Noted<SendOperation> back;
  EngineTest::StartSend(back, from, "still");
  ASSERT_TRUE(Until([&] { return back.done(); }));
  EXPECT_EQ(ReadAll(source), "still");
  for (const int fd : {from, to}) engine().Close(fd);
  for (const int fd : {source, sink}) ::close(fd);
}

TEST_P(PipeTest, TheSourceIsReset) {
  const auto [from, source] = TcpPair();
  PipeLease pipe = engine().pipes()->Take();
  Noted<ReceiveOperation> receive;
  StartReceive(receive, from, pipe.get(), 100);
  Turns(2);
  Reset(source);
  ASSERT_TRUE(Until([&] { return receive.done(); }));
  EXPECT_EQ(receive.result, -ECONNRESET);
  engine().Close(from);
}

// A closed sink is an error of the send, not a signal that ends the process; what was
// not sent is not found in the next pipe.
TEST_P(PipeTest, TheSinkIsReset) {
  const auto [from, source] = TcpPair();
  const auto [to, sink] = TcpPair();
  Noted<ReceiveOperation> receive;
  Noted<SendOperation> send;
  Write(source, "for nobody");
  PipeLease pipe = engine().pipes()->Take();
  StartReceive(receive, from, pipe.get(), 100);
  ASSERT_TRUE(Until([&] { return receive.done(); }));
  Reset(sink);
  // The first error is the reset, later ones are broken pipes.
  Noted<SendOperation> first;
  EngineTest::StartSend(first, to, "x");
  ASSERT_TRUE(Until([&] { return first.done(); }));
  StartSend(send, to, pipe.get());
  ASSERT_TRUE(Until([&] { return send.done(); }));
  EXPECT_LT(send.result, 0);
  EXPECT_EQ(pipe->size(), 10u);
  pipe.reset();
  EXPECT_EQ(engine().pipes()->idle(), 0u);
  pipe = engine().pipes()->Take();
  EXPECT_EQ(pipe->size(), 0u);
  for (const int fd : {from, to}) engine().Close(fd);
  ::close(source);
}

TEST_P(PipeTest, CancelledInFlight) {
  const auto [from, source] = TcpPair();
  const auto [to, sink] = TcpPair();
  Shrink(to, SO_SNDBUF);
  Shrink(sink, SO_RCVBUF);
  PipeLease pipe = engine().pipes()->Take();
  Noted<ReceiveOperation> receive;
  StartReceive(receive, from, pipe.get(), PipePool::kPipeBytes);
  Turns(2);
  engine().Cancel(receive.op);
  EXPECT_FALSE(receive.done());
  ASSERT_TRUE(Until([&] { return receive.done(); }));
  EXPECT_EQ(receive.result, -ECANCELED);
  EXPECT_EQ(pipe->size(), 0u);

  // A send that its peer does not take.
  const std::string much(100'000, 'x');
  Noted<SendOperation> send;
  const int in = source;
  size_t written = 0;
  for (int i = 0; i < 1000 && !send.op.pending(); ++i) {
    const ssize_t count = ::send(in, much.data(), much.size(), MSG_DONTWAIT);
    if (count > 0) written += static_cast<size_t>(count);
    StartReceive(receive, from, pipe.get(), PipePool::kPipeBytes);
    ASSERT_TRUE(Until([&] { return receive.done(); }));
    ASSERT_GT(receive.result, 0);
    StartSend(send, to, pipe.get());
    Turns(3);
  }
  ASSERT_TRUE(send.op.pending());
  EXPECT_GT(pipe->size(), 0u);
  engine().Cancel(send.op);
  ASSERT_TRUE(Until([&] { return send.done(); }));
  EXPECT_EQ(send.result, -ECANCELED);
  pipe.reset();
  EXPECT_EQ(engine().pipes()->idle(), 0u);
  EXPECT_EQ(engine().pipes()->live(), 0u);
  for (const int fd : {from, to}) engine().Close(fd);
  for (const int fd : {source, sink}) ::close(fd);
}

// A body whose pieces are always there, and somebody else.
TEST_P(PipeTest, ABodyDoesNotKeepOthersWaiting) {
  const auto [from, source] = TcpPair();
  const auto [to, sink] = TcpPair();
  const auto [other, peer] = TcpPair();
  const std::string body = Pattern(128 * 1024);
  ASSERT_EQ(::send(source, body.data(), body.size(), MSG_DONTWAIT),
            static_cast<ssize_t>(body.size()));
  PipeLease pipe = engine().pipes()->Take();
  Noted<ReceiveOperation> receive, theirs;
  Noted<SendOperation> send;
  constexpr size_t kPiece = 64;
  size_t moved = 0, moved_before_theirs = 0;
  const int in = from, out = to;
  receive.then = [&] { StartSend(send, out, pipe.get()); };
  send.then = [&] {
    moved += kPiece;
    if (moved < body.size()) StartReceive(receive, in, pipe.get(), kPiece);
  };
  theirs.then = [&] { moved_before_theirs = moved; };
  StartReceive(receive, from, pipe.get(), kPiece);
  ASSERT_TRUE(Until([&] { return moved > 0; }));
  Write(peer, "x");
  EngineTest::StartReceive(theirs, other);
  const size_t moved_until_then = moved;
  ASSERT_LT(moved_until_then, body.size() / 2);
  const int taker = sink;
  std::string taken;
  ASSERT_TRUE(Until([&] {
    taken += ReadAll(taker);
    return theirs.done() && moved == body.size() && taken.size() == body.size();
  }));
  EXPECT_TRUE(taken == body);
  EXPECT_LT(moved_before_theirs - moved_until_then, 10 * kPiece);
  theirs.op.buffer.Reset();
  pipe.reset();
  for (const int fd : {from, to, other}) engine().Close(fd);
  for (const int fd : {source, sink, peer}) ::close(fd);
}

// io_uring has sent the slices when it is told to cancel: nobody was left to end the wait
// of the pipe's bytes.
TEST_P(PipeTest, CancelledBetweenItsSlicesAndItsPipe) {
  const auto [from, source] = TcpPair();
  const auto [to, sink] = TcpPair();
  Shrink(to, SO_SNDBUF);
  Shrink(sink, SO_RCVBUF);
  PipeLease pipe = engine().pipes()->Take();
  Noted<ReceiveOperation> receive;
  const std::string much(200'000, 'x');
  ASSERT_GE(::send(source, much.data(), much.size(), MSG_DONTWAIT), 65'536);
  StartReceive(receive, from, pipe.get(), PipePool::kPipeBytes);
  ASSERT_TRUE(Until([&] { return receive.done(); }));
  ASSERT_GE(pipe->size(), 60'000u) << "more than the sink takes";
  std::string head = "head";
  Noted<SendOperation> send;
  send.op.fd = to;
  send.op.slices[0] = {head.data(), head.size()};
  send.op.slice_count = 1;
  send.op.pipe = pipe.get();
  engine().StartSend(send.op);
  engine().Cancel(send.op);
  ASSERT_TRUE(Until([&] { return send.done(); }));
  EXPECT_EQ(send.result, -ECANCELED);
  pipe.reset();
  for (const int fd : {from, to}) engine().Close(fd);
  for (const int fd : {source, sink}) ::close(fd);
}

INSTANTIATE_TEST_SUITE_P(Engines, PipeTest, testing::ValuesIn(Engines()), EngineName);

TEST(PipePoolTest, HasABound) {
  PipePool pool(2);
  PipeLease a = pool.Take(), b = pool.Take();
  ASSERT_NE(a, nullptr);
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(pool.Take(), nullptr);
  EXPECT_EQ(pool.live(), 2u);
  const int end = a->read_end();
  a.reset();
  EXPECT_EQ(pool.idle(), 1u);
  a = pool.Take();
  EXPECT_EQ(a->read_end(), end);
}

TEST(PipePoolTest, NoDescriptorNoPipe) {
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  PipePool pool;
  PipeLease kept = pool.Take();
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  EXPECT_EQ(pool.Take(), nullptr);
  EXPECT_EQ(pool.live(), 1u);
  kept.reset();
  kept = pool.Take();
  EXPECT_NE(kept, nullptr);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_NE(pool.Take(), nullptr);
}

}  // namespace
}  // namespace portico::event
