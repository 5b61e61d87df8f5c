// The bridge between grpc-web and gRPC, piece by piece, before a stream that the test plays.
#include "dataplane/proxy/grpc_web_stream.h"

#include <gtest/gtest.h>

#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/base/fake_clock.h"
#include "dataplane/event/frame_pool.h"
#include "dataplane/event/run_task.h"

namespace portico::proxy {
namespace {

using http::BodyChunk;
using http::HeaderId;

class FakeStream final : public http::ServerStream {
 public:
  http::RequestHead& request() override { return request_; }
  base::Arena& arena() override { return arena_; }
  void LimitBody(uint64_t) override {}
  event::Task<absl::StatusOr<BodyChunk>> ReadBody() override {
    BodyChunk chunk;
    chunk.bytes = arena_.Copy(pieces.front());
    pieces.pop_front();
    chunk.end = pieces.empty();
    co_return std::move(chunk);
  }
  bool BodyBuffered() const override { return true; }
  event::Task<absl::Status> SendHead(const http::ResponseHead& head, BodyChunk first) override {
    sent_head = &head;
    return SendBody(std::move(first));
  }
  event::Task<absl::Status> SendBody(BodyChunk chunk) override {
    EXPECT_FALSE(ended);
    EXPECT_EQ(chunk.trailers, nullptr);
    ended = chunk.end;
    if (!chunk.bytes.empty()) sent.emplace_back(chunk.bytes);
    co_return absl::OkStatus();
  }
  void Abort() override {}
  event::CancelScope& scope() override { return scope_; }
  uint64_t request_body_bytes() const override { return 0; }
  uint64_t response_body_bytes() const override { return 0; }

  std::deque<std::string> pieces;
  const http::ResponseHead* sent_head = nullptr;
  std::vector<std::string> sent;
  bool ended = false;

 private:
  base::Arena arena_;
  http::RequestHead request_{arena_};
  event::CancelScope scope_;
};

class GrpcWebStreamTest : public testing::Test {
 protected:
  GrpcWebStreamTest() : loop_(*event::CreateEpollEngine(), clock_) {}
  ~GrpcWebStreamTest() override {
    EXPECT_EQ(event::LiveFrames(), 0);
    EXPECT_EQ(pool_.live(), 0u);
  }

  void Open(const char* type, Grpc response) {
    inner_.request().headers.Add(HeaderId::kContentType, type);
    inner_.request().headers.Add(HeaderId::kContentLength, "9");
    inner_.request().body = http::BodyKind::kLength;
    inner_.request().content_length = 9;
    bridge_.emplace(inner_, pool_, response);
  }

  // All of the request's body, or why not.
  event::Task<absl::StatusOr<std::string>> ReadAll() {
    std::string all;
    while (true) {
      absl::StatusOr<BodyChunk> piece = co_await bridge_->ReadBody();
      if (!piece.ok()) co_return piece.status();
      EXPECT_TRUE(piece->end || !piece->bytes.empty());
      all += piece->bytes;
      if (piece->end) co_return all;
    }
  }
  absl::StatusOr<std::string> Body() { return event::RunTask(loop_, ReadAll()); }

  void SendHead(const http::ResponseHead& head, BodyChunk first) {
    EXPECT_TRUE(event::RunTask(loop_, bridge_->SendHead(head, std::move(first))).ok());
  }
  void SendBody(BodyChunk chunk) {
    EXPECT_TRUE(event::RunTask(loop_, bridge_->SendBody(std::move(chunk))).ok());
  }
  static BodyChunk Piece(std::string_view bytes, const http::HeaderList* trailers = nullptr,
                         bool end = false) {
    BodyChunk chunk;
    chunk.bytes = bytes;
    chunk.trailers = trailers;
    chunk.end = end;
    return chunk;
  }
  http::ResponseHead Head(const char* type = "application/grpc+proto") {
    http::ResponseHead head(inner_.arena());
    head.status = 200;
    head.body = http::BodyKind::kUntilClose;
    head.headers.Add(HeaderId::kContentType, type);
    head.headers.Add("x-meta", "m");
    return head;
  }

