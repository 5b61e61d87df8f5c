// Trailers of responses to HTTP/1.1 clients.
#include <gtest/gtest.h>

#include <string>

#include "dataplane/downstream/connection_test_support.h"

namespace portico::downstream {
namespace {

std::string BodyOf(const std::string& response) {
  return response.substr(response.find("\r\n\r\n") + 4);
}

TEST_F(ConnectionTest, OnlyAClientThatAsksForTrailersGetsThem) {
  StartServer();
  for (const bool empty : {false, true}) {
    handler_.hold = empty;
    const std::string start = empty ? "" : "5\r\nhello\r\n";
    for (const char* te : {"", "TE: gzip\r\n", "Connection: TE\r\nTE: trailers\r\n"}) {
      Client& client = Connect();
      client.Send(Get("/trailers", te) + Get("/peer"));
      ASSERT_TRUE(client.Receive(client.Address()));
      const std::string body = BodyOf(client.received());
      const bool asked = std::string_view(te).find("trailers") != std::string_view::npos;
      const std::string end = asked ? "0\r\ngrpc-status: 0\r\n\r\n" : "0\r\n\r\n";
      EXPECT_EQ(body.substr(0, body.find("HTTP/")), start + end) << te;
    }
  }
}

TEST_F(ConnectionTest, Http10KnowsNoTrailers) {
  StartServer();
  Client& client = Connect();
  client.Send("GET /trailers HTTP/1.0\r\nHost: h\r\nTE: trailers\r\n\r\n");
  ASSERT_TRUE(client.ReceiveEnd());
  EXPECT_EQ(BodyOf(client.received()), "hello");
}

}  // namespace
}  // namespace portico::downstream
