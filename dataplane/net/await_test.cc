#include "dataplane/net/await.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "dataplane/base/fake_clock.h"
#include "dataplane/event/await.h"
#include "dataplane/event/run_task.h"
#include "dataplane/net/listen.h"
#include "dataplane/net/socket_pair.h"

namespace portico::net {
namespace {

using event::CancelScope;
using event::RunTask;
using event::RunUntil;
using event::Spawn;
using event::Task;

class NetAwaitTest : public testing::Test {
 protected:
  NetAwaitTest() : loop_(*event::CreateEpollEngine(), clock_) {
    listen_fd_ = *Listen(*SocketAddress::Parse("127.0.0.1:0"));
    address_ = *LocalAddress(listen_fd_);
  }
  ~NetAwaitTest() override {
    loop_.engine().Close(listen_fd_);
    EXPECT_EQ(event::LiveFrames(), 0);
    EXPECT_EQ(loop_.downstream_buffers().live(), 0u);
    EXPECT_EQ(loop_.timers().armed(), 0u);
  }

  Task<absl::StatusOr<std::string>> ReceiveAll(ByteStream& stream) {
    std::string all;
    Receive receive(stream, scope_, loop_.downstream_buffers());
    for (;;) {
      absl::StatusOr<base::Buffer> bytes = co_await receive;
      if (!bytes.ok()) co_return bytes.status();
      if (!*bytes) co_return all;
      all += bytes->view();
    }
  }
  Task<absl::StatusOr<base::Buffer>> ReceiveOne(ByteStream& stream, CancelScope& scope) {
    Receive receive(stream, scope, loop_.downstream_buffers());
    co_return co_await receive;
  }
  Task<absl::Status> SendText(ByteStream& stream, std::string text) {
    Send send(stream, scope_);
    send.Add(text);
    co_return co_await send;
  }
  Task<absl::StatusOr<std::unique_ptr<ByteStream>>> ConnectTo(SocketAddress address) {
    Connect connect(loop_, scope_, address);
    co_return co_await connect;
  }
  Task<absl::StatusOr<AcceptedSocket>> AcceptOne() {
    Accept accept(loop_, scope_, listen_fd_);
    co_return co_await accept;
  }

