// How many connections a listener, a process and a source address may have.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "dataplane/downstream/address_counts.h"
#include "dataplane/downstream/connection_test_support.h"

namespace portico::downstream {
namespace {

net::IpAddress Ip(std::string_view text) { return *net::IpAddress::Parse(text); }

TEST(AddressCounts, CountsEachAddressByItself) {
  AddressCounts counts;
  EXPECT_TRUE(counts.Take(Ip("10.0.0.1"), 2));
  EXPECT_TRUE(counts.Take(Ip("10.0.0.1"), 2));
  EXPECT_FALSE(counts.Take(Ip("10.0.0.1"), 2));
  EXPECT_TRUE(counts.Take(Ip("10.0.0.2"), 2));
  // A smaller limit takes effect at once, a larger one too.
  EXPECT_FALSE(counts.Take(Ip("10.0.0.2"), 1));
  EXPECT_TRUE(counts.Take(Ip("10.0.0.1"), 3));
  EXPECT_EQ(counts.size(), 2u);
  for (int i = 0; i < 3; ++i) counts.Return(Ip("10.0.0.1"));
  counts.Return(Ip("10.0.0.2"));
  EXPECT_EQ(counts.size(), 0u);
}

TEST(AddressCounts, OneClientHasManyAddressesOfIpv6) {
  AddressCounts counts;
  EXPECT_TRUE(counts.Take(Ip("2001:db8::1"), 2));
  EXPECT_TRUE(counts.Take(Ip("2001:db8::2:3:4:5"), 2));
  EXPECT_FALSE(counts.Take(Ip("2001:db8::ffff"), 2));
  EXPECT_TRUE(counts.Take(Ip("2001:db8:0:1::1"), 2));
  EXPECT_EQ(counts.size(), 2u);
}

class ConnectionLimitsTest : public ConnectionTest {
 protected:
  // Asks for something over `client`; false if no answer comes.
  static bool Serves(Client& client) {
    client.Send(Get("/"));
    return client.Receive("hello");
  }
};

TEST_F(ConnectionLimitsTest, RefusesMoreThanTheLimitOfAnAddress) {
  AcceptorOptions options;
  options.connection.max_connections_per_address = 2;
  StartServer(options);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(Serves(Connect()));
  Client& third = Connect();
  ASSERT_TRUE(third.ReceiveEnd());
  EXPECT_EQ(observer_.refused, std::vector<std::string>{"max_connections_per_address"});
  EXPECT_EQ(acceptor_->connections(), 2u);
  clients_[0]->Close();
  ASSERT_TRUE(Until([&] { return acceptor_->connections() == 1; }));
  EXPECT_TRUE(Serves(Connect()));
}

TEST_F(ConnectionLimitsTest, BehindABalancerTheAddressInThePROXYHeaderCounts) {
  AcceptorOptions options;
  options.connection.max_connections_per_address = 1;
  options.connection.proxy_protocol = true;
  StartServer(options);
  const auto from = [&](const std::string& address) -> Client& {
    Client& client = Connect();
    client.Send("PROXY TCP4 " + address + " 192.0.2.9 1 2\r\n" + Get("/"));
    return client;
  };
  EXPECT_TRUE(from("192.0.2.1").Receive("hello"));
  EXPECT_TRUE(from("192.0.2.2").Receive("hello"));
  Client& again = from("192.0.2.1");
  ASSERT_TRUE(again.ReceiveEnd());
  EXPECT_EQ(again.received(), "");
  EXPECT_EQ(observer_.refused, std::vector<std::string>{"max_connections_per_address"});
  EXPECT_EQ(handler_.served, 2);
}

TEST_F(ConnectionLimitsTest, ListenersShareTheLimitOfTheProcess) {
  const auto loads = std::make_shared<WorkerLoads>(1);
  AcceptorOptions options;
  options.max_process_connections = 2;
  options.group = std::make_shared<AcceptGroup>(loads);
  StartServer(options);
  const net::SocketAddress first_address = address_;
  std::unique_ptr<Acceptor> first = std::move(acceptor_);
  options.group = std::make_shared<AcceptGroup>(loads);
  StartServer(options);
  Client& one = Connect();
  EXPECT_TRUE(Serves(one));
  address_ = first_address;
  EXPECT_TRUE(Serves(Connect()));
  Client& three = Connect();
  ASSERT_TRUE(three.ReceiveEnd());
  EXPECT_EQ(observer_.refused, std::vector<std::string>{"max_process_connections"});
  one.Close();
  ASSERT_TRUE(Until([&] { return acceptor_->connections() == 0; }));
  EXPECT_TRUE(Serves(Connect()));
  first->ForceClose(absl::CancelledError("test ends"));
  EXPECT_TRUE(Until([&] { return first->ended(); }));
}

TEST_F(ConnectionLimitsTest, WithoutMemoryConnectionsAreNotKept) {
  bool overloaded = false;
  AcceptorOptions options;
  options.connection.overloaded = &overloaded;
  StartServer(options);
  Client& client = Connect();
  ASSERT_TRUE(Serves(client));
  EXPECT_EQ(Count(client.received(), "Connection: close"), 0);
  overloaded = true;
  client.Send(Get("/"));
  ASSERT_TRUE(client.ReceiveEnd());
  EXPECT_EQ(Count(client.received(), "Connection: close"), 1);
}

}  // namespace
}  // namespace portico::downstream
