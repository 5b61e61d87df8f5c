// How HTTP/2 connections to upstreams end: refusals, GOAWAY, resets, silence, abuse.
#include <algorithm>
#include <random>

#include "dataplane/upstream/h2_client_fixture.h"

namespace portico::upstream {
namespace {

TEST_F(H2ClientTest, ARefusedStreamMayBeSentAgain) {
  Open();
  H2Exchange& exchange = Get();
  server().Reset(1, NGHTTP2_REFUSED_STREAM);
  ASSERT_TRUE(Ends(exchange));
  EXPECT_TRUE(absl::IsUnavailable(exchange.status)) << exchange.status;
  EXPECT_TRUE(exchange.stream->refused());
  EXPECT_TRUE(exchange.stream->unprocessed());
  EXPECT_TRUE(connection().reusable());
  EXPECT_EQ(metrics_.upstream_stream_resets_total.value(), 1u);
}

TEST_F(H2ClientTest, AnyOtherResetMayNot) {
  Open();
  for (int32_t number = 1; number < 20; number += 2) {
    H2Exchange& exchange = Get();
    server().Reset(number, static_cast<uint32_t>(number - 1) / 2);
    if (number == 2 * NGHTTP2_REFUSED_STREAM + 1) continue;
    ASSERT_TRUE(Ends(exchange));
    EXPECT_TRUE(absl::IsUnavailable(exchange.status)) << exchange.status;
    EXPECT_FALSE(exchange.stream->unprocessed()) << number;
  }
}

TEST_F(H2ClientTest, ARefusalAfterTheResponseBeganIsNone) {
  Open();
  H2Exchange& exchange = Get();
  server().RespondHead(1, {{":status", "200"}});
  Turn();
  server().Reset(1, NGHTTP2_REFUSED_STREAM);
  ASSERT_TRUE(Ends(exchange));
  EXPECT_FALSE(exchange.status.ok());
  EXPECT_FALSE(exchange.stream->refused());
}

TEST_F(H2ClientTest, GoAwayLeavesStreamsOut) {
  Open();
  H2Exchange& first = Get();
  H2Exchange& second = Get();
  H2Exchange& third = Get();
  server().GoAway(3);
  ASSERT_TRUE(Ends(third));
  EXPECT_TRUE(third.stream->refused());
  EXPECT_FALSE(connection().reusable());
  EXPECT_EQ(owner_.unusable, 1);
  EXPECT_EQ(metrics_.upstream_goaways_total.value(), 1u);
  event::CancelScope scope;
  base::Arena arena;
  EXPECT_EQ(connection().OpenStream(scope, arena), nullptr);
  // The others go on.
  server().Respond(1, {{":status", "200"}}, "one");
  server().Respond(3, {{":status", "200"}}, "two");
  ASSERT_TRUE(Ends(first));
  ASSERT_TRUE(Ends(second));
  EXPECT_EQ(first.body + second.body, "onetwo");
  EXPECT_EQ(owner_.ended, 0);
  End(first);
  End(second);
  End(third);
  EXPECT_TRUE(Until([this] { return owner_.ended == 1; }));
}

TEST_F(H2ClientTest, AGracefulGoAwayEndsNothing) {
  Open();
  H2Exchange& exchange = Get();
  server().GoAway((1u << 31) - 1);
  Turn();
  EXPECT_FALSE(connection().reusable());
  server().Respond(1, {{":status", "200"}}, "fine");
  ASSERT_TRUE(Ends(exchange));
  EXPECT_TRUE(exchange.status.ok()) << exchange.status;
}

TEST_F(H2ClientTest, GoAwayAtRestEndsTheConnection) {
  Open();
  Turn();
  server().GoAway(0);
  EXPECT_TRUE(Until([this] { return owner_.ended == 1; }));
  EXPECT_EQ(owner_.unusable, 1);
}

TEST_F(H2ClientTest, WhatCrossedAGoAwayIsRefused) {
  Open();
  Turn();
  // The server has gone before it sees this one.
  H2Exchange& exchange = Begin();
  event::Spawn(Run(exchange));
  server().GoAway(0);
  server().Turn();
  ASSERT_TRUE(Ends(exchange));
  EXPECT_TRUE(exchange.stream->refused()) << exchange.status;
}

TEST_F(H2ClientTest, AStreamThatWasNeverSentIsRefused) {
  Open({.max_streams = 1});
  Turn();
  // Both were opened before the server lowered its limit.
  server().Settings(100);
  Turn();
  H2Exchange& first = Get();
  H2Exchange& second = Begin();
  server().Settings(1);
  Turn();
  event::Spawn(Run(second));
  Turn();
  EXPECT_EQ(server().requests().size(), 1u);
  server().Close();
  ASSERT_TRUE(Ends(second));
  ASSERT_TRUE(Ends(first));
  EXPECT_TRUE(second.stream->refused());
  EXPECT_FALSE(first.stream->refused());
}

TEST_F(H2ClientTest, AStreamThatMustWaitIsSentLater) {
  Open();
  Turn();
  H2Exchange& first = Get();
  H2Exchange& second = Begin();
  server().Settings(1);
  Turn();
  event::Spawn(Run(second));
  Turn();
  EXPECT_EQ(server().requests().size(), 1u);
  server().Respond(1, {{":status", "200"}}, "");
  ASSERT_TRUE(Ends(first));
  ASSERT_TRUE(Until([&] { return server().requests().size() == 2; }));
  server().Respond(3, {{":status", "200"}}, "");
  ASSERT_TRUE(Ends(second));
  EXPECT_TRUE(second.status.ok()) << second.status;
}

TEST_F(H2ClientTest, AStreamThatMustWaitMayBeGivenUp) {
  Open();
  Turn();
  H2Exchange& first = Get();
  H2Exchange& second = Begin();
  server().Settings(1);
  Turn();
  event::Spawn(Run(second));
  Turn();
  second.scope.Request(absl::CancelledError("left"));
  ASSERT_TRUE(Ends(second));
  End(second);
  server().Respond(1, {{":status", "200"}}, "");
  ASSERT_TRUE(Ends(first));
  Turn();
  EXPECT_EQ(server().requests().size(), 1u);
}

TEST_F(H2ClientTest, AnEndThatCrossesARequestMaySeemUnprocessed) {
  Open();
  H2Exchange& first = Get();
  server().Respond(1, {{":status", "200"}}, "");
  ASSERT_TRUE(Ends(first));
  End(first);
  H2Exchange& second = Get();
  server().Close();
  ASSERT_TRUE(Ends(second));
  EXPECT_TRUE(absl::IsUnavailable(second.status)) << second.status;
  EXPECT_TRUE(second.stream->unprocessed());
  EXPECT_FALSE(second.stream->refused());
}

TEST_F(H2ClientTest, AnEndBeforeTheFirstResponseIsAFault) {
  Open();
  H2Exchange& exchange = Get();
  server().Close();
  ASSERT_TRUE(Ends(exchange));
  EXPECT_FALSE(exchange.stream->unprocessed());
}

TEST_F(H2ClientTest, AnEndDuringAResponse) {
  Open();
  H2Exchange& exchange = Get();
  server().RespondHead(1, {{":status", "200"}});
  server().Write(1, "part");
  Turn();
  server().Close();
  ASSERT_TRUE(Ends(exchange));
  EXPECT_TRUE(absl::IsUnavailable(exchange.status)) << exchange.status;
  EXPECT_EQ(exchange.body, "part");
}

TEST_F(H2ClientTest, ACompleteResponseSurvivesTheEnd) {
  Open();
  H2Exchange& exchange = Begin();
  EXPECT_TRUE(Await(exchange.stream->SendHead(exchange.head, Chunk("", true))).ok());
  Turn();
  server().Respond(1, {{":status", "200"}}, "whole", {{"x", "y"}});
  Turn();
  server().Close();
  EXPECT_TRUE(Until([&] { return !connection().reusable(); }));
  EXPECT_TRUE(Await(Read(exchange)).ok());
  EXPECT_EQ(exchange.body, "whole");
  EXPECT_EQ(exchange.trailers.size(), 1u);
}

TEST_F(H2ClientTest, ACancelledExchangeIsReset) {
  Open();
  H2Exchange& exchange = Get();
  exchange.scope.Request(absl::CancelledError("the client left"));
  ASSERT_TRUE(Ends(exchange));
  EXPECT_TRUE(absl::IsCancelled(exchange.status));
  End(exchange);
  Turn();
  EXPECT_TRUE(Seen(1).closed);
  EXPECT_EQ(Seen(1).error_code, NGHTTP2_CANCEL);
  EXPECT_TRUE(connection().reusable());
}

TEST_F(H2ClientTest, AResponseThatComesAfterItsExchangeIsDropped) {
  Open();
  H2Exchange& exchange = Get();
  server().Respond(1, {{":status", "200"}}, std::string(60'000, 'x'));
  exchange.scope.Request(absl::CancelledError("the client left"));
  ASSERT_TRUE(Ends(exchange));
  End(exchange);
  Turn(20);
  // The connection's window is whole again: a megabyte fits through.
  for (int32_t number = 3; number < 60; number += 2) {
    H2Exchange& next = Get();
    server().Respond(number, {{":status", "200"}}, std::string(60'000, 'y'));
    ASSERT_TRUE(Ends(next));
    EXPECT_EQ(next.body.size(), 60'000u);
    End(next);
  }
}

TEST_F(H2ClientTest, AnAnswerBeforeTheEndOfTheUpload) {
  Open({.stream_window = 1000, .opens_windows = false});
  Turn();
  H2Exchange& exchange = BeginPost();
  EXPECT_TRUE(Await(exchange.stream->SendHead(exchange.head, Chunk("", false))).ok());
  const std::string body(100'000, 'b');
  event::Task<absl::Status> sending = event::Started(exchange.stream->SendBody(Chunk(body, true)));
  Turn(20);
  server().Respond(1, {{":status", "413"}}, "too much");
  Turn();
  server().Reset(1, NGHTTP2_NO_ERROR);
  ASSERT_TRUE(Until([&] { return sending.done(); }));
  EXPECT_FALSE(sending.Take().ok());
  EXPECT_TRUE(Await(Read(exchange)).ok());
  EXPECT_EQ(exchange.response->status, 413);
  EXPECT_EQ(exchange.body, "too much");
}

TEST_F(H2ClientTest, ClosingSaysGoodBye) {
  Open();
  H2Exchange& exchange = Get();
  connection().Close();
  EXPECT_FALSE(connection().reusable());
  Turn();
  EXPECT_EQ(server().goaway(), -1);  // An exchange is open.
  server().Respond(1, {{":status", "200"}}, "last");
  ASSERT_TRUE(Ends(exchange));
  EXPECT_EQ(exchange.body, "last");
  End(exchange);
  ASSERT_TRUE(Until([this] { return owner_.ended == 1; }));
  Turn();
  EXPECT_EQ(server().goaway(), NGHTTP2_NO_ERROR);
  EXPECT_TRUE(server().peer_closed());
}

TEST_F(H2ClientTest, AnAwaitedResponseIsPinged) {
  Open();
  H2Exchange& exchange = Get();
  Advance(59 * base::kNanosPerSecond);
  EXPECT_EQ(server().pings(), 0);
  Advance(2 * base::kNanosPerSecond);
  EXPECT_EQ(server().pings(), 1);
  // It answers, so nothing happens, and the next one is far away.
  for (int i = 0; i < 200; ++i) Advance(base::kNanosPerSecond);
  EXPECT_EQ(server().pings(), 1);
  for (int i = 0; i < 120; ++i) Advance(base::kNanosPerSecond);
  EXPECT_EQ(server().pings(), 2);
  server().Respond(1, {{":status", "200"}}, "slow");
  ASSERT_TRUE(Ends(exchange));
  EXPECT_TRUE(exchange.status.ok()) << exchange.status;
}

TEST_F(H2ClientTest, AConnectionThatIsDeadIsFoundOut) {
  Open();
  H2Exchange& exchange = Get();
  // The server is not turned any more.
  for (int i = 0; i < 79; ++i) {
    clock_.Advance(base::kNanosPerSecond);
    for (int turn = 0; turn < 5; ++turn) loop_.RunOnce(0);
  }
  EXPECT_FALSE(exchange.done);
  clock_.Advance(5 * base::kNanosPerSecond);
  for (int turn = 0; turn < 20; ++turn) loop_.RunOnce(0);
  EXPECT_TRUE(exchange.done);
  EXPECT_TRUE(absl::IsUnavailable(exchange.status)) << exchange.status;
}

TEST_F(H2ClientTest, AConnectionAtRestIsNotPinged) {
  Open();
  H2Exchange& exchange = Get();
  server().Respond(1, {{":status", "200"}}, "");
  ASSERT_TRUE(Ends(exchange));
  End(exchange);
  for (int i = 0; i < 400; ++i) Advance(base::kNanosPerSecond);
  EXPECT_EQ(server().pings(), 0);
}

TEST_F(H2ClientTest, IdleTimeoutsOfAStream) {
  H2ClientOptions options;
  options.idle_timeout = 10 * base::kNanosPerSecond;
  Open({}, options);
  H2Exchange& exchange = Get();
  Advance(9 * base::kNanosPerSecond);
  EXPECT_FALSE(exchange.done);
  Advance(2 * base::kNanosPerSecond);
  ASSERT_TRUE(Ends(exchange));
  EXPECT_TRUE(absl::IsDeadlineExceeded(exchange.status)) << exchange.status;
}

TEST_F(H2ClientTest, APeerThatSpeaksSomethingElse) {
  Open({.settings = false});
  H2Exchange& exchange = Begin();
  event::Spawn(Run(exchange));
  server().WriteRaw("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
  ASSERT_TRUE(Ends(exchange));
  EXPECT_TRUE(absl::IsInvalidArgument(exchange.status)) << exchange.status;
  EXPECT_FALSE(connection().reusable());
}

struct FrameCase {
  const char* name;
  uint8_t type, flags;
  int32_t stream;
  std::string payload;
};

TEST_F(H2ClientTest, FramesThatNoConnectionSurvives) {
  const std::vector<FrameCase> cases = {
      {"data on stream 0", NGHTTP2_DATA, 0, 0, "x"},
      {"data on an idle stream", NGHTTP2_DATA, 0, 9, "x"},
      {"headers on an even stream", NGHTTP2_HEADERS, 4, 2, "\x88"},
      {"push promise", NGHTTP2_PUSH_PROMISE, 4, 1, std::string("\0\0\0\2\x88", 5)},
      {"continuation alone", NGHTTP2_CONTINUATION, 4, 1, "\x88"},
      {"settings of 5 bytes", NGHTTP2_SETTINGS, 0, 0, "12345"},
      {"bad compression", NGHTTP2_HEADERS, 4, 1, "\xff\xff\xff\xff\xff\xff\xff\xff\xff"},
      {"window overflow", NGHTTP2_WINDOW_UPDATE, 0, 0, "\x7f\xff\xff\xff"},
      {"reset of 3 bytes", NGHTTP2_RST_STREAM, 0, 1, "abc"},
      {"ping of 7 bytes", NGHTTP2_PING, 0, 0, "1234567"},
      {"goaway that grows", NGHTTP2_GOAWAY, 0, 0, std::string("\0\0\0\2\0\0\0\0", 8)},
  };
  for (const FrameCase& test : cases) {
    Open();
    H2Exchange& exchange = Get();
    server().WriteFrame(test.type, test.flags, test.stream, test.payload);
    ASSERT_TRUE(Ends(exchange)) << test.name;
    EXPECT_TRUE(absl::IsInvalidArgument(exchange.status)) << test.name << ": " << exchange.status;
    EXPECT_FALSE(connection().reusable()) << test.name;
    End(exchange);
    EXPECT_TRUE(Until([this] { return owner_.connection == nullptr; })) << test.name;
    Turn();
    EXPECT_GT(server().goaway(), 0) << test.name;
  }
}

TEST_F(H2ClientTest, FloodsEndTheConnection) {
  const std::vector<FrameCase> cases = {
      {"ping", NGHTTP2_PING, 0, 0, "12345678"},
      {"ping answer", NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "12345678"},
      {"settings", NGHTTP2_SETTINGS, 0, 0, ""},
      {"priority", NGHTTP2_PRIORITY, 0, 1, std::string("\0\0\0\0\1", 5)},
      {"window update", NGHTTP2_WINDOW_UPDATE, 0, 0, std::string("\0\0\0\1", 4)},
      {"empty data", NGHTTP2_DATA, 0, 1, ""},
      {"unknown", 0x77, 0, 0, "x"},
      {"unknown of a stream", 0x77, 0, 1, "x"},
      {"reset of a closed stream", NGHTTP2_RST_STREAM, 0, 1, std::string("\0\0\0\1", 4)},
      {"goaway", NGHTTP2_GOAWAY, 0, 0, std::string("\0\0\0\1\0\0\0\0", 8)},
  };
  for (const FrameCase& test : cases) {
    Open();
    H2Exchange& exchange = Get();
    server().RespondHead(1, {{":status", "200"}});
    Turn();
    int frames = 0;
    for (; frames < 20'000 && connection().open_streams() == 1; ++frames) {
      server().WriteFrame(test.type, test.flags, test.stream, test.payload);
      if (frames % 100 == 99) Turn(1);
      if (exchange.done) break;
    }
    Turn(20);
    EXPECT_LT(frames, 20'000) << test.name;
    EXPECT_TRUE(exchange.done) << test.name;
    End(exchange);
    EXPECT_TRUE(Until([this] { return owner_.connection == nullptr; })) << test.name;
  }
}

TEST_F(H2ClientTest, AStormOfExchangesThatAreGivenUp) {
  Open();
  std::minstd_rand random(7);
  int32_t number = 1;
  for (int round = 0; round < 300; ++round) {
    std::vector<H2Exchange*> some;
    const int count = 1 + static_cast<int>(random() % 8);
    for (int i = 0; i < count; ++i, number += 2) {
      H2Exchange& exchange = random() % 3 == 0 ? BeginPost() : Begin();
      ASSERT_NE(exchange.stream, nullptr);
      event::Spawn(Run(exchange));
      some.push_back(&exchange);
    }
    for (uint32_t turns = random() % 4; turns > 0; --turns) Turn(1);
    for (auto& [stream, request] : server().requests()) {
      if (request.closed || !request.trailers.empty()) continue;
      request.trailers.emplace_back("seen", "");
      if (random() % 2 == 0) {
        server().Respond(stream, {{":status", "200"}}, std::string(random() % 50'000, 'r'));
      } else if (random() % 4 == 0) {
        server().Reset(stream, random() % 14);
      }
    }
    for (uint32_t turns = random() % 4; turns > 0; --turns) Turn(1);
    for (H2Exchange* exchange : some) {
      if (!exchange->done) exchange->scope.Request(absl::CancelledError("given up"));
    }
    for (H2Exchange* exchange : some) {
      ASSERT_TRUE(Ends(*exchange));
      End(*exchange);
    }
    exchanges_.clear();
    ASSERT_TRUE(connection().reusable());
  }
  Turn(20);
  // Nothing of it is left.
  H2Exchange& last = Get();
  server().Respond(number, {{":status", "200"}}, std::string(500'000, 'z'));
  ASSERT_TRUE(Ends(last));
  EXPECT_EQ(last.body.size(), 500'000u);
}

TEST_F(H2ClientTest, AnEndDuringAStorm) {
  for (int round = 0; round < 30; ++round) {
    Open();
    std::vector<H2Exchange*> some;
    for (int i = 0; i < 20; ++i) {
      H2Exchange& exchange = i % 2 == 0 ? BeginPost() : Begin();
      event::Spawn(Run(exchange));
      some.push_back(&exchange);
    }
    Turn(round % 5);
    if (round % 3 == 0) {
      server().Close();
    } else if (round % 3 == 1) {
      server().GoAway(round % 40, NGHTTP2_INTERNAL_ERROR);
      Turn(round % 3);
      server().Close();
    } else {
      connection().Close();
      server().Close();
    }
    for (H2Exchange* exchange : some) {
      ASSERT_TRUE(Ends(*exchange));
      EXPECT_FALSE(exchange->status.ok());
      End(*exchange);
    }
    ASSERT_TRUE(Until([this] { return owner_.connection == nullptr; }));
    exchanges_.clear();
  }
}

}  // namespace
}  // namespace portico::upstream
