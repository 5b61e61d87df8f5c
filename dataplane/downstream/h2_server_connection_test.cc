#include "dataplane/downstream/h2_server_connection.h"

#include <gtest/gtest.h>

#include <string>

#include "dataplane/downstream/h2_test_support.h"

namespace portico::downstream {
namespace {

TEST_F(H2ConnectionTest, ServesRequests) {
  Connect();
  const int32_t id = client_->Request(H2Get("/"));
  ASSERT_TRUE(Closed(id));
  const auto& stream = client_->streams[id];
  EXPECT_EQ(stream.status, 200);
  EXPECT_EQ(stream.body, "hello");
  EXPECT_TRUE(stream.ended);
  EXPECT_EQ(stream.error, 0u);
  EXPECT_EQ(stream.fields.at("content-length"), "5");
  EXPECT_EQ(stream.fields.count("date"), 1u);
  EXPECT_EQ(stream.fields.count("connection"), 0u);
  EXPECT_TRUE(connection_->idle());
  EXPECT_TRUE(observer_.errors.empty());
}

TEST_F(H2ConnectionTest, ManyAtATime) {
  Connect();
  std::vector<int32_t> ids;
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 100; ++i) ids.push_back(client_->Request(H2Get("/")));
    for (const int32_t id : ids) ASSERT_TRUE(Closed(id));
  }
  for (const int32_t id : ids) {
    EXPECT_EQ(client_->streams[id].status, 200);
    EXPECT_EQ(client_->streams[id].body, "hello");
  }
  EXPECT_EQ(handler_.served, 500);
}

TEST_F(H2ConnectionTest, HeadHasNoBody) {
  Connect();
  H2FieldPairs head = H2Get("/");
  head[0].second = "HEAD";
  const int32_t id = client_->Request(head);
  ASSERT_TRUE(Closed(id));
  EXPECT_EQ(client_->streams[id].status, 200);
  EXPECT_EQ(client_->streams[id].fields.at("content-length"), "5");
  EXPECT_EQ(client_->streams[id].body, "");
}

TEST_F(H2ConnectionTest, EchoesBodies) {
  Connect();
  std::string body(3'000'000, 'x');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 7);
  const int32_t id = client_->Request(H2Post("/echo"), true, body);
  const int32_t other = client_->Request(H2Post("/echo", {{"content-length", "5"}}), true, "12345");
  ASSERT_TRUE(Until([&] { return client_->streams[id].closed; }, 50000));
  EXPECT_TRUE(client_->streams[id].body == body);
  ASSERT_TRUE(Closed(other));
  EXPECT_EQ(client_->streams[other].body, "12345");
  EXPECT_TRUE(client_->streams[id].ended);
}

TEST_F(H2ConnectionTest, BodiesInSmallPieces) {
  Connect();
  const int32_t id = client_->Request(H2Post("/echo"), false);
  std::string all;
  for (int i = 0; i < 300; ++i) {
    const std::string piece(static_cast<size_t>(i % 7), static_cast<char>('a' + i % 26));
    all += piece;
    client_->SendBody(id, piece, false);
    Turn(1);
  }
  client_->SendBody(id, "", true);
  ASSERT_TRUE(Closed(id));
  EXPECT_EQ(client_->streams[id].body, all);
}

TEST_F(H2ConnectionTest, TrailersOfTheResponse) {
  Connect();
  for (const bool empty : {false, true}) {
    handler_.hold = empty;
    const int32_t id = client_->Request(H2Get("/trailers"));
    ASSERT_TRUE(Until([&] { return client_->streams[id].closed; }));
    // One of them cannot be sent, so that the response is not whole.
    EXPECT_NE(client_->streams[id].error, 0u);
    EXPECT_FALSE(client_->streams[id].ended);
  }
}

TEST_F(H2ConnectionTest, ContinueIsSentBeforeTheFirstWait) {
  Connect();
  const int32_t id = client_->Request(H2Post("/echo", {{"expect", "100-continue"}}), false);
  ASSERT_TRUE(Until([&] { return client_->streams[id].informational == 100; }));
  client_->SendBody(id, "body", true);
  ASSERT_TRUE(Closed(id));
  EXPECT_EQ(client_->streams[id].body, "body");
  EXPECT_EQ(client_->streams[id].status, 200);
}

