// An HTTP/2 connection to an upstream against a server of nghttp2: messages.
#include "dataplane/upstream/h2_client_connection.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "dataplane/upstream/h2_client_fixture.h"

namespace portico::upstream {
namespace {

using http::BodyKind;
using Fields = H2TestFields;

// Gives what has come in pieces, as a TLS stream does: each further one at once, when it is asked.
class PiecemealStream final : public net::ByteStream {
 public:
  PiecemealStream(event::Loop& loop, std::unique_ptr<net::ByteStream> inner)
      : loop_(loop), inner_(std::move(inner)) {
    inner_receive_.context = this;
    inner_receive_.on_complete = &OnReceived;
    inner_receive_.pool = &loop.upstream_buffers();
  }
  void StartReceive(event::ReceiveOperation& op) override {
    event::OperationAccess::Begin(op, event::Operation::Kind::kReceive);
    if (!kept_.empty()) return loop_.CompleteLater(op, Give(op));
    waiting_ = &op;
    inner_->StartReceive(inner_receive_);
  }
  void StartSend(event::SendOperation& op) override { inner_->StartSend(op); }
  void StartHangUpWatch(event::HangUpOperation& op) override { inner_->StartHangUpWatch(op); }
  void Cancel(event::Operation& op) override {
    inner_->Cancel(&op == waiting_ ? static_cast<event::Operation&>(inner_receive_) : op);
  }
  void ShutdownWrite() override { inner_->ShutdownWrite(); }
  void Abort() override { inner_->Abort(); }
  net::SocketAddress peer() const override { return inner_->peer(); }
  net::SocketAddress local() const override { return inner_->local(); }

 private:
  static void OnReceived(event::Operation& op) {
    PiecemealStream& self = *static_cast<PiecemealStream*>(op.context);
    event::ReceiveOperation& waiting = *std::exchange(self.waiting_, nullptr);
    self.kept_.append(self.inner_receive_.buffer.view());
    self.inner_receive_.buffer.Reset();
    const int32_t result = op.result() > 0 ? self.Give(waiting) : op.result();
    event::OperationAccess::Complete(waiting, result);
  }
  int32_t Give(event::ReceiveOperation& op) {
    const size_t size = std::min<size_t>(kept_.size(), 1000);
    op.buffer = op.pool->Allocate();
    std::copy_n(kept_.data(), size, op.buffer.data());
    op.buffer.set_size(size);
    kept_.erase(0, size);
    return static_cast<int32_t>(size);
  }

