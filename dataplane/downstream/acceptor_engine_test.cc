// That no connection is lost when accepting ends, with each engine.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "dataplane/downstream/connection_test_support.h"
#include "dataplane/event/engine_fixture.h"

namespace portico::downstream {
namespace {

class AcceptorEngineTest : public ConnectionTest,
                           public testing::WithParamInterface<event::Factory> {
 protected:
  AcceptorEngineTest() : ConnectionTest(*GetParam().create()) {}

  void ExpectServed(std::vector<Client*> clients) {
    for (Client* client : clients) {
      client->Send(Get("/"));
      EXPECT_TRUE(client->Receive("hello"));
    }
    EXPECT_EQ(observer_.opened, static_cast<int>(clients.size()));
  }
  std::vector<Client*> ConnectMany(int count) {
    std::vector<Client*> clients;
    for (int i = 0; i < count; ++i) clients.push_back(&Connect());
    return clients;
  }
};

TEST_P(AcceptorEngineTest, ConnectionsAcceptedInTheTurnOfTheCancelAreServed) {
  StartServer();
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
  event::Noted<event::ReceiveOperation> receive;
  receive.op.fd = fds[0];
  receive.op.pool = &loop_.downstream_buffers();
  receive.then = [this] { acceptor_->StopAccepting(); };
  loop_.engine().StartReceive(receive.op);
  loop_.RunOnce(0);
  // One turn brings the byte that ends accepting, and then all of these.
  ASSERT_EQ(::send(fds[1], "x", 1, MSG_NOSIGNAL), 1);
  const std::vector<Client*> clients = ConnectMany(5);
  ASSERT_TRUE(Until([&] { return receive.done(); }));
  Turn();
  ExpectServed(clients);
  receive.op.buffer.Reset();
  loop_.engine().Close(fds[0]);
  ::close(fds[1]);
}

TEST_P(AcceptorEngineTest, ConnectionsThatWaitWhenAcceptingEndsAreServed) {
  StartServer();
  const std::vector<Client*> clients = ConnectMany(5);
  acceptor_->StopAccepting();
  ExpectServed(clients);
}

TEST_P(AcceptorEngineTest, ForceCloseClosesWhatIsAcceptedMeanwhile) {
  StartServer();
  loop_.RunOnce(0);
  const std::vector<Client*> clients = ConnectMany(5);
  acceptor_->ForceClose(absl::CancelledError("now"));
  EXPECT_TRUE(Until([&] { return acceptor_->ended(); }));
  for (Client* client : clients) EXPECT_TRUE(client->ReceiveEnd());
}

INSTANTIATE_TEST_SUITE_P(Engines, AcceptorEngineTest, testing::ValuesIn(event::Engines()),
                         &event::EngineName);

}  // namespace
}  // namespace portico::downstream
