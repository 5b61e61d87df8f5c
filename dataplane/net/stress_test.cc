// Clients that come and go at random while a server echoes, ended in full traffic:
// nothing may be left over.
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>

#include "dataplane/base/clock.h"
#include "dataplane/event/await.h"
#include "dataplane/event/run_task.h"
#include "dataplane/net/await.h"
#include "dataplane/net/listen.h"

namespace portico::net {
namespace {

using base::kNanosPerMilli;
using event::CancelScope;
using event::Task;

// One echo connection, with a watch on its client and a deadline for each answer.
Task<void> Serve(event::Loop& loop, std::unique_ptr<ByteStream> stream, CancelScope& server_scope) {
  event::ChildScope scope(server_scope);
  HangUpWatch watch(*stream);
  watch.Watch(scope);
  Receive receive(*stream, scope, loop.downstream_buffers());
  for (;;) {
    absl::StatusOr<base::Buffer> bytes = co_await receive;
    if (!bytes.ok() || !*bytes) break;
    event::Deadline deadline(loop, scope, loop.now() + 5 * kNanosPerMilli, "slow client");
    Send send(*stream, scope);
    send.Add(bytes->view());
    const absl::Status sent = co_await send;
    if (!sent.ok()) break;
  }
  co_await watch.Stop();
}

Task<void> AcceptLoop(event::Loop& loop, int listen_fd, CancelScope& scope, event::TaskGroup& connections, int& served) {
  Accept accept(loop, scope, listen_fd);
  for (;;) {
    const absl::StatusOr<AcceptedSocket> socket = co_await accept;
    if (!socket.ok()) {
      if (socket.status().code() != absl::StatusCode::kResourceExhausted) co_return;
      const absl::Status paused = co_await event::Sleep(loop, scope, loop.now() + kNanosPerMilli);
      if (!paused.ok()) co_return;
      continue;
    }
    ++served;
    connections.Spawn(Serve(loop, MakeTcpStream(loop, socket->fd), scope));
  }
}

Task<absl::Status> Write(Send& send) { co_return co_await send; }

Task<size_t> ReadUpTo(event::Loop& loop, ByteStream& stream, CancelScope& scope, size_t wanted) {
  Receive receive(stream, scope, loop.upstream_buffers());
  size_t total = 0;
  while (total < wanted) {
    const absl::StatusOr<base::Buffer> bytes = co_await receive;
    if (!bytes.ok() || !*bytes) break;
    total += bytes->size();
  }
  co_return total;
}

// Sends and reads a few messages, and may leave anywhere: before reading all, by a
// deadline, orderly or with a reset.
Task<void> Client(event::Loop& loop, SocketAddress address, CancelScope& all_clients, unsigned seed, int& echoed) {
  std::mt19937 random(seed);
  event::ChildScope scope(all_clients);
  Connect connect(loop, scope, address);
  absl::StatusOr<std::unique_ptr<ByteStream>> connected = co_await connect;
  if (!connected.ok()) co_return;
  ByteStream& stream = **connected;
  event::Deadline deadline(loop, scope, loop.now() + static_cast<int64_t>(random() % 30) * kNanosPerMilli, "leaves");
  const std::string message(random() % 3 == 0 ? 300'000 : random() % 3000 + 1, 'm');
  for (unsigned round = 0; round < 1 + random() % 10; ++round) {
    if (random() % 10 == 0) stream.Abort();
    if (random() % 10 == 0) co_return;
    Send send(stream, scope);
    send.Add(message);
    const size_t wanted = random() % 5 == 0 ? message.size() / 2 : message.size();
    const auto both = co_await event::Both(Write(send), ReadUpTo(loop, stream, scope, wanted));
    if (!both.first.ok() || both.second < wanted) co_return;
    if (wanted < message.size()) co_return;
    ++echoed;
  }
}

Task<void> ClientLoop(event::Loop& loop, SocketAddress address, CancelScope& scope, unsigned seed, int& echoed) {
  for (unsigned i = 0; !scope.requested(); ++i) {
    co_await Client(loop, address, scope, seed * 1000 + i, echoed);
    co_await event::Yield(loop);
  }
}

void ExpectNothingLeft(event::Loop& loop) {
  EXPECT_EQ(event::LiveFrames(), 0);
  EXPECT_EQ(loop.downstream_buffers().live(), 0u);
  EXPECT_EQ(loop.upstream_buffers().live(), 0u);
  EXPECT_EQ(loop.timers().armed(), 0u);
}

TEST(StressTest, StopUnderTrafficLeavesNothing) {
  event::Loop loop(*event::CreateEpollEngine(), base::RealClock());
  const int listen_fd = *Listen(*SocketAddress::Parse("127.0.0.1:0"));
  const SocketAddress address = *LocalAddress(listen_fd);
  int served = 0, echoed = 0;
  {
    CancelScope server, clients;
    event::TaskGroup connections(loop), others(loop);
    others.Spawn(AcceptLoop(loop, listen_fd, server, connections, served));
    for (unsigned seed = 1; seed <= 24; ++seed) others.Spawn(ClientLoop(loop, address, clients, seed, echoed));
    ASSERT_TRUE(event::RunUntil(loop, [&] { return served >= 1500; }, 1'000'000));
    server.Request(absl::CancelledError("stopping"));
    for (int turn = 0; turn < 5; ++turn) loop.RunOnce(0);
    clients.Request(absl::CancelledError("stopping"));
    event::RunTask(loop, others.Join());
    event::RunTask(loop, connections.Join());
  }
  loop.engine().Close(listen_fd);
  EXPECT_GT(echoed, 0);
  ExpectNothingLeft(loop);
}

// The same from another thread, as a signal does it: posted, then stopped.
TEST(StressTest, StopFromAnotherThread) {
  event::Loop server_loop(*event::CreateEpollEngine(), base::RealClock());
  const int listen_fd = *Listen(*SocketAddress::Parse("127.0.0.1:0"));
  const SocketAddress address = *LocalAddress(listen_fd);
  int64_t left = -1;
  std::thread server([&] {
    CancelScope scope;
    event::TaskGroup connections(server_loop), acceptor(server_loop);
    int served = 0;
    acceptor.Spawn(AcceptLoop(server_loop, listen_fd, scope, connections, served));
    CancelScope* shared = &scope;
    server_loop.Post([shared] { ASSERT_FALSE(shared->requested()); });
    server_loop.Run();
    scope.Request(absl::CancelledError("stopping"));
    event::RunTask(server_loop, acceptor.Join());
    event::RunTask(server_loop, connections.Join());
    left = event::LiveFrames();
  });
  event::Loop loop(*event::CreateEpollEngine(), base::RealClock());
  int echoed = 0;
  {
    CancelScope clients;
    event::TaskGroup group(loop);
    for (unsigned seed = 1; seed <= 16; ++seed) group.Spawn(ClientLoop(loop, address, clients, seed, echoed));
    EXPECT_TRUE(event::RunUntil(loop, [&] { return echoed >= 300; }, 1'000'000));
    server_loop.Stop();
    server.join();
    clients.Request(absl::CancelledError("stopping"));
    event::RunTask(loop, group.Join());
  }
  server_loop.engine().Close(listen_fd);
  EXPECT_EQ(left, 0);
  ExpectNothingLeft(loop);
  ExpectNothingLeft(server_loop);
}

}  // namespace
}  // namespace portico::net