  base::FakeClock clock_;
  event::Loop loop_;
  CancelScope scope_;
  int listen_fd_ = -1;
  SocketAddress address_;
};

TEST_F(NetAwaitTest, ConnectAcceptTalkClose) {
  absl::StatusOr<std::unique_ptr<ByteStream>> client = RunTask(loop_, ConnectTo(address_));
  ASSERT_TRUE(client.ok()) << client.status();
  absl::StatusOr<AcceptedSocket> socket = RunTask(loop_, AcceptOne());
  ASSERT_TRUE(socket.ok()) << socket.status();
  std::unique_ptr<ByteStream> server = MakeTcpStream(loop_, socket->fd);
  EXPECT_EQ((*client)->peer(), address_);
  EXPECT_EQ(server->local(), address_);
  EXPECT_EQ(server->peer(), (*client)->local());
  EXPECT_NE((*client)->local().port, 0);
  EXPECT_TRUE(RunTask(loop_, SendText(**client, "hello")).ok());
  (*client)->ShutdownWrite();
  EXPECT_EQ(*RunTask(loop_, ReceiveAll(*server)), "hello");
  EXPECT_TRUE(RunTask(loop_, SendText(*server, "bye")).ok());
  server.reset();
  EXPECT_EQ(*RunTask(loop_, ReceiveAll(**client)), "bye");
}

TEST_F(NetAwaitTest, Errors) {
  const int closed = *Listen(*SocketAddress::Parse("127.0.0.1:0"));
  const SocketAddress refused = *LocalAddress(closed);
  loop_.engine().Close(closed);
  const absl::Status connect = RunTask(loop_, ConnectTo(refused)).status();
  EXPECT_EQ(connect.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(connect.message(), "connect: Connection refused (ECONNREFUSED)");

  absl::StatusOr<std::unique_ptr<ByteStream>> client = RunTask(loop_, ConnectTo(address_));
  std::unique_ptr<ByteStream> server = MakeTcpStream(loop_, RunTask(loop_, AcceptOne())->fd);
  server->Abort();
  server.reset();
  const absl::Status receive = RunTask(loop_, ReceiveOne(**client, scope_)).status();
  EXPECT_EQ(receive.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(receive.message(), "receive: Connection reset by peer (ECONNRESET)");
  EXPECT_EQ(RunTask(loop_, SendText(**client, "x")).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ErrnoStatus(EMFILE, "accept").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrnoStatus(123456, "accept").message(), "accept: unknown error (123456)");
}

TEST_F(NetAwaitTest, NoDescriptorForAConnection) {
  // Once with descriptors: the sanitizers need some when they first see a type.
  EXPECT_TRUE(RunTask(loop_, ConnectTo(address_)).ok());
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const absl::Status status = RunTask(loop_, ConnectTo(address_)).status();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
}

TEST_F(NetAwaitTest, CancelledReceive) {
  auto [a, b] = MakeSocketPair(loop_);
  CancelScope scope;
  absl::StatusOr<base::Buffer> result;
  const auto receive = [&, &stream = *a]() -> Task<void> { result = co_await ReceiveOne(stream, scope); };
  Spawn(receive());
  loop_.RunOnce(0);
  scope.Request(absl::DeadlineExceededError("idle"));
  EXPECT_EQ(event::LiveFrames(), 2);
  ASSERT_TRUE(RunUntil(loop_, [] { return event::LiveFrames() == 0; }));
  EXPECT_EQ(result.status(), absl::DeadlineExceededError("idle"));
  // Requested before: not even started.
  EXPECT_EQ(RunTask(loop_, ReceiveOne(*a, scope)).status(), absl::DeadlineExceededError("idle"));
  // The bytes are still there for who asks under another scope.
  EXPECT_TRUE(RunTask(loop_, SendText(*b, "late")).ok());
  EXPECT_EQ(RunTask(loop_, ReceiveOne(*a, scope_))->view(), "late");
}

TEST_F(NetAwaitTest, CancelledConnectAndAccept) {
  CancelScope scope;
  absl::Status accepted;
  const auto accept = [&]() -> Task<void> {
    Accept waiting(loop_, scope, listen_fd_);
    accepted = (co_await waiting).status();
  };
  Spawn(accept());
  scope.Request(absl::CancelledError("draining"));
  ASSERT_TRUE(RunUntil(loop_, [] { return event::LiveFrames() == 0; }));
  EXPECT_EQ(accepted.message(), "draining");
  const auto connect = [&]() -> Task<absl::Status> {
    Connect connecting(loop_, scope, address_);
    co_return (co_await connecting).status();
  };
  EXPECT_EQ(RunTask(loop_, connect()).message(), "draining");
}

TEST_F(NetAwaitTest, SendsManyPieces) {
  auto [a, b] = MakeSocketPair(loop_);
  const std::string text = "abcdefghij";
  Send send(*a, scope_);
  EXPECT_TRUE(send.Add(std::string_view(text).substr(0, 5)));
  EXPECT_TRUE(send.Add(""));
  EXPECT_TRUE(send.Add(std::string_view(text).substr(5)));
  int added = 1;
  while (send.Add(text)) ++added;
  // Adjacent pieces share a slice.
  EXPECT_EQ(added, Send::kMaxSlices);
  EXPECT_EQ(send.bytes(), static_cast<size_t>(Send::kMaxSlices) * 10);
  const auto run = [&]() -> Task<absl::Status> { co_return co_await send; };
  EXPECT_TRUE(RunTask(loop_, run()).ok());
  EXPECT_EQ(send.bytes(), 0u);
  EXPECT_TRUE(send.Add(text));
  EXPECT_TRUE(RunTask(loop_, run()).ok());
  a->ShutdownWrite();
  const std::string all = *RunTask(loop_, ReceiveAll(*b));
  EXPECT_EQ(all.size(), static_cast<size_t>(Send::kMaxSlices + 1) * 10);
}

TEST_F(NetAwaitTest, AppendsToABuffer) {
  auto [a, b] = MakeSocketPair(loop_);
  const auto run = [&, &stream = *a, &other = *b]() -> Task<void> {
    base::Buffer buffer = loop_.downstream_buffers().Allocate();
    std::memcpy(buffer.data(), "12", 2);
    buffer.set_size(2);
    Receive receive(stream, scope_, loop_.downstream_buffers());
    receive.AppendTo(std::move(buffer));
    co_await SendText(other, "34");
    absl::StatusOr<base::Buffer> bytes = co_await receive;
    EXPECT_EQ(bytes->view(), "1234");
    receive.AppendTo(std::move(*bytes));
    other.ShutdownWrite();
    bytes = co_await receive;
    EXPECT_FALSE(*bytes);
    EXPECT_EQ(receive.TakeUnused().view(), "1234");
  };
  RunTask(loop_, run());
}

TEST_F(NetAwaitTest, HangUpWatchRequestsTheCurrentScope) {
  auto [a, b] = MakeSocketPair(loop_);
  CancelScope first, second;
  HangUpWatch watch(*a);
  watch.Watch(first);
  watch.Watch(second);
  loop_.RunOnce(0);
  EXPECT_FALSE(watch.hung_up());
  b.reset();
  ASSERT_TRUE(RunUntil(loop_, [&] { return watch.hung_up(); }));
  EXPECT_FALSE(first.requested());
  EXPECT_EQ(second.reason().code(), absl::StatusCode::kCancelled);
  // Known already: at once.
  CancelScope third;
  watch.Watch(third);
  EXPECT_TRUE(third.requested());
}

TEST_F(NetAwaitTest, HangUpWatchStops) {
  auto [a, b] = MakeSocketPair(loop_);
  CancelScope scope;
  HangUpWatch watch(*a);
  const auto run = [&]() -> Task<void> {
    co_await watch.Stop();  // Not started.
    watch.Watch(scope);
    watch.Unwatch();
    co_await watch.Stop();
    co_await watch.Stop();
  };
  RunTask(loop_, run());
  b.reset();
  loop_.RunOnce(0);
  EXPECT_FALSE(scope.requested());
  EXPECT_FALSE(watch.hung_up());
}

TEST_F(NetAwaitTest, ListenErrorsNameTheAddress) {
  const absl::Status used = Listen(address_).status();
  EXPECT_EQ(used.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(used.message(), "listening on " + address_.ToString() + ": bind: Address already in use (EADDRINUSE)");
  const absl::Status foreign = Listen(*SocketAddress::Parse("192.0.2.1:0")).status();
  EXPECT_EQ(foreign.code(), absl::StatusCode::kUnavailable) << foreign;
}

TEST_F(NetAwaitTest, WorkersShareAPort) {
  const int first = *Listen(*SocketAddress::Parse("127.0.0.1:0"), {.reuse_port = true});
  const SocketAddress address = *LocalAddress(first);
  const absl::StatusOr<int> second = Listen(address, {.reuse_port = true});
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(*LocalAddress(*second), address);
  loop_.engine().Close(first);
  loop_.engine().Close(*second);
}

}  // namespace
}  // namespace portico::net
