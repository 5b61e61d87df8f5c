// How HTTP/1.1 connections end: timeouts, clients that leave, draining, limits.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/downstream/connection_test_support.h"

namespace portico::downstream {
namespace {

TEST_F(ConnectionTest, LingeringEnds) {
  StartServer();
  Client& client = Connect();
  client.Send("nonsense\r\n");
  ASSERT_TRUE(client.ReceiveEnd());
  Turn();
  EXPECT_EQ(acceptor_->connections(), 1u);
  Pass(3 * base::kNanosPerSecond);
  EXPECT_TRUE(Until([&] { return acceptor_->connections() == 0; }));
}

TEST_F(ConnectionTest, TimeoutsOfHeads) {
  StartServer();
  Client& slow = Connect();
  slow.Send("GET / HTTP/1.1\r\nHo");
  Turn();
  Pass(9 * base::kNanosPerSecond);
  slow.Send("st: h\r\n");
  Turn();
  EXPECT_TRUE(observer_.errors.empty());
  Pass(2 * base::kNanosPerSecond);
  ASSERT_TRUE(slow.ReceiveEnd());
  EXPECT_EQ(slow.received().substr(0, 28), "HTTP/1.1 408 Request Timeout");
  EXPECT_EQ(handler_.errors, std::vector<std::string>{"header_timeout"});
  Client& idle = Connect();
  Turn();
  Pass(3601 * base::kNanosPerSecond);
  ASSERT_TRUE(idle.ReceiveEnd());
  EXPECT_EQ(idle.received(), "");
  EXPECT_TRUE(idle.end());
  EXPECT_TRUE(Until([&] { return acceptor_->connections() == 0; }));
}

TEST_F(ConnectionTest, TimeoutOfABody) {
  StartServer();
  Client& client = Connect();
  client.Send("POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab");
  Turn();
  Pass(299 * base::kNanosPerSecond);
  client.Send("c");
  Turn();
  Pass(299 * base::kNanosPerSecond);
  Turn();
  EXPECT_EQ(handler_.open, 1);
  Pass(2 * base::kNanosPerSecond);
  ASSERT_TRUE(client.ReceiveEnd());
  EXPECT_EQ(client.received().substr(0, 12), "HTTP/1.1 408");
  EXPECT_EQ(observer_.errors, std::vector<std::string>{"idle_body"});
}

TEST_F(ConnectionTest, ClientLeavesWhileItsAnswerIsMade) {
  StartServer();
  Client& client = Connect();
  client.Send(Get("/wait"));
  ASSERT_TRUE(Until([&] { return handler_.open == 1; }));
  client.Close();
  Turn();
  EXPECT_EQ(handler_.open, 1);
  Pass(2 * base::kNanosPerSecond);
  ASSERT_TRUE(Until([&] { return acceptor_->connections() == 0; }));
  EXPECT_TRUE(absl::IsCancelled(handler_.last_status)) << handler_.last_status;
}

TEST_F(ConnectionTest, HalfClosedClientsGetTheirAnswers) {
  StartServer();
  Client& client = Connect();
  client.Send(Get("/") + Get("/"));
  client.HalfClose();
  ASSERT_TRUE(client.ReceiveEnd());
  EXPECT_TRUE(client.end());
  EXPECT_EQ(Count(client.received(), "hello"), 2);
}

TEST_F(ConnectionTest, ClientLeavesInTheMiddleOfItsBody) {
  StartServer();
  Client& client = Connect();
  client.Send("POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\nab");
  ASSERT_TRUE(Until([&] { return handler_.open == 1; }));
  client.Close();
  ASSERT_TRUE(Until([&] { return acceptor_->connections() == 0; }));
  EXPECT_EQ(handler_.open, 0);
}

TEST_F(ConnectionTest, ClientLeavesInTheMiddleOfItsResponse) {
  StartServer();
  Client& client = Connect();
  client.Send(Get("/large"));
  ASSERT_TRUE(client.ReceiveBytes(100'000));
  client.Close();
  ASSERT_TRUE(Until([&] { return acceptor_->connections() == 0; }));
  EXPECT_TRUE(absl::IsCancelled(handler_.last_status)) << handler_.last_status;
}

TEST_F(ConnectionTest, SlowReadersHoldTheSender) {
  handler_.large_pieces = 1000;
  StartServer();
  Client& client = Connect(/*receive_buffer=*/16 * 1024);
  client.Send(Get("/large"));
  Turn(200);
  // What the kernel buffers, not 64 MB.
  EXPECT_LT(handler_.pieces_sent, 200u);
  EXPECT_LE(loop_.downstream_buffers().live(), 3u);
  // The first look finds what was sent before it.
  Pass(76 * base::kNanosPerSecond);
  Turn(20);
  Pass(299 * base::kNanosPerSecond);
  Turn(20);
  EXPECT_EQ(acceptor_->connections(), 1u);
  Pass(76 * base::kNanosPerSecond);
  ASSERT_TRUE(Until([&] { return acceptor_->connections() == 0; }));
  EXPECT_TRUE(absl::IsDeadlineExceeded(handler_.last_status)) << handler_.last_status;
}

TEST_F(ConnectionTest, BodiesAreReadNoFasterThanTheyAreTaken) {
  handler_.hold = true;
  StartServer();
  Client& client = Connect();
  const std::string body(16 << 20, 'b');
  client.Send("POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n");
  size_t sent = 0;
  for (int i = 0; i < 200; ++i) {
    sent += client.SendSome(std::string_view(body).substr(sent));
    Turn(2);
  }
  EXPECT_LT(sent, body.size());
  EXPECT_LE(loop_.downstream_buffers().live(), 2u);
  handler_.hold = false;
  Pass(2 * base::kNanosPerSecond);
  client.Send(std::string_view(body).substr(sent));
  ASSERT_TRUE(client.Receive("read"));
  EXPECT_EQ(handler_.read_bytes, body.size());
}

TEST_F(ConnectionTest, DrainEndsRestingConnectionsAfterGraceAndBusyOnesAfterTheirExchange) {
  StartServer();
  Client& idle = Connect();
  Client& late = Connect();
  Client& busy = Connect();
  busy.Send("POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na");
  ASSERT_TRUE(Until([&] { return handler_.open == 1 && acceptor_->connections() == 3; }));
  acceptor_->Drain();
  Turn();
  EXPECT_EQ(acceptor_->connections(), 3u);
  EXPECT_FALSE(acceptor_->ended());
  late.Send(Get("/"));
  ASSERT_TRUE(late.ReceiveEnd());
  EXPECT_EQ(Count(late.received(), "Connection: close\r\n\r\nhello"), 1);
  Pass(base::kNanosPerSecond);
  ASSERT_TRUE(idle.ReceiveEnd());
  EXPECT_TRUE(idle.end());
  EXPECT_EQ(idle.received(), "");
  busy.Send("b");
  ASSERT_TRUE(busy.ReceiveEnd());
  EXPECT_EQ(Count(busy.received(), "Connection: close\r\n\r\nread"), 1);
  EXPECT_TRUE(Until([&] { return acceptor_->ended(); }));
}

TEST_F(ConnectionTest, DrainTakesWhatTheKernelHasAccepted) {
  StartServer();
  Turn();
  Client& client = Connect();
  client.Send(Get("/"));
  acceptor_->Drain();
  ASSERT_TRUE(client.ReceiveEnd());
  EXPECT_EQ(Count(client.received(), "Connection: close\r\n\r\nhello"), 1);
  EXPECT_TRUE(Until([&] { return acceptor_->ended(); }));
}

TEST_F(ConnectionTest, ForceCloseEndsEverything) {
  StartServer();
  Client& idle = Connect();
  Client& busy = Connect();
  Client& head = Connect();
  Client& large = Connect(16 * 1024);
  busy.Send(Get("/wait"));
  head.Send("GET / HT");
  large.Send(Get("/large"));
  ASSERT_TRUE(Until([&] { return handler_.open == 2 && acceptor_->connections() == 4; }));
  Turn(50);
  acceptor_->ForceClose(absl::CancelledError("shutdown"));
  ASSERT_TRUE(Until([&] { return acceptor_->ended(); }));
  EXPECT_EQ(handler_.open, 0);
  EXPECT_TRUE(busy.ReceiveEnd());
  EXPECT_TRUE(busy.reset());
  EXPECT_TRUE(idle.ReceiveEnd());
}

TEST_F(ConnectionTest, ConnectionsAreBounded) {
  AcceptorOptions options;
  options.max_connections = 2;
  StartServer(options);
  Client& one = Connect();
  Client& two = Connect();
  Client& three = Connect();
  one.Send(Get("/"));
  two.Send(Get("/"));
  ASSERT_TRUE(one.Receive("hello"));
  ASSERT_TRUE(two.Receive("hello"));
  ASSERT_TRUE(three.ReceiveEnd());
  EXPECT_EQ(observer_.refused, std::vector<std::string>{"max_connections"});
  one.Close();
  ASSERT_TRUE(Until([&] { return acceptor_->connections() == 1; }));
  Client& four = Connect();
  four.Send(Get("/"));
  ASSERT_TRUE(four.Receive("hello"));
}

TEST_F(ConnectionTest, ManyClientsThatComeAndGo) {
  StartServer();
  uint32_t random = 12345;
  const auto next = [&random] { return (random = random * 1664525 + 1013904223) >> 8; };
  const std::string requests[] = {
      Get("/"), "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
      "POST /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n" + std::string(20'000, 'i'), Get("/wait"),
      "POST /read HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n", Get("/large"), "bad\r\n"};
  for (int i = 0; i < 600; ++i) {
    Client& client = Connect();
    const std::string& request = requests[next() % std::size(requests)];
    client.SendSome(std::string_view(request).substr(0, next() % 4 == 0 ? next() % request.size() : request.size()));
    Turn(static_cast<int>(next() % 3));
    for (size_t k = next() % 3; k > 0 && !clients_.empty(); --k) {
      const size_t victim = next() % clients_.size();
      if (next() % 2 == 0) clients_[victim]->Poll();
      clients_.erase(clients_.begin() + static_cast<ptrdiff_t>(victim));
    }
    if (i % 50 == 0) Pass(base::kNanosPerSecond);
  }
  // The destructor counts what is left.
}

TEST_F(ConnectionTest, WithoutDescriptorsAcceptingRests) {
  StartServer();
  Client& client = Connect();
  Turn();
  ASSERT_EQ(acceptor_->connections(), 1u);
  Client& waiting = Connect();
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  // No descriptor above those in use.
  const int free = ::dup(0);
  ::close(free);
  rlimit none = before;
  none.rlim_cur = static_cast<rlim_t>(free);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  Turn(200);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(acceptor_->connections(), 1u);
  EXPECT_EQ(observer_.refused, std::vector<std::string>{"no_descriptors"});
  client.Send(Get("/"));
  ASSERT_TRUE(client.Receive("hello"));
  Pass(base::kNanosPerSecond);
  waiting.Send(Get("/"));
  ASSERT_TRUE(waiting.Receive("hello"));
}

}  // namespace
}  // namespace portico::downstream
