// How much of responses an HTTP/2 upstream may send ahead of who reads them.
#include "dataplane/http/h2_memory.h"
#include "dataplane/upstream/h2_client_fixture.h"

namespace portico::upstream {
namespace {

constexpr size_t kMiB = 1 << 20;

class H2ClientWindowTest : public H2ClientTest {
 protected:
  // A response of which `size` bytes are read as fast as they come; it goes on.
  H2Exchange& Download(int32_t id, size_t size) {
    H2Exchange& exchange = Get();
    server().RespondHead(id, {{":status", "200"}});
    More(exchange, id, size);
    return exchange;
  }
  void More(H2Exchange& exchange, int32_t id, size_t size) {
    const size_t before = exchange.body.size();
    server().Write(id, std::string(size, 'd'));
    ASSERT_TRUE(Until([&] { return exchange.body.size() == before + size; }, 20000));
    Turn();
  }
  int32_t Window(int32_t id) {
    return nghttp2_session_get_stream_remote_window_size(server().session(), id);
  }
};

TEST_F(H2ClientWindowTest, AFastReaderGetsALargerOne) {
  Open();
  int32_t id = 1;
  for (int i = 0; i < 10; ++i, id += 2) {
    H2Exchange& exchange = Download(id, 3 * kMiB);
    EXPECT_GT(Window(id), static_cast<int32_t>(kMiB / 2)) << i;
    EXPECT_LE(Window(id), static_cast<int32_t>(kMiB)) << i;
    const int32_t all = nghttp2_session_get_remote_window_size(server().session());
    EXPECT_LE(all, static_cast<int32_t>(4 * kMiB)) << i;
    server().End(id);
    ASSERT_TRUE(Ends(exchange));
    End(exchange);
  }
}

TEST_F(H2ClientWindowTest, ASlowReaderDoesNot) {
  Open();
  H2Exchange& slow = Begin();
  EXPECT_TRUE(Await(slow.stream->SendHead(slow.head, Chunk("", true))).ok());
  Turn();
  server().RespondHead(1, {{":status", "200"}});
  server().Write(1, std::string(3 * kMiB, 's'));
  Turn(100);
  ASSERT_TRUE(Await(slow.stream->ReadHead()).ok());
  size_t read = 0;
  while (read < kMiB) {
    absl::StatusOr<http::BodyChunk> piece = Await(slow.stream->ReadBody());
    ASSERT_TRUE(piece.ok());
    read += piece->bytes.size();
    Advance(20 * base::kNanosPerMilli);
    EXPECT_LE(loop_.upstream_buffers().live_bytes(), 5u * 64 * 1024);
  }
  EXPECT_LE(Window(1), 64 * 1024);
}

TEST_F(H2ClientWindowTest, OneThatStopsAfterItWasFastHoldsItsWindowAndNobodyUp) {
  Open();
  H2Exchange& stops = Begin();
  EXPECT_TRUE(Await(stops.stream->SendHead(stops.head, Chunk("", true))).ok());
  Turn();
  server().RespondHead(1, {{":status", "200"}});
  server().Write(1, std::string(6 * kMiB, 's'));
  ASSERT_TRUE(Await(stops.stream->ReadHead()).ok());
  for (size_t read = 0; read < 3 * kMiB;) {
    absl::StatusOr<http::BodyChunk> piece = Await(stops.stream->ReadBody());
    ASSERT_TRUE(piece.ok());
    read += piece->bytes.size();
  }
  Turn(500);
  EXPECT_EQ(Window(1), 0);
  EXPECT_LE(loop_.upstream_buffers().live_bytes(), 2 * kMiB);
  H2Exchange& other = Get();
  server().Respond(3, {{":status", "200"}}, std::string(kMiB, 'o'));
  ASSERT_TRUE(Ends(other));
  EXPECT_EQ(other.body.size(), kMiB);
}

TEST_F(H2ClientWindowTest, SmallWhileMemoryIsScarce) {
  static bool scarce;  // Outlives the connection.
  scarce = true;
  H2ClientOptions options;
  options.memory_scarce = &scarce;
  Open({}, options);
  H2Exchange& exchange = Download(1, 3 * kMiB);
  EXPECT_LE(Window(1), 64 * 1024);
  scarce = false;
  More(exchange, 1, 3 * kMiB);
  EXPECT_GT(Window(1), static_cast<int32_t>(kMiB / 2));
  scarce = true;
  More(exchange, 1, 3 * kMiB);
  EXPECT_LE(Window(1), 64 * 1024);
  server().End(1);
  ASSERT_TRUE(Ends(exchange));
}

TEST_F(H2ClientWindowTest, WhatItHoldsIsCountedWhileItDoes) {
  const uint64_t before = http::H2HeldBytes();
  Open();
  Turn();
  const uint64_t resting = http::H2HeldBytes() - before;
  EXPECT_GT(resting, 16'000u);  // nghttp2's frame buffer among it.
  for (int i = 0; i < 10; ++i) Get();
  EXPECT_GE(http::H2HeldBytes() - before, resting + 10 * 1024);
  for (auto& exchange : exchanges_) {
    exchange->scope.Request(absl::CancelledError("test"));
    ASSERT_TRUE(Ends(*exchange));
    End(*exchange);
  }
  owner_.connection->Close();
  ASSERT_TRUE(Until([&] { return owner_.connection == nullptr; }));
  EXPECT_EQ(http::H2HeldBytes(), before);
}

}  // namespace
}  // namespace portico::upstream
