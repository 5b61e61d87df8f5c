// Tunnels of HTTP/2 clients (extended CONNECT, RFC 8441), and what becomes of their streams.
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <string>
#include <utility>

#include "dataplane/downstream/h2_test_support.h"

namespace portico::downstream {
namespace {

H2FieldPairs Handshake(const std::string& path) {
  return {{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "http"},
          {":authority", "h"},    {":path", path},            {"sec-websocket-version", "13"}};
}

event::Task<absl::Status> SwitchProtocols(http::ServerStream& stream) {
  http::ResponseHead head(stream.arena());
  head.status = 101;
  head.headers.Add("Sec-WebSocket-Accept", "x");
  head.headers.Add("Sec-WebSocket-Protocol", "chat");
  co_return co_await stream.SendHead(head, BodyChunk());
}

class H2TunnelTest : public H2ConnectionTest {
 protected:
  // A tunnel that is open.
  int32_t Open(const std::string& path = "/tunnel") {
    const int32_t id = client_->Request(Handshake(path), /*end=*/false);
    EXPECT_TRUE(Until([&] { return client_->streams[id].headed; }));
    EXPECT_EQ(client_->streams[id].status, 200);
    return id;
  }
  bool Receives(int32_t id, const std::string& body) {
    return Until([&] { return client_->streams[id].body == body; }, 20000);
  }
  // The connection goes on.
  void ExpectServes() {
    const int32_t id = client_->Request(H2Get("/"));
    ASSERT_TRUE(Closed(id));
    EXPECT_EQ(client_->streams[id].body, "hello");
  }
};

TEST_F(H2TunnelTest, SwitchingProtocolsIsA200WithoutWhatIsOfHttp1) {
  Connect();
  handler_.custom = [](http::ServerStream& stream) -> event::Task<void> {
    EXPECT_EQ(stream.request().upgrade, "websocket");
    EXPECT_EQ(stream.request().method_text, "GET");
    const absl::Status switched = co_await SwitchProtocols(stream);
    EXPECT_TRUE(switched.ok()) << switched;
    const absl::StatusOr<BodyChunk> piece = co_await stream.ReadBody();
    EXPECT_TRUE(piece.ok() && piece->end);
    BodyChunk end;
    end.end = true;
    const absl::Status sent = co_await stream.SendBody(std::move(end));
    EXPECT_TRUE(sent.ok()) << sent;
  };
  const int32_t id = Open("/custom");
  // Whoever asks has been told that it may.
  EXPECT_EQ(nghttp2_session_get_remote_settings(client_->session(),
                                                NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL),
            1u);
  const auto& stream = client_->streams[id];
  EXPECT_EQ(stream.informational, 0);
  EXPECT_FALSE(stream.ended);
  EXPECT_EQ(stream.fields.count("sec-websocket-protocol"), 1u);
  for (const char* field : {"sec-websocket-accept", "upgrade", "connection", "content-length"}) {
    EXPECT_EQ(stream.fields.count(field), 0u) << field;
  }
  client_->SendBody(id, "", /*end=*/true);
  ASSERT_TRUE(Closed(id));
  EXPECT_EQ(stream.error, static_cast<uint32_t>(NGHTTP2_NO_ERROR));
}

TEST_F(H2TunnelTest, BytesGoBothWaysUntilTheClientEndsItsSide) {
  Connect();
  const int32_t id = Open();
  client_->SendBody(id, "ping", false);
  ASSERT_TRUE(Receives(id, "ping"));
  // More than all windows hold.
  std::string all = "ping" + std::string(2'000'000, 'x');
  for (size_t i = 4; i < all.size(); ++i) all[i] = static_cast<char>(i * 7);
  client_->SendBody(id, all.substr(4), false);
  ASSERT_TRUE(Receives(id, all));
  EXPECT_FALSE(connection_->idle());
  EXPECT_FALSE(client_->streams[id].ended);
  ExpectServes();
  client_->SendBody(id, "", /*end=*/true);
  ASSERT_TRUE(Closed(id));
  EXPECT_EQ(client_->streams[id].body, all + "bye");
  EXPECT_TRUE(client_->streams[id].ended);
  EXPECT_EQ(client_->streams[id].error, static_cast<uint32_t>(NGHTTP2_NO_ERROR));
  EXPECT_EQ(handler_.read_bytes, all.size());
  EXPECT_TRUE(observer_.errors.empty());
}

TEST_F(H2TunnelTest, TheOtherSideMayEndFirst) {
  Connect();
  std::string read;
  handler_.custom = [&read](http::ServerStream& stream) -> event::Task<void> {
    const absl::Status switched = co_await SwitchProtocols(stream);
    EXPECT_TRUE(switched.ok()) << switched;
    BodyChunk bye;
    bye.bytes = "bye";
    bye.end = true;
    const absl::Status sent = co_await stream.SendBody(std::move(bye));
    EXPECT_TRUE(sent.ok()) << sent;
    bool end = false;
    while (!end) {
      const absl::StatusOr<BodyChunk> piece = co_await stream.ReadBody();
      EXPECT_TRUE(piece.ok()) << piece.status();
      if (!piece.ok()) co_return;
      read += piece->bytes;
      end = piece->end;
    }
  };
  const int32_t id = Open("/custom");
  ASSERT_TRUE(Until([&] { return client_->streams[id].ended; }));
  EXPECT_EQ(client_->streams[id].body, "bye");
  // Long after, as the connection does not look at how long a tunnel is quiet.
  Pass(1000 * base::kNanosPerSecond);
  EXPECT_FALSE(client_->streams[id].closed);
  client_->SendBody(id, "still ", false);
  ASSERT_TRUE(Until([&] { return read == "still "; }));
  client_->SendBody(id, "here", /*end=*/true);
  ASSERT_TRUE(Until([&] { return read == "still here"; }));
  ASSERT_TRUE(Closed(id));
  EXPECT_EQ(client_->streams[id].error, static_cast<uint32_t>(NGHTTP2_NO_ERROR));
}

TEST_F(H2TunnelTest, WhatIsSentBeforeTheAnswerBelongsToTheTunnel) {
  Connect();
  handler_.hold = true;
  const int32_t id = client_->Request(Handshake("/tunnel"), /*end=*/false, "early");
  Turn();
  client_->SendBody(id, " more", false);
  Turn();
  EXPECT_FALSE(client_->streams[id].headed);
  Pass(base::kNanosPerSecond);
  ASSERT_TRUE(Receives(id, "early more"));
}

TEST_F(H2TunnelTest, ARefusalIsPassedOn) {
  Connect();
  bool nothing_to_read = false;
  handler_.custom = [&](http::ServerStream& stream) -> event::Task<void> {
    // Where there is no tunnel there is no body.
    const absl::StatusOr<BodyChunk> piece = co_await stream.ReadBody();
    nothing_to_read = piece.ok() && piece->end && piece->bytes.empty();
    http::ResponseHead head(stream.arena());
    head.status = 403;
    co_await handler_.Send(stream, head, "no");
  };
  const int32_t id = client_->Request(Handshake("/custom"), /*end=*/false, "early");
  ASSERT_TRUE(Closed(id));
  EXPECT_EQ(client_->streams[id].status, 403);
  EXPECT_EQ(client_->streams[id].body, "no");
  EXPECT_TRUE(client_->streams[id].ended);
  EXPECT_EQ(client_->streams[id].error, static_cast<uint32_t>(NGHTTP2_NO_ERROR));
  EXPECT_TRUE(nothing_to_read);
  ExpectServes();
}

TEST_F(H2TunnelTest, AbortIsTheResetOfATcpConnection) {
  Connect();
  handler_.custom = [](http::ServerStream& stream) -> event::Task<void> {
    const absl::Status switched = co_await SwitchProtocols(stream);
    EXPECT_TRUE(switched.ok()) << switched;
    const absl::StatusOr<BodyChunk> piece = co_await stream.ReadBody();
    EXPECT_TRUE(piece.ok()) << piece.status();
    stream.Abort();
  };
  const int32_t id = Open("/custom");
  client_->SendBody(id, "x", false);
  ASSERT_TRUE(Closed(id));
  // RFC 8441 section 5.
  EXPECT_EQ(client_->streams[id].error, static_cast<uint32_t>(NGHTTP2_CANCEL));
  EXPECT_FALSE(client_->streams[id].ended);
  ExpectServes();
}

TEST_F(H2TunnelTest, AResetOfTheClientEndsIt) {
  Connect();
  const int32_t id = Open();
  client_->Reset(id);
  ASSERT_TRUE(Until([&] { return handler_.open == 0; }));
  EXPECT_TRUE(absl::IsCancelled(handler_.last_status)) << handler_.last_status;
  ExpectServes();
}

TEST_F(H2TunnelTest, ItOutlivesTheDrainOfItsConnection) {
  Connect();
  const int32_t id = Open();
  connection_->Drain();
  Pass(base::kNanosPerSecond);
  ASSERT_TRUE(Until([&] { return client_->goaways.size() == 2; }));
  EXPECT_EQ(client_->goaways[1].last, id);
  Pass(60 * base::kNanosPerSecond);
  client_->SendBody(id, "late", false);
  ASSERT_TRUE(Receives(id, "late"));
  EXPECT_FALSE(client_->end);
  client_->SendBody(id, "", /*end=*/true);
  ASSERT_TRUE(Ended());
  EXPECT_TRUE(client_->end);
  EXPECT_EQ(client_->streams[id].body, "latebye");
  EXPECT_EQ(client_->streams[id].error, static_cast<uint32_t>(NGHTTP2_NO_ERROR));
}

TEST_F(H2TunnelTest, TheEndOfTheProxyIsNoReset) {
  Connect();
  const int32_t id = Open();
  client_->SendBody(id, "x", false);
  ASSERT_TRUE(Receives(id, "x"));
  connection_->ForceClose(absl::UnavailableError("the proxy is stopping"));
  ASSERT_TRUE(Ended());
  EXPECT_TRUE(client_->end);
  EXPECT_FALSE(client_->reset);
  EXPECT_FALSE(client_->streams[id].ended);  // It was cut, after all.
  EXPECT_TRUE(absl::IsUnavailable(handler_.last_status)) << handler_.last_status;
}

}  // namespace
}  // namespace portico::downstream
