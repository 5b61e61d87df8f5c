// Tunnels to HTTP/2 upstreams: extended CONNECT (RFC 8441).
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include "dataplane/upstream/h2_client_fixture.h"

namespace portico::upstream {
namespace {

using http::BodyKind;

class H2ClientTunnelTest : public H2ClientTest {
 protected:
  H2Exchange& BeginTunnel() {
    H2Exchange& exchange = Begin();
    exchange.head.upgrade = "websocket";
    return exchange;
  }
  absl::Status SendHandshake(H2Exchange& exchange) {
    return Await(exchange.stream->SendHead(exchange.head, Chunk("", true)));
  }
  // One that is open; its stream at the server is number 1.
  H2Exchange& OpenTunnel() {
    Open({.takes_tunnels = true});
    H2Exchange& exchange = BeginTunnel();
    EXPECT_TRUE(SendHandshake(exchange).ok());
    Turn();
    server().RespondHead(1, {{":status", "200"}});
    EXPECT_TRUE(Await(exchange.stream->ReadHead()).ok());
    return exchange;
  }
  // A handshake that waits for the server's SETTINGS. They must be its first frame, so that it does
  // not even acknowledge ours before.
  event::Task<absl::Status> Waits(H2Exchange& exchange) {
    auto sent = event::Started(exchange.stream->SendHead(exchange.head, Chunk("", true)));
    for (int i = 0; i < 5; ++i) loop_.RunOnce(0);
    EXPECT_FALSE(sent.done());
    return sent;
  }
  void SayWhetherTunnelsAreTaken(bool taken) {
    const nghttp2_settings_entry setting = {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL,
                                            taken ? 1u : 0u};
    nghttp2_submit_settings(server().session(), NGHTTP2_FLAG_NONE, &setting, 1);
    Turn();
  }
};

TEST_F(H2ClientTunnelTest, TunnelsGoByExtendedConnect) {
  Open({.takes_tunnels = true});
  H2Exchange& exchange = BeginTunnel();
  exchange.head.headers.Add("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
  exchange.head.headers.Add("Sec-WebSocket-Version", "13");
  EXPECT_TRUE(SendHandshake(exchange).ok());
  Turn();
  EXPECT_EQ(Seen(1)[":method"], "CONNECT");
  EXPECT_EQ(Seen(1)[":protocol"], "websocket");
  EXPECT_EQ(Seen(1)["sec-websocket-key"], "(none)");
  EXPECT_EQ(Seen(1)["sec-websocket-version"], "13");
  EXPECT_FALSE(Seen(1).ended);
  server().RespondHead(1, {{":status", "200"}});
  const absl::StatusOr<http::ResponseHead*> head = Await(exchange.stream->ReadHead());
  ASSERT_TRUE(head.ok()) << head.status();
  EXPECT_EQ((*head)->status, 101);
  EXPECT_EQ((*head)->body, BodyKind::kUntilClose);
  EXPECT_TRUE(Await(exchange.stream->SendBody(Chunk("ping", false))).ok());
  Turn();
  EXPECT_EQ(Seen(1).body, "ping");
  server().Write(1, "pong");
  const absl::StatusOr<http::BodyChunk> piece = Await(exchange.stream->ReadBody());
  ASSERT_TRUE(piece.ok());
  EXPECT_EQ(piece->bytes, "pong");
  EXPECT_FALSE(piece->end);
  EXPECT_TRUE(Await(exchange.stream->SendBody(Chunk("", true))).ok());
  Turn();
  EXPECT_TRUE(Seen(1).ended);
  server().End(1);
  EXPECT_TRUE(Await(exchange.stream->ReadBody())->end);
  Turn();
  EXPECT_EQ(Seen(1).error_code, static_cast<uint32_t>(NGHTTP2_NO_ERROR));
}

TEST_F(H2ClientTunnelTest, TheUpstreamMayEndItsSideFirst) {
  H2Exchange& exchange = OpenTunnel();
  server().Write(1, "bye");
  server().End(1);
  std::string read;
  bool end = false;
  while (!end) {
    const absl::StatusOr<http::BodyChunk> piece = Await(exchange.stream->ReadBody());
    ASSERT_TRUE(piece.ok()) << piece.status();
    read += piece->bytes;
    end = piece->end;
  }
  EXPECT_EQ(read, "bye");
  EXPECT_TRUE(Await(exchange.stream->SendBody(Chunk("still here", false))).ok());
  EXPECT_TRUE(Await(exchange.stream->SendBody(Chunk("", true))).ok());
  ASSERT_TRUE(Until([&] { return Seen(1).closed; }));
  EXPECT_EQ(Seen(1).body, "still here");
  EXPECT_TRUE(Seen(1).ended);
  EXPECT_EQ(Seen(1).error_code, static_cast<uint32_t>(NGHTTP2_NO_ERROR));
}

TEST_F(H2ClientTunnelTest, WhoLeavesCancelsTheStreamOnly) {
  H2Exchange& exchange = OpenTunnel();
  End(exchange);
  ASSERT_TRUE(Until([&] { return Seen(1).closed; }));
  EXPECT_EQ(Seen(1).error_code, static_cast<uint32_t>(NGHTTP2_CANCEL));
  EXPECT_FALSE(Seen(1).ended);
  EXPECT_TRUE(connection().reusable());
}

TEST_F(H2ClientTunnelTest, AResetOfTheUpstreamEndsBothDirections) {
  H2Exchange& exchange = OpenTunnel();
  server().Reset(1, NGHTTP2_CANCEL);
  EXPECT_TRUE(absl::IsUnavailable(Await(exchange.stream->ReadBody()).status()));
  EXPECT_TRUE(absl::IsUnavailable(Await(exchange.stream->SendBody(Chunk("x", false)))));
  EXPECT_FALSE(exchange.stream->unprocessed());
  EXPECT_TRUE(connection().reusable());
}

TEST_F(H2ClientTunnelTest, ItOutlivesTheUpstreamsGoaway) {
  H2Exchange& exchange = OpenTunnel();
  server().GoAway(1);
  ASSERT_TRUE(Until([&] { return owner_.unusable == 1; }));
  EXPECT_FALSE(connection().reusable());
  EXPECT_TRUE(Await(exchange.stream->SendBody(Chunk("ping", false))).ok());
  ASSERT_TRUE(Until([&] { return Seen(1).body == "ping"; }));
  server().Write(1, "pong");
  EXPECT_EQ(Await(exchange.stream->ReadBody())->bytes, "pong");
  EXPECT_EQ(owner_.ended, 0);
  End(exchange);
  EXPECT_TRUE(Until([&] { return owner_.ended == 1; }));
}

TEST_F(H2ClientTunnelTest, NoneIsAskedForBeforeTheServerHasSaidThatItTakesThem) {
  Open({.settings = false});
  H2Exchange& exchange = BeginTunnel();
  event::Task<absl::Status> sent = Waits(exchange);
  SayWhetherTunnelsAreTaken(true);
  ASSERT_TRUE(Until([&] { return sent.done(); }));
  EXPECT_TRUE(sent.Take().ok());
  ASSERT_TRUE(Until([&] { return server().requests().size() == 1; }));
  EXPECT_EQ(Seen(1)[":protocol"], "websocket");
}

TEST_F(H2ClientTunnelTest, WhoWaitsForThatMayLeave) {
  Open({.settings = false});
  H2Exchange& exchange = BeginTunnel();
  event::Task<absl::Status> sent = Waits(exchange);
  exchange.scope.Request(absl::CancelledError("the client left"));
  ASSERT_TRUE(Until([&] { return sent.done(); }));
  EXPECT_TRUE(absl::IsCancelled(sent.Take()));
  End(exchange);
  SayWhetherTunnelsAreTaken(true);
  EXPECT_TRUE(server().requests().empty());
}

TEST_F(H2ClientTunnelTest, AnUpstreamThatLeavesInsteadHasRefusedIt) {
  Open({.settings = false});
  H2Exchange& exchange = BeginTunnel();
  event::Task<absl::Status> sent = Waits(exchange);
  server().Close();
  ASSERT_TRUE(Until([&] { return sent.done(); }));
  EXPECT_TRUE(absl::IsUnavailable(sent.Take()));
  // Nothing was sent: another one may be asked.
  EXPECT_TRUE(exchange.stream->refused());
}

TEST_F(H2ClientTunnelTest, ATunnelThatTheServerDoesNotTake) {
  Open();
  H2Exchange& exchange = BeginTunnel();
  EXPECT_TRUE(absl::IsFailedPrecondition(SendHandshake(exchange)));
  EXPECT_TRUE(absl::IsFailedPrecondition(Await(exchange.stream->ReadHead()).status()));
  EXPECT_FALSE(exchange.stream->unprocessed());
  EXPECT_TRUE(server().requests().empty());
}

TEST_F(H2ClientTunnelTest, ATunnelThatIsRefused) {
  Open({.takes_tunnels = true});
  H2Exchange& exchange = BeginTunnel();
  EXPECT_TRUE(SendHandshake(exchange).ok());
  Turn();
  server().Respond(1, {{":status", "403"}, {"content-length", "2"}}, "no");
  EXPECT_TRUE(Await(Read(exchange)).ok());
  EXPECT_EQ(exchange.response->status, 403);
  EXPECT_EQ(exchange.body, "no");
}

}  // namespace
}  // namespace portico::upstream
