// An upstream connection against a peer that the test plays by hand.
#include "dataplane/upstream/h1_client_connection.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "dataplane/upstream/h1_client_fixture.h"

namespace portico::upstream {
namespace {

constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

TEST_F(ClientTest, ServesExchangesOneAfterAnother) {
  for (int i = 0; i < 3; ++i) {
    Begin();
    EXPECT_EQ(owner_.connection->OpenStream(*scope_, arena_), nullptr);
    EXPECT_EQ(owner_.connection->open_streams(), 1u);
    ASSERT_TRUE(SendHead(Request()).ok());
    EXPECT_EQ(PeerReceives(20), "GET /p HTTP/1.1\r\nHost: up\r\n\r\n");
    PeerSends("HTTP/1.1 200 Fine\r\nX: y\r\nConnection: z\r\nZ: 1\r\nContent-Length: 2\r\n\r\nok");
    const absl::StatusOr<http::ResponseHead*> head = ReadHead();
    ASSERT_TRUE(head.ok()) << head.status();
    EXPECT_EQ((*head)->status, 200);
    EXPECT_EQ((*head)->reason, "Fine");
    EXPECT_EQ((*head)->headers.Find("x")->value, "y");
    EXPECT_EQ((*head)->headers.Find("z"), nullptr);
    EXPECT_TRUE(stream_->BodyBuffered());
    EXPECT_EQ(*ReadAll(), "ok");
    EXPECT_FALSE(stream_->unprocessed());
    End();
    ASSERT_TRUE(owner_.connection != nullptr && owner_.connection->reusable());
    EXPECT_EQ(loop_.upstream_buffers().live(), 0u);
  }
  EXPECT_EQ(owner_.connection->streams_opened(), 3u);
}

TEST_F(ClientTest, ResponsesInEverySplit) {
  const std::string response =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;e\r\nde\r\n0\r\nT: v\r\n\r\n";
  for (size_t split = 1; split < response.size(); ++split) {
    Begin();
    ASSERT_TRUE(SendHead(Request()).ok());
    PeerSends(std::string_view(response).substr(0, split));
    // The second part arrives while the first is read.
    event::Task<absl::StatusOr<http::ResponseHead*>> read = event::Started(stream_->ReadHead());
    Turn(2);
    PeerSends(std::string_view(response).substr(split));
    ASSERT_TRUE(Until([&] { return read.done(); }));
    const absl::StatusOr<http::ResponseHead*> head = read.Take();
    ASSERT_TRUE(head.ok()) << head.status();
    EXPECT_EQ((*head)->status, 200);
    ASSERT_EQ(*ReadAll(), "abcde") << split;
    End();
    ASSERT_TRUE(owner_.connection != nullptr && owner_.connection->reusable()) << split;
  }
}

TEST_F(ClientTest, BodiesGoOutFramed) {
  Begin();
  http::RequestHead head = Request(http::Method::kPost, "POST");
  head.body = BodyKind::kChunked;
  ASSERT_TRUE(SendHead(head, "abc", false).ok());
  ASSERT_TRUE(event::RunTask(loop_, stream_->SendBody(Chunk("0123456789", false))).ok());
  ASSERT_TRUE(event::RunTask(loop_, stream_->SendBody(Chunk("", true))).ok());
  const std::string expected =
      "POST /p HTTP/1.1\r\nHost: up\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n";
  EXPECT_EQ(PeerReceives(expected.size()), expected);
  PeerSends(kOk);
  ASSERT_TRUE(ReadHead().ok());
  EXPECT_EQ(*ReadAll(), "ok");
  End();
  ASSERT_TRUE(owner_.connection->reusable());
  Begin();
  head.body = BodyKind::kLength;
  head.content_length = 5;
  ASSERT_TRUE(SendHead(head, "abc", false).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(event::RunTask(loop_, stream_->SendBody(Chunk("toolong", false)))));
  EXPECT_TRUE(absl::IsInvalidArgument(event::RunTask(loop_, stream_->SendBody(Chunk("d", true)))));
  ASSERT_TRUE(event::RunTask(loop_, stream_->SendBody(Chunk("de", false))).ok());
  ASSERT_TRUE(event::RunTask(loop_, stream_->SendBody(Chunk("", true))).ok());
  PeerSends(kOk);
  ASSERT_TRUE(ReadHead().ok());
  EXPECT_EQ(*ReadAll(), "ok");
  End();
  EXPECT_TRUE(owner_.connection->reusable());
}

TEST_F(ClientTest, HeadResponsesHaveNoBody) {
  Begin();
  ASSERT_TRUE(SendHead(Request(http::Method::kHead, "HEAD")).ok());
  PeerSends("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
  ASSERT_TRUE(ReadHead().ok());
  EXPECT_EQ(*ReadAll(), "");
  End();
  EXPECT_TRUE(owner_.connection->reusable());
}

TEST_F(ClientTest, ConnectionsThatMayNotLiveOn) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", "ok"},
      {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"},
      // Bytes that nobody asked for.
      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n", "ok"},
      {"HTTP/1.1 204 No Content\r\n\r\nbody", ""},
  };
  for (const auto& [response, body] : cases) {
    EXPECT_FALSE(Exchange(response, body)) << response;
    EXPECT_TRUE(Until([&] { return owner_.connection == nullptr; }));
    Open({});
  }
}

TEST_F(ClientTest, BodyUntilClose) {
  Begin();
  ASSERT_TRUE(SendHead(Request()).ok());
  PeerSends("HTTP/1.1 200 OK\r\n\r\nall of it");
  ASSERT_TRUE(ReadHead().ok());
  peer_->ShutdownWrite();
  EXPECT_EQ(*ReadAll(), "all of it");
  End();
  EXPECT_TRUE(Until([&] { return owner_.connection == nullptr; }));
}

TEST_F(ClientTest, PeerThatLeavesWhileItRestsIsNoticed) {
  ASSERT_TRUE(Exchange(kOk, "ok"));
  peer_.reset();
  ASSERT_TRUE(Until([&] { return owner_.connection == nullptr; }));
  EXPECT_EQ(owner_.unusable, 1);
}

TEST_F(ClientTest, UnsolicitedBytesEndIt) {
  ASSERT_TRUE(Exchange(kOk, "ok"));
  PeerSends("HTTP/1.1 408 Request Timeout\r\n\r\n");
  ASSERT_TRUE(Until([&] { return owner_.connection == nullptr; }));
  EXPECT_EQ(owner_.unusable, 1);
}

TEST_F(ClientTest, MoreThanTheBodyIsNoticedAlthoughItWasNotReceived) {
  const std::string body(base::BufferPool::kLarge, 'b');
  for (const bool pipes : {false, true}) {
    for (const std::string_view more : {"", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"}) {
      Begin();
      ASSERT_TRUE(SendHead(Request()).ok());
      PeerSends("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n");
      ASSERT_TRUE(ReadHead().ok());
      if (pipes) stream_->UsePipes();
      PeerSends(body + std::string(more));
      ASSERT_TRUE(ReadAll().ok());
      owner_.connection->EndStream(std::exchange(stream_, nullptr));
      EXPECT_EQ(owner_.connection->reusable(), more.empty()) << pipes;
      if (more.empty()) continue;
      ASSERT_TRUE(Until([&] { return owner_.connection == nullptr; }));
      Open({});
    }
  }
}

TEST_F(ClientTest, UnprocessedOnlyOnAReusedConnection) {
  Begin();
  ASSERT_TRUE(SendHead(Request()).ok());
  peer_.reset();
  EXPECT_TRUE(absl::IsUnavailable(ReadHead().status()));
  EXPECT_FALSE(stream_->unprocessed());
  End();
  ASSERT_TRUE(Until([&] { return owner_.connection == nullptr; }));
  Open({});
  ASSERT_TRUE(Exchange(kOk, "ok"));
  Begin();
  ASSERT_TRUE(SendHead(Request()).ok());
  peer_.reset();
  EXPECT_TRUE(absl::IsUnavailable(ReadHead().status()));
  EXPECT_TRUE(stream_->unprocessed());
  End();
  ASSERT_TRUE(Until([&] { return owner_.connection == nullptr; }));
  Open({});
  ASSERT_TRUE(Exchange(kOk, "ok"));
  Begin();
  ASSERT_TRUE(SendHead(Request()).ok());
  PeerSends("HTTP/1.1 2");
  peer_.reset();
  EXPECT_TRUE(absl::IsUnavailable(ReadHead().status()));
  EXPECT_FALSE(stream_->unprocessed());
}

TEST_F(ClientTest, BadResponses) {
  const struct {
    std::string response;
    absl::StatusCode code;
  } cases[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", absl::StatusCode::kInvalidArgument},
      {"HTTP/1.1 101 Switching Protocols\r\n\r\n", absl::StatusCode::kInvalidArgument},
      {"hello", absl::StatusCode::kUnavailable},
      {"\r\n", absl::StatusCode::kInvalidArgument},
      {"HTTP/1.1 200 OK\r\nA: " + std::string(62'000, 'a'), absl::StatusCode::kResourceExhausted},
      {[] {
         std::string many;
         for (int i = 0; i < 20; ++i) many += "HTTP/1.1 100 Continue\r\n\r\n";
         return many;
       }(),
       absl::StatusCode::kInvalidArgument},
  };
  for (const auto& c : cases) {
    Begin();
    ASSERT_TRUE(SendHead(Request()).ok());
    event::Task<absl::StatusOr<http::ResponseHead*>> read = event::Started(stream_->ReadHead());
    PeerSends(c.response);
    if (c.code == absl::StatusCode::kUnavailable) peer_->ShutdownWrite();
    ASSERT_TRUE(Until([&] { return read.done(); }));
    EXPECT_EQ(read.Take().status().code(), c.code) << c.response.substr(0, 40);
    End();
    EXPECT_TRUE(Until([&] { return owner_.connection == nullptr; }));
    Open({});
  }
}

TEST_F(ClientTest, TruncatedAndBrokenBodies) {
  for (const std::string_view response :
       {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcx"}) {
    Begin();
    ASSERT_TRUE(SendHead(Request()).ok());
    PeerSends(response);
    ASSERT_TRUE(ReadHead().ok());
    peer_->ShutdownWrite();
    EXPECT_FALSE(ReadAll().ok()) << response;
    End();
    EXPECT_TRUE(Until([&] { return owner_.connection == nullptr; }));
    Open({});
  }
}

TEST_F(ClientTest, EarlyResponseWhileTheRequestIsSent) {
  Begin();
  http::RequestHead head = Request(http::Method::kPost, "POST");
  head.body = BodyKind::kLength;
  head.content_length = 8 << 20;
  ASSERT_TRUE(SendHead(head, "", false).ok());
  const std::string piece(8 << 20, 'x');
  // The peer does not read it all: the send waits.
  event::Task<absl::Status> send = event::Started(stream_->SendBody(Chunk(piece, true)));
  Turn();
  ASSERT_FALSE(send.done());
  PeerSends("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
  const absl::StatusOr<http::ResponseHead*> response = ReadHead();
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ((*response)->status, 413);
  EXPECT_EQ(*ReadAll(), "no");
  scope_->Request(absl::CancelledError("answered"));
  ASSERT_TRUE(Until([&] { return send.done(); }));
  EXPECT_TRUE(absl::IsCancelled(send.Take()));
  End();
  EXPECT_TRUE(Until([&] { return owner_.connection == nullptr; }));
}

TEST_F(ClientTest, CancellingEndsReadsAndTheConnection) {
  Begin();
  ASSERT_TRUE(SendHead(Request()).ok());
  event::Task<absl::StatusOr<http::ResponseHead*>> read = event::Started(stream_->ReadHead());
  Turn();
  ASSERT_FALSE(read.done());
  scope_->Request(absl::DeadlineExceededError("route timeout"));
  EXPECT_FALSE(read.done());
  ASSERT_TRUE(Until([&] { return read.done(); }));
  EXPECT_TRUE(absl::IsDeadlineExceeded(read.Take().status()));
  End();
  EXPECT_TRUE(Until([&] { return owner_.connection == nullptr; }));
}

TEST_F(ClientTest, IdleTimeout) {
  owner_.connection->Close();
  ASSERT_TRUE(Until([&] { return owner_.connection == nullptr; }));
  H1ClientOptions options;
  options.idle_timeout = 5 * base::kNanosPerSecond;
  Open(options);
  Begin();
  ASSERT_TRUE(SendHead(Request()).ok());
  event::Task<absl::StatusOr<http::ResponseHead*>> read = event::Started(stream_->ReadHead());
  clock_.Advance(6 * base::kNanosPerSecond);
  ASSERT_TRUE(Until([&] { return read.done(); }));
  EXPECT_TRUE(absl::IsDeadlineExceeded(read.Take().status()));
}

TEST_F(ClientTest, ClosingWaitsForTheExchange) {
  Begin();
  ASSERT_TRUE(SendHead(Request()).ok());
  owner_.connection->Close();
  EXPECT_FALSE(owner_.connection->reusable());
  PeerSends(kOk);
  ASSERT_TRUE(ReadHead().ok());
  EXPECT_EQ(*ReadAll(), "ok");
  End();
  EXPECT_TRUE(Until([&] { return owner_.connection == nullptr; }));
  EXPECT_EQ(owner_.unusable, 0);
}

TEST_F(ClientTest, LargeResponseBodiesComeInPieces) {
  Begin();
  ASSERT_TRUE(SendHead(Request()).ok());
  const size_t size = 3 << 20;
  const std::string response = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n" + std::string(size, 'r');
  event::Task<absl::Status> send = event::Started(PeerSendTask(response));
  ASSERT_TRUE(ReadHead().ok());
  EXPECT_LE(loop_.upstream_buffers().live(), 2u);
  EXPECT_EQ(ReadAll()->size(), size);
  ASSERT_TRUE(Until([&] { return send.done(); }));
  EXPECT_TRUE(send.Take().ok());
  End();
  EXPECT_TRUE(owner_.connection->reusable());
}

TEST_F(ClientTest, PiecesAreNoLargerThanTheyAreToBe) {
  constexpr size_t kSize = 3 << 20;
  for (const bool chunked : {false, true}) {
    Begin();
    ASSERT_TRUE(SendHead(Request()).ok());
    std::string response = "HTTP/1.1 200 OK\r\n";
    if (chunked) {
      response += "Transfer-Encoding: chunked\r\n\r\n300000\r\n" + std::string(kSize, 'r') +
                  "\r\n0\r\n\r\n";
    } else {
      response +=
          "Content-Length: " + std::to_string(kSize) + "\r\n\r\n" + std::string(kSize, 'r');
    }
    event::Task<absl::Status> send = event::Started(PeerSendTask(response));
    ASSERT_TRUE(ReadHead().ok());
    size_t size = 0, largest = 0, largest_without = 0;
    for (bool end = false; !end;) {
      const bool limited = size < kSize / 2;
      if (!stream_->BodyBuffered()) stream_->LimitPiece(limited ? 32 * 1024 : 256 * 1024);
      absl::StatusOr<BodyChunk> chunk = event::RunTask(loop_, stream_->ReadBody());
      ASSERT_TRUE(chunk.ok()) << chunk.status();
      size += chunk->size();
      size_t& most = limited ? largest : largest_without;
      most = std::max(most, chunk->owner.capacity());
      end = chunk->end;
    }
    EXPECT_EQ(size, kSize);
    // The first receives may come before the limit.
    EXPECT_LE(largest, 64u * 1024);
    EXPECT_GT(largest_without, 64u * 1024);
    ASSERT_TRUE(Until([&] { return send.done(); }));
    EXPECT_TRUE(send.Take().ok());
    End();
  }
}

TEST_F(ClientTest, Tunnel) {
  Begin();
  http::RequestHead head = Request();
  head.upgrade = "websocket";
  ASSERT_TRUE(SendHead(head).ok());
  const std::string sent = PeerReceives(60);
  EXPECT_NE(sent.find("\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), std::string::npos)
      << sent;
  PeerSends(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nfirst");
  const absl::StatusOr<http::ResponseHead*> response = ReadHead();
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ((*response)->status, 101);
  EXPECT_EQ((*response)->headers.Find(http::HeaderId::kUpgrade), nullptr);
  absl::StatusOr<BodyChunk> chunk = event::RunTask(loop_, stream_->ReadBody());
  ASSERT_TRUE(chunk.ok());
  EXPECT_EQ(chunk->bytes, "first");
  chunk = BodyChunk();
  ASSERT_TRUE(event::RunTask(loop_, stream_->SendBody(Chunk("ab", false))).ok());
  EXPECT_EQ(PeerReceives(2), "ab");
  // Half-close: the other direction goes on.
  ASSERT_TRUE(event::RunTask(loop_, stream_->SendBody(Chunk("c", true))).ok());
  EXPECT_EQ(PeerReceives(100), "c");
  PeerSends("last");
  peer_->ShutdownWrite();
  EXPECT_EQ(*ReadAll(), "last");
  End();
  EXPECT_TRUE(Until([&] { return owner_.connection == nullptr; }));
}

}  // namespace
}  // namespace portico::upstream
