// What becomes of connections whose client asked for a tunnel.
#include <gtest/gtest.h>

#include <string>

#include "dataplane/downstream/connection_test_support.h"

namespace portico::downstream {
namespace {

const std::string kUpgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
const std::string kSwitched =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

TEST_F(ConnectionTest, TunnelsBytesBothWaysUntilBothSidesEnd) {
  StartServer();
  Client& client = Connect();
  client.Send(Get("/tunnel", kUpgrade));
  ASSERT_TRUE(client.Receive("\r\n\r\n"));
  EXPECT_EQ(client.Take(), kSwitched);
  // What looks like HTTP is none here.
  const std::string request = Get("/");
  client.Send(request);
  ASSERT_TRUE(client.Receive(request));
  EXPECT_EQ(client.Take(), request);
  EXPECT_EQ(acceptor_->idle_connections(), 0u);
  client.HalfClose();
  ASSERT_TRUE(client.ReceiveEnd());
  EXPECT_TRUE(client.end());
  EXPECT_EQ(client.received(), "bye");
  EXPECT_EQ(handler_.served, 1);
  EXPECT_EQ(handler_.read_bytes, request.size());
  EXPECT_TRUE(Until([&] { return acceptor_->connections() == 0; }));
}

TEST_F(ConnectionTest, WhatIsSentBeforeTheAnswerBelongsToTheTunnel) {
  StartServer();
  handler_.hold = true;
  Client& client = Connect();
  client.Send(Get("/tunnel", kUpgrade) + Get("/"));
  Turn();
  client.Send("more");
  Turn();
  Pass(base::kNanosPerSecond);
  ASSERT_TRUE(client.Receive("more"));
  EXPECT_EQ(client.received(), kSwitched + Get("/") + "more");
  EXPECT_EQ(handler_.served, 1);
  // It is quiet for long: whoever relays it looks at that, not the connection.
  Pass(1000 * base::kNanosPerSecond);
  client.Send("!");
  ASSERT_TRUE(client.Receive("!"));
}

TEST_F(ConnectionTest, WhereThereIsNoTunnelNothingBehindTheRequestIsTakenForOne) {
  StartServer();
  for (const bool at_once : {true, false}) {
    Client& client = Connect();
    client.Send(Get("/", kUpgrade) + (at_once ? Get("/echo") : ""));
    ASSERT_TRUE(client.ReceiveEnd());
    EXPECT_TRUE(client.end());
    EXPECT_EQ(Count(client.received(), "HTTP/1.1 200 OK"), 1);
    EXPECT_EQ(Count(client.received(), "Connection: close\r\n"), 1);
  }
  EXPECT_EQ(handler_.served, 2);
}

TEST_F(ConnectionTest, OtherProtocolsAreIgnored) {
  StartServer();
  Client& client = Connect();
  client.Send(Get("/", "Connection: upgrade\r\nUpgrade: h2c\r\n") + Get("/tunnel"));
  ASSERT_TRUE(client.ReceiveEnd());  // A 101 that nobody asked for cannot be sent.
  EXPECT_EQ(Count(client.received(), "HTTP/1.1 200 OK"), 1);
  EXPECT_EQ(Count(client.received(), "101"), 0);
  EXPECT_FALSE(handler_.last_status.ok());
}

TEST_F(ConnectionTest, ATunnelEndsInOrderWhenTheProxyDoes) {
  StartServer();
  Client& client = Connect();
  client.Send(Get("/tunnel", kUpgrade) + "x");
  ASSERT_TRUE(client.Receive("x"));
  acceptor_->Drain();
  Pass(10 * base::kNanosPerSecond);
  client.Send("y");
  ASSERT_TRUE(client.Receive("y"));
  acceptor_->ForceClose(absl::UnavailableError("the proxy is stopping"));
  ASSERT_TRUE(client.ReceiveEnd());
  EXPECT_TRUE(client.end());
  EXPECT_FALSE(client.reset());
}

TEST_F(ConnectionTest, AResetEndsATunnel) {
  StartServer();
  Client& client = Connect();
  client.Send(Get("/tunnel", kUpgrade) + "x");
  ASSERT_TRUE(client.Receive("x"));
  client.SendSome("never read");
  client.Reset();
  EXPECT_TRUE(Until([&] { return acceptor_->connections() == 0; }));
  EXPECT_TRUE(absl::IsCancelled(handler_.last_status)) << handler_.last_status;
}

}  // namespace
}  // namespace portico::downstream
