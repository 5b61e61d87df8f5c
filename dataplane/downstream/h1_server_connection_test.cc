// What HTTP/1.1 connections answer.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "dataplane/downstream/connection_test_support.h"

namespace portico::downstream {
namespace {

TEST_F(ConnectionTest, KeepsAliveAndRestsWithoutBuffers) {
  StartServer();
  Client& client = Connect();
  for (int i = 0; i < 3; ++i) {
    client.Send(Get("/"));
    ASSERT_TRUE(client.Receive("hello"));
    EXPECT_EQ(client.Take(),
              "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 5\r\n\r\nhello");
  }
  ASSERT_TRUE(Until([&] { return acceptor_->idle_connections() == 1; }));
  EXPECT_EQ(loop_.downstream_buffers().live(), 0u);
  EXPECT_EQ(handler_.served, 3);
  EXPECT_EQ(acceptor_->accepted(), 1u);
  EXPECT_EQ(handler_.last_info.peer.ToString(), client.Address());
  client.Close();
  EXPECT_TRUE(Until([&] { return acceptor_->connections() == 0; }));
}

TEST_F(ConnectionTest, PipelinedRequestsAreAnsweredInOrder) {
  StartServer();
  Client& client = Connect();
  std::string requests;
  for (int i = 0; i < 50; ++i) {
    requests += "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n" + std::to_string(1000 + i);
  }
  client.Send(requests + Get("/", "Connection: close\r\n"));
  ASSERT_TRUE(client.ReceiveEnd());
  size_t at = 0;
  for (int i = 0; i < 50; ++i) {
    at = client.received().find("4\r\n" + std::to_string(1000 + i) + "\r\n0\r\n\r\n", at);
    ASSERT_NE(at, std::string::npos) << i;
  }
  EXPECT_TRUE(client.end());
  EXPECT_EQ(Count(client.received(), "HTTP/1.1 200"), 51);
  EXPECT_EQ(Count(client.received(), "Connection: close"), 1);
}

TEST_F(ConnectionTest, OneByteAtATime) {
  StartServer();
  Client& client = Connect();
  const std::string request =
      "\r\nPOST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n1\r\n!\r\n0\r\nT: v\r\n\r\n";
  for (const char c : request) {
    client.Send({&c, 1});
    Turn(2);
  }
  ASSERT_TRUE(client.Receive("0\r\n\r\n"));
  EXPECT_EQ(Count(client.received(), "HTTP/1.1 200"), 1);
  EXPECT_TRUE(observer_.errors.empty());
}

TEST_F(ConnectionTest, LargeHeadsGrowBuffers) {
  StartServer();
  Client& client = Connect();
  client.Send(Get("/", "A: " + std::string(59'000, 'a') + "\r\n"));
  ASSERT_TRUE(client.Receive("hello"));
  client.Take();
  client.Send(Get("/") + Get("/", "A: " + std::string(30'000, 'a') + "\r\n"));
  ASSERT_TRUE(Until([&] {
    client.Poll();
    return Count(client.received(), "hello") == 2;
  }));
}

TEST_F(ConnectionTest, HeadRequestsAndHttp10) {
  StartServer();
  Client& client = Connect();
  client.Send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n" + Get("/"));
  ASSERT_TRUE(client.Receive("hello"));
  EXPECT_EQ(Count(client.received(), "Content-Length: 5"), 2);
  EXPECT_EQ(Count(client.received(), "hello"), 1);
  Client& old = Connect();
  old.Send("GET / HTTP/1.0\r\n\r\n");
  ASSERT_TRUE(old.ReceiveEnd());
  EXPECT_EQ(Count(old.received(), "Connection: close\r\n\r\nhello"), 1);
  Client& chunked = Connect();
  chunked.Send("POST /echo HTTP/1.0\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc");
  ASSERT_TRUE(chunked.ReceiveEnd());
  EXPECT_EQ(Count(chunked.received(), "Connection: close\r\n\r\nabc"), 1);
  EXPECT_EQ(Count(chunked.received(), "chunked"), 0);
}

TEST_F(ConnectionTest, ErrorsAreAnsweredAndNotLostByAReset) {
  StartServer();
  Client& client = Connect();
  // More than the server reads before it answers.
  client.Send("GET / HTTP/1.1\r\nHost: h\r\nA : 1\r\n\r\n" + std::string(200'000, 'x'));
  ASSERT_TRUE(client.Receive("{\"reason\":\"invalid_header\"}"));
  EXPECT_EQ(client.received().substr(0, 24), "HTTP/1.1 400 Bad Request");
  EXPECT_EQ(Count(client.received(), "Connection: close"), 1);
  ASSERT_TRUE(client.ReceiveEnd());
  EXPECT_TRUE(client.end());
  EXPECT_FALSE(client.reset());
  EXPECT_EQ(handler_.served, 0);
  EXPECT_EQ(observer_.errors, std::vector<std::string>{"invalid_header"});
  client.Close();
  EXPECT_TRUE(Until([&] { return acceptor_->connections() == 0; }));
}

TEST_F(ConnectionTest, ContinueIsSentWhenTheBodyIsWanted) {
  StartServer();
  Client& client = Connect();
  client.Send("POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  ASSERT_TRUE(client.Receive("HTTP/1.1 100 Continue\r\n\r\n"));
  client.Send("hello");
  ASSERT_TRUE(client.Receive("5\r\nhello\r\n0\r\n\r\n"));
  client.Take();
  // Not when the client did not wait.
  client.Send("POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
  ASSERT_TRUE(client.Receive("5\r\nhello\r\n0\r\n\r\n"));
  EXPECT_EQ(Count(client.received(), "100 Continue"), 0);
  client.Take();
  // Not when nobody wants the body; then nobody knows whether it comes.
  client.Send("POST /ignore HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  ASSERT_TRUE(client.ReceiveEnd());
  EXPECT_EQ(Count(client.received(), "100 Continue"), 0);
  EXPECT_EQ(Count(client.received(), "Connection: close\r\n\r\nignored"), 1);
}

TEST_F(ConnectionTest, UnreadBodiesAreDroppedOrEndTheConnection) {
  StartServer();
  Client& client = Connect();
  client.Send("POST /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n" + std::string(60'000, 'b') + Get("/"));
  ASSERT_TRUE(client.Receive("hello"));
  EXPECT_EQ(Count(client.received(), "Connection: close"), 0);
  client.Send("POST /ignore HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + Get("/"));
  ASSERT_TRUE(Until([&] {
    client.Poll();
    return Count(client.received(), "hello") == 2;
  }));
  client.Take();
  client.Send("POST /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 70000\r\n\r\n");
  ASSERT_TRUE(client.ReceiveEnd());
  EXPECT_TRUE(client.end());
  EXPECT_EQ(Count(client.received(), "Connection: close\r\n\r\nignored"), 1);
  // Unknown length, too long: the promise to keep the connection is broken, the
  // answer is not.
  Client& chunked = Connect();
  chunked.Send("POST /ignore HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n" +
               std::string(100'000, 'c'));
  ASSERT_TRUE(chunked.ReceiveEnd());
  EXPECT_TRUE(chunked.end());
  EXPECT_EQ(Count(chunked.received(), "ignored"), 1);
}

TEST_F(ConnectionTest, BodyErrors) {
  AcceptorOptions options;
  options.connection.max_body_bytes = 10;
  StartServer(options);
  Client& bad = Connect();
  bad.Send("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n");
  ASSERT_TRUE(bad.ReceiveEnd());
  EXPECT_EQ(bad.received().substr(0, 12), "HTTP/1.1 400");
  EXPECT_EQ(observer_.errors, std::vector<std::string>{"invalid_chunk_size"});
  Client& known = Connect();
  known.Send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n");
  ASSERT_TRUE(known.ReceiveEnd());
  EXPECT_EQ(known.received().substr(0, 12), "HTTP/1.1 413");
  Client& chunked = Connect();
  chunked.Send("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n12345678901\r\n0\r\n\r\n");
  ASSERT_TRUE(chunked.ReceiveEnd());
  EXPECT_EQ(chunked.received().substr(0, 12), "HTTP/1.1 413");
  Client& fits = Connect();
  fits.Send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n1234567890");
  ASSERT_TRUE(fits.Receive("0\r\n\r\n"));
}

TEST_F(ConnectionTest, LargeResponsesArriveWhole) {
  handler_.large_pieces = 200;
  StartServer();
  Client& client = Connect();
  client.Send(Get("/large") + Get("/"));
  ASSERT_TRUE(client.Receive("hello"));
  EXPECT_GT(client.received().size(), 200u * 64 * 1024);
}

TEST_F(ConnectionTest, AbortIsSeenAsIncomplete) {
  StartServer();
  Client& client = Connect();
  client.Send(Get("/abort"));
  ASSERT_TRUE(client.ReceiveEnd());
  EXPECT_TRUE(client.reset());
  Client& nothing = Connect();
  nothing.Send(Get("/nothing"));
  ASSERT_TRUE(nothing.ReceiveEnd());
  EXPECT_TRUE(nothing.reset());
  Client& wrong = Connect();
  wrong.Send(Get("/short"));
  ASSERT_TRUE(wrong.ReceiveEnd());
  EXPECT_TRUE(wrong.reset());
  EXPECT_TRUE(absl::IsInvalidArgument(handler_.last_status));
  EXPECT_EQ(Count(wrong.received(), "toolong"), 0);
}

TEST_F(ConnectionTest, RequestsOfAConnectionAreCounted) {
  AcceptorOptions options;
  options.connection.max_requests_per_connection = 2;
  StartServer(options);
  Client& client = Connect();
  client.Send(Get("/") + Get("/") + Get("/"));
  ASSERT_TRUE(client.ReceiveEnd());
  EXPECT_TRUE(client.end());
  EXPECT_EQ(Count(client.received(), "hello"), 2);
  EXPECT_EQ(Count(client.received(), "Connection: close"), 1);
}

TEST_F(ConnectionTest, ProxyHeaderNamesTheClient) {
  AcceptorOptions options;
  options.connection.proxy_protocol = true;
  options.listener_name = "edge";
  options.listener_id = 7;
  StartServer(options);
  Client& client = Connect();
  const std::string header = "PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n";
  for (const char c : header + Get("/peer")) {
    client.Send({&c, 1});
    Turn(2);
  }
  ASSERT_TRUE(client.Receive("203.0.113.9:4711"));
  EXPECT_EQ(handler_.last_info.listener_name, "edge");
  EXPECT_EQ(handler_.last_info.listener_id, 7u);
  client.Take();
  client.Send(Get("/peer"));
  ASSERT_TRUE(client.Receive("203.0.113.9:4711"));
  Client& whole = Connect();
  whole.Send(header + Get("/peer"));
  ASSERT_TRUE(whole.Receive("203.0.113.9:4711"));
  Client& none = Connect();
  none.Send(Get("/"));
  ASSERT_TRUE(none.ReceiveEnd());
  EXPECT_EQ(none.received(), "");
  EXPECT_EQ(observer_.errors, std::vector<std::string>{"proxy_protocol"});
  Client& silent = Connect();
  Turn();
  Pass(11 * base::kNanosPerSecond);
  ASSERT_TRUE(silent.ReceiveEnd());
}

TEST_F(ConnectionTest, UnexpectedProxyHeaderIsABadRequest) {
  StartServer();
  Client& client = Connect();
  client.Send("PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n" + Get("/"));
  ASSERT_TRUE(client.ReceiveEnd());
  EXPECT_EQ(client.received().substr(0, 12), "HTTP/1.1 400");
  EXPECT_EQ(handler_.served, 0);
}

}  // namespace
}  // namespace portico::downstream
