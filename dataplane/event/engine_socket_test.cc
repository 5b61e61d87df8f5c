// What every engine must do with sockets: connecting, accepting, many of them.
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/event/engine_fixture.h"

namespace portico::event {
namespace {

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

TEST_P(EngineTest, WhatWasAcceptedBeforeTheCancelIsNotLost) {
  constexpr size_t kConnections = 5;
  sockaddr_storage address;
  const int listener = Listener(address);
  std::vector<int> clients, accepted;
  for (size_t i = 0; i < kConnections; ++i) {
    clients.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::connect(clients.back(), reinterpret_cast<sockaddr*>(&address), sizeof(sockaddr_in)),
              0);
  }
  Noted<AcceptOperation> accept;
  accept.op.fd = listener;
  accept.then = [&] {
    if (accept.result < 0) return;
    accepted.push_back(accept.result);
    engine().StartAccept(accept.op);
    engine().Cancel(accept.op);
  };
  engine().StartAccept(accept.op);
  ASSERT_TRUE(Until([&] { return !accept.op.pending(); }));
  EXPECT_EQ(accept.result, -ECANCELED);
  // The rest is still the kernel's.
  for (int fd = 0;
       (fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
    accepted.push_back(fd);
  }
  EXPECT_EQ(accepted.size(), kConnections);
  for (const int fd : accepted) engine().Close(fd);
  engine().Close(listener);
  for (const int fd : clients) ::close(fd);
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

INSTANTIATE_TEST_SUITE_P(Engines, EngineTest, testing::ValuesIn(Engines()), &EngineName);

}  // namespace
}  // namespace portico::event