TEST_F(H2ConnectionTest, AnswerBeforeTheBodyEndsTheStream) {
  Connect();
  const int32_t id = client_->Request(H2Post("/"), false, "begun");
  ASSERT_TRUE(Closed(id));
  EXPECT_TRUE(client_->streams[id].ended);
  EXPECT_EQ(client_->streams[id].body, "hello");
  EXPECT_EQ(client_->streams[id].error, static_cast<uint32_t>(NGHTTP2_NO_ERROR));
}

// To drop what was not read sent what waited, which ended the stream that was being looked at.
TEST_F(H2ConnectionTest, AStreamThatEndsWhileItsRestIsDroppedIsNotUsedAfterItsEnd) {
  Connect();
  std::vector<int32_t> ids;
  // Together they hold more than half of the connection's window, so that dropping them opens it.
  for (int i = 0; i < 12; ++i) {
    ids.push_back(client_->Request(H2Post("/custom"), false, std::string(60'000, 'x')));
  }
  bool answer = false;
  handler_.custom = [&](http::ServerStream& stream) -> event::Task<void> {
    while (!answer) {
      event::Sleep pause(loop_, stream.scope(), loop_.now() + base::kNanosPerMilli);
      co_await pause;
    }
    co_await handler_.Reply(stream, "unread");
  };
  ASSERT_TRUE(Until([&] { return client_->all_sent() && handler_.open == 12; }));
  Turn();
  answer = true;
  for (const int32_t id : ids) {
    ASSERT_TRUE(Until([&] {
      clock_.Advance(base::kNanosPerMilli);
      return client_->streams[id].closed;
    }));
    EXPECT_EQ(client_->streams[id].body, "unread");
    EXPECT_EQ(client_->streams[id].error, static_cast<uint32_t>(NGHTTP2_NO_ERROR));
  }
  EXPECT_LT(loop_.downstream_buffers().live_bytes(), 60'000u);
  // What was dropped is given back.
  const int32_t next = client_->Request(H2Post("/echo"), true, std::string(2'000'000, 'y'));
  ASSERT_TRUE(Until([&] { return client_->streams[next].closed; }, 50000));
  EXPECT_EQ(client_->streams[next].body.size(), 2'000'000u);
}

TEST_F(H2ConnectionTest, AbortResetsTheStreamOnly) {
  Connect();
  const int32_t id = client_->Request(H2Get("/abort"));
  const int32_t nothing = client_->Request(H2Get("/nothing"));
  ASSERT_TRUE(Closed(id));
  ASSERT_TRUE(Closed(nothing));
  EXPECT_EQ(client_->streams[id].error, static_cast<uint32_t>(NGHTTP2_INTERNAL_ERROR));
  EXPECT_FALSE(client_->streams[id].ended);
  EXPECT_EQ(client_->streams[nothing].error, static_cast<uint32_t>(NGHTTP2_INTERNAL_ERROR));
  const int32_t next = client_->Request(H2Get("/"));
  ASSERT_TRUE(Closed(next));
  EXPECT_EQ(client_->streams[next].body, "hello");
}

TEST_F(H2ConnectionTest, ResetCancelsTheExchange) {
  Connect();
  const int32_t id = client_->Request(H2Get("/wait"));
  ASSERT_TRUE(Until([&] { return handler_.open == 1; }));
  client_->Reset(id);
  ASSERT_TRUE(Until([&] { return handler_.open == 0; }));
  EXPECT_EQ(handler_.last_status.code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(Until([&] { return connection_->idle(); }));
}

TEST_F(H2ConnectionTest, ResetBeforeItBeginsServesNothing) {
  Connect();
  Turn();
  client_->SendRaw(H2Frame(1, 5, 1, H2GetBlock()) + H2Frame(3, 0, 1, BigEndian32(8)));
  Turn();
  EXPECT_EQ(handler_.served, 0);
  EXPECT_TRUE(connection_->idle());
}

TEST_F(H2ConnectionTest, ClientThatLeavesCancelsAll) {
  Connect();
  for (int i = 0; i < 10; ++i) client_->Request(H2Get("/wait"));
  ASSERT_TRUE(Until([&] { return handler_.open == 10; }));
  client_->Close();
  Pass(2 * base::kNanosPerSecond);
  ASSERT_TRUE(Until([&] { return connection_ == nullptr; }));
  EXPECT_EQ(handler_.open, 0);
}

TEST_F(H2ConnectionTest, MalformedRequestsResetTheirStreamOnly) {
  Connect();
  const int32_t bad = client_->Request(H2Get("/", {{"connection", "close"}}));
  const int32_t good = client_->Request(H2Get("/"));
  ASSERT_TRUE(Closed(bad));
  ASSERT_TRUE(Closed(good));
  EXPECT_EQ(client_->streams[bad].error, static_cast<uint32_t>(NGHTTP2_PROTOCOL_ERROR));
  EXPECT_EQ(client_->streams[good].status, 200);
  EXPECT_EQ(observer_.errors, std::vector<std::string>{"connection_header"});
  EXPECT_EQ(handler_.served, 1);
}

TEST_F(H2ConnectionTest, WhatCannotBeServedIsAnswered) {
  Connect();
  const int32_t bad_path = client_->Request(H2Get("/%zz"));
  const int32_t large = client_->Request(H2Get("/", {{"a", std::string(61'500, 'x')}}));
  const int32_t connect = client_->Request({{":method", "CONNECT"}, {":authority", "a:1"}});
  ASSERT_TRUE(Closed(bad_path));
  ASSERT_TRUE(Closed(large));
  ASSERT_TRUE(Closed(connect));
  EXPECT_EQ(client_->streams[bad_path].status, 400);
  EXPECT_EQ(client_->streams[large].status, 431);
  EXPECT_EQ(client_->streams[connect].status, 501);
  EXPECT_EQ(client_->streams[large].body, "{\"reason\":\"headers_too_large\"}");
  const int32_t good = client_->Request(H2Get("/"));
  ASSERT_TRUE(Closed(good));
  EXPECT_EQ(client_->streams[good].status, 200);
}

TEST_F(H2ConnectionTest, BodyOfTheWrongLength) {
  Connect();
  const int32_t longer = client_->Request(H2Post("/echo", {{"content-length", "3"}}), true, "1234");
  const int32_t shorter =
      client_->Request(H2Post("/echo", {{"content-length", "5"}}), true, "1234");
  ASSERT_TRUE(Closed(longer));
  ASSERT_TRUE(Closed(shorter));
  EXPECT_EQ(client_->streams[longer].error, static_cast<uint32_t>(NGHTTP2_PROTOCOL_ERROR));
  EXPECT_EQ(client_->streams[shorter].error, static_cast<uint32_t>(NGHTTP2_PROTOCOL_ERROR));
}

TEST_F(H2ConnectionTest, BodyTooLarge) {
  context_.options.max_body_bytes = 1000;
  Connect();
  const int32_t id = client_->Request(H2Post("/echo"), true, std::string(2000, 'x'));
  ASSERT_TRUE(Closed(id));
  EXPECT_EQ(client_->streams[id].status, 413);
}

TEST_F(H2ConnectionTest, TrailersOfTheRequestEndIt) {
  Connect();
  const int32_t id = client_->Request(H2Post("/echo"), false);
  client_->SendBody(id, "body", true, {{"x-own", "1"}});
  ASSERT_TRUE(Closed(id));
  EXPECT_EQ(client_->streams[id].body, "body");
  const int32_t bad = client_->Request(H2Post("/echo"), false);
  client_->SendBody(bad, "body", true, {{":path", "/"}});
  ASSERT_TRUE(Closed(bad));
  EXPECT_EQ(client_->streams[bad].error, static_cast<uint32_t>(NGHTTP2_PROTOCOL_ERROR));
}

TEST_F(H2ConnectionTest, SlowClientGetsNoMoreThanItsWindow) {
  Connect(/*auto_window=*/false, /*window=*/100'000);
  handler_.large_pieces = 100;
  const int32_t id = client_->Request(H2Get("/large"));
  Turn(200);
  // The connection's window is what it was when the connection began.
  EXPECT_EQ(client_->streams[id].body.size(), 65535u);
  EXPECT_LE(handler_.pieces_sent, 1u);
  EXPECT_LE(loop_.downstream_buffers().live_bytes(), 200'000u);
  ASSERT_TRUE(Until(
      [&] {
        const size_t got = client_->streams[id].body.size() - client_->received_body;
        client_->received_body += got;
        client_->Consume(id, got);
        return client_->streams[id].closed;
      },
      50000));
  EXPECT_EQ(client_->streams[id].body.size(), 100u * 64 * 1024);
}

TEST_F(H2ConnectionTest, SlowReaderOfABodyHoldsItsWindowOnly) {
  Connect();
  handler_.hold = true;
  const int32_t id = client_->Request(H2Post("/read"), true, std::string(1'000'000, 'x'));
  Turn(200);
  EXPECT_LE(loop_.downstream_buffers().live_bytes(), 200'000u);
  handler_.hold = false;
  const int32_t other = client_->Request(H2Post("/echo"), true, std::string(300'000, 'y'));
  ASSERT_TRUE(Until([&] { return client_->streams[other].closed; }, 20000));
  EXPECT_EQ(client_->streams[other].body.size(), 300'000u);
  EXPECT_FALSE(client_->streams[id].closed);
  Pass(2 * base::kNanosPerSecond);
  ASSERT_TRUE(Until([&] { return client_->streams[id].closed; }, 20000));
  EXPECT_EQ(handler_.read_bytes, 1'000'000u);
}

TEST_F(H2ConnectionTest, ClientThatTakesNothingIsGivenUp) {
  Connect(/*auto_window=*/false);
  context_.options.stream_idle_timeout = 10 * base::kNanosPerSecond;
  const int32_t id = client_->Request(H2Get("/large"));
  Turn(100);
  Pass(9 * base::kNanosPerSecond);
  EXPECT_EQ(handler_.open, 1);
  Pass(6 * base::kNanosPerSecond);
  ASSERT_TRUE(Closed(id));
  EXPECT_EQ(client_->streams[id].error, static_cast<uint32_t>(NGHTTP2_INTERNAL_ERROR));
  EXPECT_EQ(handler_.last_status.code(), absl::StatusCode::kDeadlineExceeded);
  const int32_t good = client_->Request(
      {{":method", "HEAD"}, {":scheme", "http"}, {":authority", "h"}, {":path", "/"}});
  ASSERT_TRUE(Closed(good));
}

TEST_F(H2ConnectionTest, BodyThatDoesNotCome) {
  Connect();
  context_.options.stream_idle_timeout = 10 * base::kNanosPerSecond;
  const int32_t id = client_->Request(H2Post("/read"), false, "begun");
  Turn(100);
  Pass(20 * base::kNanosPerSecond);
  ASSERT_TRUE(Until([&] { return handler_.open == 0; }));
  EXPECT_TRUE(Saw("idle_body"));
  ASSERT_TRUE(Closed(id));
}

TEST_F(H2ConnectionTest, RequestsWithoutAnEnd) {
  Connect();
  Turn();
  // HEADERS without END_HEADERS.
  client_->SendRaw(H2Frame(1, 1, 1, H2GetBlock()));
  Turn();
  EXPECT_FALSE(connection_->idle());
  Pass(11 * base::kNanosPerSecond);
  ASSERT_TRUE(Ended());
  EXPECT_TRUE(Saw("header_timeout"));
  EXPECT_EQ(handler_.served, 0);
}

TEST_F(H2ConnectionTest, PrefaceThatDoesNotCome) {
  Connect();
  client_->reads = false;
  Pass(11 * base::kNanosPerSecond);
  Turn();
  EXPECT_FALSE(Saw("header_timeout"));  // nghttp2's client has sent one.

  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
  connection_->ForceClose(absl::CancelledError("next"));
  ASSERT_TRUE(Until([&] { return connection_ == nullptr; }));
  client_.reset();
  connection_ = std::make_unique<H2ServerConnection>(context_, net::MakeTcpStream(loop_, fds[0]),
                                                     http::ConnectionInfo(), base::Buffer());
  connection_->Start();
  Pass(11 * base::kNanosPerSecond);
  Pass(3 * base::kNanosPerSecond);
  ASSERT_TRUE(Until([&] { return connection_ == nullptr; }));
  EXPECT_TRUE(Saw("header_timeout"));
  ::close(fds[1]);
}

TEST_F(H2ConnectionTest, IdleConnectionSaysGoodbye) {
  Connect();
  ASSERT_TRUE(Closed(client_->Request(H2Get("/"))));
  Pass(3601 * base::kNanosPerSecond);
  ASSERT_TRUE(Ended());
  ASSERT_EQ(client_->goaways.size(), 1u);
  EXPECT_EQ(client_->goaways[0].code, static_cast<uint32_t>(NGHTTP2_NO_ERROR));
  EXPECT_TRUE(observer_.errors.empty());
}

TEST_F(H2ConnectionTest, DrainsInTwoSteps) {
  Connect();
  const int32_t slow = client_->Request(H2Get("/wait"));
  Turn();
  client_->reads = false;
  connection_->Drain();
  Turn();
  // One that was on its way.
  const int32_t late = client_->Request(H2Get("/"));
  client_->reads = true;
  ASSERT_TRUE(Closed(late));
  EXPECT_EQ(client_->streams[late].status, 200);
  ASSERT_EQ(client_->goaways.size(), 1u);
  EXPECT_EQ(client_->goaways[0].last, 0x7FFFFFFF);
  Pass(base::kNanosPerSecond);
  ASSERT_TRUE(Until([&] { return client_->goaways.size() == 2; }));
  EXPECT_EQ(client_->goaways[1].last, 3);
  EXPECT_FALSE(client_->end);
  client_->Reset(slow);
  ASSERT_TRUE(Ended());
  EXPECT_TRUE(client_->end);
}

TEST_F(H2ConnectionTest, EndsAfterAsManyRequestsAsAreAllowed) {
  context_.options.max_requests_per_connection = 3;
  Connect();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Closed(client_->Request(H2Get("/"))));
  ASSERT_TRUE(Until([&] { return client_->goaways.size() == 1; }));
  Pass(base::kNanosPerSecond);
  ASSERT_TRUE(Ended());
  EXPECT_EQ(client_->goaways.back().last, 5);
}

TEST_F(H2ConnectionTest, HalfClosedClientGetsItsAnswer) {
  Connect();
  handler_.hold = true;
  const int32_t id = client_->Request(H2Post("/read"), true, "body");
  Turn();
  client_->HalfClose();
  Pass(base::kNanosPerSecond / 2);
  EXPECT_EQ(handler_.open, 1);
  handler_.hold = false;
  Pass(base::kNanosPerSecond);
  ASSERT_TRUE(Ended());
  EXPECT_EQ(handler_.open, 0);
  (void)id;
}

TEST_F(H2ConnectionTest, FramesOfStreamsThatAreNoMore) {
  struct Case {
    std::string frames;
    uint32_t code;
  };
  const std::string data = H2Frame(0, 1, 1, "x"), request = H2Frame(1, 5, 1, H2GetBlock());
  const Case cases[] = {
      {data, NGHTTP2_STREAM_CLOSED},
      {request, NGHTTP2_STREAM_CLOSED},
      // Skipped, so closed without ever having been open.
      {H2Frame(1, 5, 9, H2GetBlock()) + H2Frame(1, 5, 7, H2GetBlock()), NGHTTP2_PROTOCOL_ERROR},
      // What comes together with its end.
      {H2Frame(1, 4, 3, H2GetBlock()) + H2Frame(3, 0, 3, BigEndian32(8)) + H2Frame(0, 0, 3, "x"),
       NGHTTP2_STREAM_CLOSED},
      {H2Frame(2, 0, 0, BigEndian32(0) + "x"), NGHTTP2_PROTOCOL_ERROR},
      {H2Frame(2, 0, 3, BigEndian32(3) + "x"), NGHTTP2_PROTOCOL_ERROR},
      {H2Frame(8, 0, 1, BigEndian32(0)), NGHTTP2_PROTOCOL_ERROR},
  };
  for (const Case& c : cases) {
    Connect();
    Turn();
    ASSERT_TRUE(Closed(client_->Request(H2Get("/"))));
    Turn();
    client_->SendRaw(c.frames);
    ASSERT_TRUE(Ended());
    ASSERT_EQ(client_->goaways.size(), 1u) << "case " << &c - cases;
    EXPECT_EQ(client_->goaways[0].code, c.code);
    client_->Close();
    ASSERT_TRUE(Until([&] { return connection_ == nullptr; }));
  }
}

TEST_F(H2ConnectionTest, ClientsMaySendUntilTheyKnowOfTheReset) {
  Connect();
  Turn();
  client_->SendRaw(H2Frame(1, 4, 1, H2GetBlock()));  // Answered before its end.
  ASSERT_TRUE(Until([&] { return client_->frames[3] == 1; }));
  client_->SendRaw(H2Frame(0, 0, 1, "x") + H2Frame(1, 5, 1, std::string("\0\1a\1b", 5)) +
                   H2Frame(1, 5, 3, H2GetBlock()));
  ASSERT_TRUE(Until([&] { return client_->frames[0] == 2; }));
  EXPECT_TRUE(client_->goaways.empty());
}

TEST_F(H2ConnectionTest, ForceCloseEndsAtOnce) {
  Connect();
  client_->Request(H2Get("/wait"));
  client_->Request(H2Get("/large"));
  Turn(3);
  connection_->ForceClose(absl::UnavailableError("the proxy ends"));
  ASSERT_TRUE(Until([&] { return connection_ == nullptr; }));
  EXPECT_EQ(handler_.open, 0);
}

}  // namespace
}  // namespace portico::downstream