  event::Loop& loop_;
  std::unique_ptr<net::ByteStream> inner_;
  event::ReceiveOperation inner_receive_;
  event::ReceiveOperation* waiting_ = nullptr;
  std::string kept_;
};

// Once the connection dropped what was there before it had asked.
TEST_F(H2ClientTest, NothingOfARecordIsLost) {
  wrap_ = [this](std::unique_ptr<net::ByteStream> inner) {
    return std::make_unique<PiecemealStream>(loop_, std::move(inner));
  };
  Open();
  H2Exchange& exchange = Begin();
  event::Spawn(Run(exchange));
  Turn();
  std::string body(50'000, 'x');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 7);
  server().Respond(1, {{":status", "200"}}, body);
  ASSERT_TRUE(Ends(exchange));
  ASSERT_TRUE(exchange.status.ok()) << exchange.status;
  EXPECT_TRUE(exchange.body == body);
}

TEST_F(H2ClientTest, ARequestAndItsResponse) {
  Open();
  H2Exchange& exchange = Begin();
  exchange.head.headers.Add("X-Mixed", "v");
  event::Spawn(Run(exchange));
  Turn();
  const H2TestRequest& seen = Seen(1);
  EXPECT_TRUE(seen.ended);
  EXPECT_EQ(seen[":method"], "GET");
  EXPECT_EQ(seen[":scheme"], "http");
  EXPECT_EQ(seen[":authority"], "up.example");
  EXPECT_EQ(seen[":path"], "/p");
  EXPECT_EQ(seen["x-mixed"], "v");
  server().Respond(1, {{":status", "200"}, {"content-length", "5"}, {"x", "y"}}, "hello");
  ASSERT_TRUE(Ends(exchange));
  ASSERT_TRUE(exchange.status.ok()) << exchange.status;
  EXPECT_EQ(exchange.response->status, 200);
  EXPECT_EQ(exchange.response->body, BodyKind::kLength);
  EXPECT_EQ(exchange.response->content_length, 5u);
  EXPECT_EQ(exchange.response->headers.Find("x")->value, "y");
  EXPECT_EQ(exchange.body, "hello");
  End(exchange);
  Turn();
  EXPECT_TRUE(Seen(1).closed);
  EXPECT_EQ(Seen(1).error_code, 0u);
  EXPECT_TRUE(connection().reusable());
  EXPECT_EQ(connection().open_streams(), 0u);
}

TEST_F(H2ClientTest, ManyExchangesAtATime) {
  Open();
  std::vector<H2Exchange*> all;
  for (int i = 0; i < 50; ++i) {
    H2Exchange& exchange = Begin();
    event::Spawn(Run(exchange));
    all.push_back(&exchange);
  }
  EXPECT_EQ(connection().open_streams(), 50u);
  Turn();
  ASSERT_EQ(server().requests().size(), 50u);
  for (int i = 49; i >= 0; --i) {
    server().Respond(2 * i + 1, {{":status", "200"}},
                     std::string(1000, static_cast<char>('a' + i % 26)));
  }
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(Ends(*all[i]));
    EXPECT_TRUE(all[i]->status.ok()) << all[i]->status;
    EXPECT_EQ(all[i]->body, std::string(1000, static_cast<char>('a' + i % 26)));
    End(*all[i]);
  }
  EXPECT_EQ(connection().streams_opened(), 50u);
}

TEST_F(H2ClientTest, AResponseWithoutABody) {
  Open();
  H2Exchange& exchange = Get();
  server().Respond(1, {{":status", "204"}}, "");
  ASSERT_TRUE(Ends(exchange));
  EXPECT_EQ(exchange.response->status, 204);
  EXPECT_EQ(exchange.response->body, BodyKind::kNone);
}

TEST_F(H2ClientTest, InformationalResponsesArePassedOver) {
  Open();
  H2Exchange& exchange = Get();
  for (int i = 0; i < 16; ++i) {
    const nghttp2_nv field = {reinterpret_cast<uint8_t*>(const_cast<char*>(":status")),
                              reinterpret_cast<uint8_t*>(const_cast<char*>("103")), 7, 3, 0};
    nghttp2_submit_headers(server().session(), NGHTTP2_FLAG_NONE, 1, nullptr, &field, 1, nullptr);
    Turn();
  }
  server().Respond(1, {{":status", "200"}}, "x");
  ASSERT_TRUE(Ends(exchange));
  EXPECT_TRUE(exchange.status.ok()) << exchange.status;
  EXPECT_EQ(exchange.response->status, 200);
}

TEST_F(H2ClientTest, TooManyInformationalResponses) {
  Open();
  H2Exchange& exchange = Get();
  for (int i = 0; i < 17; ++i) {
    const nghttp2_nv field = {reinterpret_cast<uint8_t*>(const_cast<char*>(":status")),
                              reinterpret_cast<uint8_t*>(const_cast<char*>("103")), 7, 3, 0};
    nghttp2_submit_headers(server().session(), NGHTTP2_FLAG_NONE, 1, nullptr, &field, 1, nullptr);
    Turn();
  }
  ASSERT_TRUE(Ends(exchange));
  EXPECT_TRUE(absl::IsInvalidArgument(exchange.status)) << exchange.status;
}

TEST_F(H2ClientTest, ARequestWithABody) {
  Open();
  H2Exchange& exchange = BeginPost(BodyKind::kLength, 11);
  EXPECT_TRUE(Await(exchange.stream->SendHead(exchange.head, Chunk("hello ", false))).ok());
  EXPECT_TRUE(Await(exchange.stream->SendBody(Chunk("world", true))).ok());
  Turn();
  EXPECT_EQ(Seen(1)["content-length"], "11");
  EXPECT_EQ(Seen(1).body, "hello world");
  EXPECT_TRUE(Seen(1).ended);
  EXPECT_TRUE(Await(exchange.stream->SendBody(Chunk("", true))).ok());
  EXPECT_FALSE(Await(exchange.stream->SendBody(Chunk("more", true))).ok());
}

TEST_F(H2ClientTest, ABodyMustHaveItsLength) {
  Open();
  H2Exchange& longer = BeginPost(BodyKind::kLength, 3);
  EXPECT_TRUE(
      absl::IsInvalidArgument(Await(longer.stream->SendHead(longer.head, Chunk("hello", false)))));
  H2Exchange& shorter = BeginPost(BodyKind::kLength, 30);
  EXPECT_TRUE(Await(shorter.stream->SendHead(shorter.head, Chunk("hello", false))).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(Await(shorter.stream->SendBody(Chunk("x", true)))));
}

TEST_F(H2ClientTest, ALargeBodyWaitsForTheWindow) {
  Open({.stream_window = 1000, .opens_windows = false});
  Turn();
  H2Exchange& exchange = BeginPost();
  EXPECT_TRUE(Await(exchange.stream->SendHead(exchange.head, Chunk("", false))).ok());
  const std::string body(100'000, 'b');
  event::Task<absl::Status> sending = event::Started(exchange.stream->SendBody(Chunk(body, true)));
  Turn(20);
  EXPECT_FALSE(sending.done());
  EXPECT_EQ(Seen(1).body.size(), 1000u);
  size_t consumed = 0;
  ASSERT_TRUE(Until([&] {
    const size_t there = Seen(1).body.size();
    nghttp2_session_consume(server().session(), 1, there - consumed);
    consumed = there;
    return sending.done();
  }));
  EXPECT_TRUE(sending.Take().ok());
  Turn(20);
  EXPECT_EQ(Seen(1).body, body);
  EXPECT_TRUE(Seen(1).ended);
}

TEST_F(H2ClientTest, TrailersBothWays) {
  Open();
  H2Exchange& exchange = BeginPost();
  http::HeaderList trailers(exchange.arena);
  trailers.Add("X-Sum", "12");
  http::BodyChunk last = Chunk("body", true);
  last.trailers = &trailers;
  EXPECT_TRUE(Await(exchange.stream->SendHead(exchange.head, Chunk("", false))).ok());
  EXPECT_TRUE(Await(exchange.stream->SendBody(std::move(last))).ok());
  Turn();
  EXPECT_EQ(Seen(1).body, "body");
  EXPECT_TRUE(Seen(1).ended);
  EXPECT_EQ(Seen(1).trailers, (Fields{{"x-sum", "12"}}));
  server().Respond(1, {{":status", "200"}}, "answer", {{"grpc-status", "0"}, {"x", "y"}});
  EXPECT_TRUE(Await(Read(exchange)).ok());
  EXPECT_EQ(exchange.body, "answer");
  EXPECT_EQ(exchange.trailers, (Fields{{"grpc-status", "0"}, {"x", "y"}}));
}

TEST_F(H2ClientTest, TrailersAlone) {
  Open();
  H2Exchange& exchange = BeginPost();
  http::HeaderList trailers(exchange.arena);
  trailers.Add("x", "1");
  EXPECT_TRUE(Await(exchange.stream->SendHead(exchange.head, Chunk("", false))).ok());
  http::BodyChunk last = Chunk("", true);
  last.trailers = &trailers;
  EXPECT_TRUE(Await(exchange.stream->SendBody(std::move(last))).ok());
  Turn();
  EXPECT_TRUE(Seen(1).ended);
  EXPECT_EQ(Seen(1).trailers.size(), 1u);
  server().Respond(1, {{":status", "200"}}, "", {{"grpc-status", "5"}});
  EXPECT_TRUE(Await(Read(exchange)).ok());
  EXPECT_EQ(exchange.trailers, (Fields{{"grpc-status", "5"}}));
}

TEST_F(H2ClientTest, ASlowReaderHoldsNoMoreThanItsWindow) {
  Open();
  H2Exchange& slow = Begin();
  EXPECT_TRUE(Await(slow.stream->SendHead(slow.head, Chunk("", true))).ok());
  Turn();
  server().Respond(1, {{":status", "200"}}, std::string(1 << 20, 's'));
  Turn(200);
  // What is there is a window's worth; buffers may be larger than what they hold.
  EXPECT_LE(loop_.upstream_buffers().live_bytes(), 4u * 64 * 1024);
  // Others are not kept waiting.
  H2Exchange& other = Get();
  server().Respond(3, {{":status", "200"}}, std::string(1 << 20, 'o'));
  ASSERT_TRUE(Ends(other));
  EXPECT_EQ(other.body, std::string(1 << 20, 'o'));
  EXPECT_TRUE(Await(Read(slow)).ok());
  EXPECT_EQ(slow.body, std::string(1 << 20, 's'));
}

TEST_F(H2ClientTest, SmallPiecesAreKeptTogether) {
  Open();
  H2Exchange& slow = Begin();
  EXPECT_TRUE(Await(slow.stream->SendHead(slow.head, Chunk("", true))).ok());
  Turn();
  server().RespondHead(1, {{":status", "200"}});
  for (int i = 0; i < 2000; ++i) {
    server().Write(1, "0123456789");
    Turn(2);
  }
  server().End(1);
  Turn();
  EXPECT_LE(loop_.upstream_buffers().live_bytes(), 4u * 64 * 1024);
  EXPECT_TRUE(Await(Read(slow)).ok());
  EXPECT_EQ(slow.body.size(), 20'000u);
}

TEST_F(H2ClientTest, MalformedResponses) {
  const std::vector<Fields> cases = {
      {},
      {{":status", "20"}},
      {{":status", "abc"}},
      {{":status", "101"}},
      {{":status", "200"}, {":status", "200"}},
      {{":status", "200"}, {"connection", "close"}},
      {{":status", "200"}, {"transfer-encoding", "chunked"}},
      {{":status", "200"}, {"content-length", "x"}},
      {{":status", "200"}, {"content-length", "1"}, {"content-length", "2"}},
      {{":status", "200"}, {":path", "/"}},
      {{":status", "200"}, {"a", "b\r\nset-cookie: c"}},
      {{":status", "200"}, {"a", std::string("b\0c", 3)}},
      {{":status", "200"}, {"a b", "c"}},
      {{"a", "b"}, {":status", "200"}},
      {{":status", "200"}, {"content-length", "5"}},  // The body has 3.
      {{":status", "200"}, {"content-length", "2"}},
  };
  Open();
  int32_t number = 1;
  for (const Fields& fields : cases) {
    H2Exchange& exchange = Get();
    server().Respond(number, fields, "abc");
    ASSERT_TRUE(Ends(exchange)) << number;
    EXPECT_TRUE(absl::IsInvalidArgument(exchange.status)) << number << ": " << exchange.status;
    EXPECT_FALSE(exchange.stream->unprocessed());
    End(exchange);
    Turn();
    EXPECT_TRUE(Seen(number).closed);
    number += 2;
  }
  // The others are served all the same.
  H2Exchange& exchange = Get();
  server().Respond(number, {{":status", "200"}}, "fine");
  ASSERT_TRUE(Ends(exchange));
  EXPECT_TRUE(exchange.status.ok()) << exchange.status;
}

TEST_F(H2ClientTest, UpperCaseNamesAreMalformed) {
  Open();
  H2Exchange& exchange = Get();
  // Literal without indexing: ":status: 200" is indexed, then "Ab: c".
  server().WriteFrame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1,
                      std::string("\x88\x00\x02"
                                  "Ab\x01"
                                  "c",
                                  7));
  ASSERT_TRUE(Ends(exchange));
  EXPECT_TRUE(absl::IsInvalidArgument(exchange.status)) << exchange.status;
}

TEST_F(H2ClientTest, HeadsAreBounded) {
  Open();
  H2Exchange& large = Get();
  server().Respond(
      1, {{":status", "200"}, {"a", std::string(30'000, 'a')}, {"b", std::string(32'000, 'b')}},
      "");
  ASSERT_TRUE(Ends(large));
  EXPECT_TRUE(absl::IsResourceExhausted(large.status)) << large.status;
  End(large);
  H2Exchange& many = Get();
  Fields fields = {{":status", "200"}};
  for (int i = 0; i < 101; ++i) fields.emplace_back("f" + std::to_string(i), "v");
  server().Respond(3, fields, "");
  ASSERT_TRUE(Ends(many));
  EXPECT_TRUE(absl::IsResourceExhausted(many.status)) << many.status;
  EXPECT_TRUE(connection().reusable());
}

TEST_F(H2ClientTest, AHeadRequestHasALengthAndNoBody) {
  Open();
  H2Exchange& exchange = Begin(http::Method::kHead, "HEAD");
  event::Spawn(Run(exchange));
  Turn();
  server().Respond(1, {{":status", "200"}, {"content-length", "1234"}}, "");
  ASSERT_TRUE(Ends(exchange));
  EXPECT_TRUE(exchange.status.ok()) << exchange.status;
  EXPECT_EQ(exchange.response->body, BodyKind::kNone);
  EXPECT_EQ(exchange.response->headers.Find(http::HeaderId::kContentLength)->value, "1234");
}

TEST_F(H2ClientTest, FieldsThatCannotBeSent) {
  Open();
  H2Exchange& exchange = Begin();
  exchange.head.headers.Add("x", "a\r\nb");
  EXPECT_TRUE(
      absl::IsInvalidArgument(Await(exchange.stream->SendHead(exchange.head, Chunk("", true)))));
}

}  // namespace
}  // namespace portico::upstream