  base::FakeClock clock_;
  event::Loop loop_;
  base::BufferPool pool_;
  FakeStream inner_;
  std::optional<GrpcWebStream> bridge_;
};

TEST_F(GrpcWebStreamTest, TheRequestBecomesGrpc) {
  Open("application/grpc-web-text+proto", Grpc::kWebText);
  const http::RequestHead& request = inner_.request();
  EXPECT_EQ(request.headers.Find(HeaderId::kContentType)->value, "application/grpc+proto");
  EXPECT_EQ(request.headers.Find(HeaderId::kContentLength), nullptr);
  EXPECT_EQ(request.body, http::BodyKind::kChunked);
}

TEST_F(GrpcWebStreamTest, TextIsDecodedAsItComes) {
  Open("application/grpc-web-text", Grpc::kWebText);
  inner_.pieces = {"A", "AAAAAN", "mb28=", "", "Zg", "=="};
  EXPECT_EQ(*Body(), std::string("\0\0\0\0\3foof", 9));
}

TEST_F(GrpcWebStreamTest, TextThatIsNoneIsAnError) {
  for (const char* bad : {"AAA", "A===", "AA=A", "*AAA"}) {
    inner_.request().headers.Clear();
    Open("application/grpc-web-text", Grpc::kWebText);
    inner_.pieces = {bad};
    EXPECT_TRUE(absl::IsInvalidArgument(Body().status())) << bad;
  }
}

TEST_F(GrpcWebStreamTest, BinaryPassesAndEndsWithAFrame) {
  Open("application/grpc-web", Grpc::kWeb);
  inner_.pieces = {"ab", "c"};
  EXPECT_EQ(*Body(), "abc");
  const http::ResponseHead head = Head();
  SendHead(head, Piece("one"));
  EXPECT_EQ(inner_.sent_head->headers.Find(HeaderId::kContentType)->value,
            "application/grpc-web+proto");
  EXPECT_EQ(inner_.sent_head->headers.Find("x-meta")->value, "m");
  SendBody(Piece("two"));
  http::HeaderList trailers(inner_.arena());
  trailers.Add("grpc-status", "0");
  SendBody(Piece("three", &trailers, true));
  EXPECT_TRUE(inner_.ended);
  EXPECT_EQ(inner_.sent,
            (std::vector<std::string>{"one", "two", "three",
                                      std::string("\x80\0\0\0\x0f", 5) + "grpc-status:0\r\n"}));
}

TEST_F(GrpcWebStreamTest, TextIsEncodedPieceByPiece) {
  Open("application/grpc-web-text", Grpc::kWebText);
  const http::ResponseHead head = Head();
  SendHead(head, Piece(""));
  SendBody(Piece("f"));
  SendBody(Piece("", nullptr, true));
  ASSERT_EQ(inner_.sent.size(), 2u);
  EXPECT_EQ(inner_.sent[0], "Zg==");
  EXPECT_EQ(inner_.sent[1].substr(0, 4), "gAAA");
}

TEST_F(GrpcWebStreamTest, AHeadAloneBecomesAFrame) {
  Open("application/grpc-web", Grpc::kWeb);
  http::ResponseHead head = Head();
  head.body = http::BodyKind::kNone;
  head.headers.Add("grpc-status", "7");
  head.headers.Add("grpc-message", "no");
  SendHead(head, Piece("", nullptr, true));
  EXPECT_TRUE(inner_.ended);
  EXPECT_EQ(inner_.sent_head->body, http::BodyKind::kChunked);
  EXPECT_EQ(inner_.sent_head->headers.Find(HeaderId::kGrpcStatus), nullptr);
  ASSERT_EQ(inner_.sent.size(), 1u);
  EXPECT_EQ(inner_.sent[0].substr(5), "grpc-status:7\r\ngrpc-message:no\r\n");
}

TEST_F(GrpcWebStreamTest, WhatIsNoGrpcPassesUnchanged) {
  Open("application/grpc-web-text", Grpc::kWebText);
  const http::ResponseHead head = Head("text/html");
  SendHead(head, Piece("<html>", nullptr, true));
  EXPECT_EQ(inner_.sent_head, &head);
  EXPECT_EQ(inner_.sent, std::vector<std::string>{"<html>"});
}

}  // namespace
}  // namespace portico::proxy
