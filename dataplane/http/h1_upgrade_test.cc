// Which requests ask for a tunnel, and which responses open one.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "dataplane/base/arena.h"
#include "dataplane/http/h1_parser.h"

namespace portico::http {
namespace {

using State = H1ParseResult::State;

TEST(RequestParser, WhatIsAnUpgrade) {
  struct Case {
    std::string request_line;
    std::string fields;
    std::string_view upgrade;
  };
  const std::string get = "GET / HTTP/1.1";
  const std::string both = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
  const Case cases[] = {
      {get, both, "websocket"},
      {get, "Connection: keep-alive, UPGRADE\r\nUpgrade: WebSocket\r\n", "websocket"},
      {get, "Connection: keep-alive\r\nConnection: upgrade\r\nUpgrade: websocket\r\n", "websocket"},
      {get, both + "Content-Length: 0\r\n", "websocket"},
      // Without one of the two; others, several, versions; with content; other methods.
      {get, "Upgrade: websocket\r\n", ""},
      {get, "Connection: upgrade\r\n", ""},
      {get, "Connection: upgraded\r\nUpgrade: websocket\r\n", ""},
      {get, "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
       ""},
      {get, "Connection: upgrade\r\nUpgrade: websocket, h2c\r\n", ""},
      {get, "Connection: upgrade\r\nUpgrade: websocket/13\r\n", ""},
      {get, both + "Upgrade: websocket\r\n", ""},
      {get, both + "Upgrade: h2c\r\n", ""},
      {get, "Connection: upgrade\r\nUpgrade:\r\n", ""},
      {get, both + "Content-Length: 1\r\n", ""},
      {get, both + "Transfer-Encoding: chunked\r\n", ""},
      {"POST / HTTP/1.1", both, ""},
      {"HEAD / HTTP/1.1", both, ""},
      {"GET / HTTP/1.0", both, ""},
  };
  for (const Case& c : cases) {
    const std::string input = c.request_line + "\r\nHost: h\r\n" + c.fields + "\r\n";
    SCOPED_TRACE(input);
    for (const bool plain : {false, true}) {
      base::Arena arena;
      RequestHead head(arena);
      H1RequestParser parser(plain);
      ASSERT_EQ(parser.ParseHead(input, {}, head).state, State::kDone);
      EXPECT_EQ(head.upgrade, c.upgrade);
    }
  }
}

TEST(ResponseParser, SwitchesOnlyToWhatWasAskedFor) {
  struct Case {
    std::string_view expected;
    std::string head;
    bool good;
  };
  const std::string line = "HTTP/1.1 101 Switching Protocols\r\n";
  const std::string both = "Upgrade: WebSocket\r\nConnection: Upgrade\r\n";
  const Case cases[] = {
      {"websocket", line + both, true},
      {"websocket", line + both + "Content-Length: 5\r\n", true},  // Says nothing.
      {"", line + both, false},
      {"websocket", line + "Upgrade: h2c\r\nConnection: Upgrade\r\n", false},
      {"websocket", line + "Upgrade: websocket\r\n", false},
      {"websocket", line + "Connection: Upgrade\r\n", false},
      {"websocket", line + both + "Upgrade: websocket\r\n", false},
      {"websocket", "HTTP/1.0 101 Switching Protocols\r\n" + both, false},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.head);
    const std::string input = c.head + "\r\nHTTP/1.1 200 OK\r\n\r\n";
    base::Arena arena;
    ResponseHead head(arena);
    H1ResponseParser parser;
    parser.ExpectUpgrade(c.expected);
    // What came before is no answer to it.
    ASSERT_EQ(parser.ParseHead("HTTP/1.1 103 Early Hints\r\n\r\n", {}, Method::kGet, head).state,
              State::kDone);
    parser.Reset();
    head = ResponseHead(arena);
    const H1ParseResult result = parser.ParseHead(input, {}, Method::kGet, head);
    ASSERT_EQ(result.state, c.good ? State::kDone : State::kError);
    if (!c.good) {
      EXPECT_EQ(result.reason, "unexpected_upgrade");
      continue;
    }
    EXPECT_EQ(head.body, BodyKind::kUntilClose);
    EXPECT_FALSE(parser.keep_alive());
    EXPECT_EQ(input.substr(result.consumed), "HTTP/1.1 200 OK\r\n\r\n");
  }
}

}  // namespace
}  // namespace portico::http
