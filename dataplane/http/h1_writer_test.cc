#include "dataplane/http/h1_writer.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

#include "dataplane/base/arena.h"

namespace portico::http {
namespace {

class WriterTest : public testing::Test {
 protected:
  std::string Response(const ResponseHead& head, const ResponseWriteOptions& options = {}) {
    absl::StatusOr<base::Buffer> buffer = WriteResponseHead(head, options, pool_);
    return buffer.ok() ? std::string(buffer->view()) : std::string(buffer.status().message());
  }
  std::string Request(const RequestHead& head) {
    absl::StatusOr<base::Buffer> buffer = WriteRequestHead(head, pool_);
    return buffer.ok() ? std::string(buffer->view()) : std::string(buffer.status().message());
  }
  base::BufferPool pool_;
  base::Arena arena_;
};

TEST_F(WriterTest, Request) {
  RequestHead head(arena_);
  head.method = Method::kPost;
  head.method_text = "POST";
  head.target = "/ignored";
  head.path = "/a/b";
  head.query = "x=1";
  head.has_query = true;
  head.authority = "h:1";
  head.headers.Add("host", "other");
  head.headers.Add("X-Y", "z");
  head.headers.Add("Connection", "close");
  head.headers.Add("Content-Length", "99");
  head.headers.Add("Transfer-Encoding", "gzip");
  head.headers.Add("Expect", "100-continue");
  head.headers.Add("gone", "x");
  head.headers.Remove("gone");
  const std::string start = "POST /a/b?x=1 HTTP/1.1\r\nHost: h:1\r\nX-Y: z\r\n";
  EXPECT_EQ(Request(head), start + "Content-Length: 0\r\n\r\n");
  head.body = BodyKind::kLength;
  head.content_length = 1234567;
  EXPECT_EQ(Request(head), start + "Content-Length: 1234567\r\n\r\n");
  head.body = BodyKind::kChunked;
  EXPECT_EQ(Request(head), start + "Transfer-Encoding: chunked\r\n\r\n");
  head.body = BodyKind::kNone;
  head.method = Method::kGet;
  head.method_text = "GET";
  head.has_query = false;
  EXPECT_EQ(Request(head), "GET /a/b HTTP/1.1\r\nHost: h:1\r\nX-Y: z\r\n\r\n");
}

TEST_F(WriterTest, NothingCanSplitAMessage) {
  const std::string nul(1, '\0');
  for (const std::string& bad : {std::string("a\r\nX: y"), std::string("a\n"), std::string("a\r"), nul}) {
    RequestHead head(arena_);
    head.method = Method::kGet;
    head.method_text = "GET";
    head.path = "/";
    head.authority = "h";
    const auto refused = [&] { return !WriteRequestHead(head, pool_).ok(); };
    EXPECT_FALSE(refused());
    head.path = bad;
    EXPECT_TRUE(refused());
    head.path = "/";
    head.query = bad;
    head.has_query = true;
    EXPECT_TRUE(refused());
    head.query = "";
    head.method_text = bad;
    EXPECT_TRUE(refused());
    head.method_text = "GET";
    head.authority = bad;
    EXPECT_TRUE(refused());
    head.authority = "h";
    head.headers.Add("x", bad);
    EXPECT_TRUE(refused());
    head.headers.Clear();
    head.headers.Add(bad, "x");
    EXPECT_TRUE(refused());

    ResponseHead response(arena_);
    response.status = 200;
    response.reason = bad;
    EXPECT_FALSE(WriteResponseHead(response, {}, pool_).ok());
    response.reason = "";
    response.headers.Add(HeaderId::kLocation, bad);
    EXPECT_FALSE(WriteResponseHead(response, {}, pool_).ok());
    EXPECT_EQ(pool_.live(), 0u);
  }
  RequestHead head(arena_);
  head.method_text = "GET";
  head.path = "/a b";
  EXPECT_FALSE(WriteRequestHead(head, pool_).ok());
}

TEST_F(WriterTest, Upgrades) {
  RequestHead head(arena_);
  head.method = Method::kGet;
  head.method_text = "GET";
  head.path = "/";
  head.authority = "h";
  head.upgrade = "websocket";
  head.headers.Add(HeaderId::kUpgrade, "h2c");
  absl::StatusOr<base::Buffer> written = WriteRequestHead(head, pool_);
  ASSERT_TRUE(written.ok());
  EXPECT_EQ(written->view(),
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  head.upgrade = "web socket";
  EXPECT_FALSE(WriteRequestHead(head, pool_).ok());
  ResponseHead response(arena_);
  response.status = 101;
  ResponseWriteOptions options;
  options.upgrade = "websocket";
  options.date = "today";
  options.keep_alive = false;
  EXPECT_EQ(
      Response(response, options),
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
}

struct ResponseCase {
  int status;
  BodyKind body;
  Version version;
  Method method;
  bool keep_alive;
  std::string_view expected;
};

TEST_F(WriterTest, ResponseFraming) {
  const ResponseCase cases[] = {
      {200, BodyKind::kLength, Version::kHttp11, Method::kGet, true, "200 OK\r\nContent-Length: 5\r\n\r\n"},
      {200, BodyKind::kLength, Version::kHttp11, Method::kGet, false,
       "200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"},
      {200, BodyKind::kNone, Version::kHttp11, Method::kGet, true, "200 OK\r\nContent-Length: 0\r\n\r\n"},
      {200, BodyKind::kChunked, Version::kHttp11, Method::kGet, true, "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
      {200, BodyKind::kUntilClose, Version::kHttp11, Method::kGet, true,
       "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
      {200, BodyKind::kChunked, Version::kHttp10, Method::kGet, true, "200 OK\r\nConnection: close\r\n\r\n"},
      {200, BodyKind::kLength, Version::kHttp10, Method::kGet, true,
       "200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n"},
      {200, BodyKind::kLength, Version::kHttp11, Method::kHead, true, "200 OK\r\nContent-Length: 5\r\n\r\n"},
      {200, BodyKind::kChunked, Version::kHttp11, Method::kHead, true, "200 OK\r\n\r\n"},
      {204, BodyKind::kNone, Version::kHttp11, Method::kGet, true, "204 No Content\r\n\r\n"},
      {204, BodyKind::kLength, Version::kHttp11, Method::kHead, true, "204 No Content\r\n\r\n"},
      {304, BodyKind::kNone, Version::kHttp11, Method::kGet, true, "304 Not Modified\r\n\r\n"},
      {304, BodyKind::kLength, Version::kHttp11, Method::kGet, true, "304 Not Modified\r\nContent-Length: 5\r\n\r\n"},
      {100, BodyKind::kNone, Version::kHttp11, Method::kGet, false, "100 Continue\r\n\r\n"},
      {299, BodyKind::kNone, Version::kHttp11, Method::kGet, true, "299 Unknown\r\nContent-Length: 0\r\n\r\n"},
  };
  for (const ResponseCase& c : cases) {
    ResponseHead head(arena_);
    head.status = c.status;
    head.body = c.body;
    head.content_length = 5;
    EXPECT_EQ(Response(head, {c.version, c.method, c.keep_alive, {}}), "HTTP/1.1 " + std::string(c.expected));
  }
}

TEST_F(WriterTest, ResponseFields) {
  ResponseHead head(arena_);
  head.status = 200;
  head.headers.Add("A", "1");
  head.headers.Add("content-length", "77");
  head.headers.Add("Connection", "close");
  EXPECT_EQ(Response(head, {Version::kHttp11, Method::kHead, true, "D"}),
            "HTTP/1.1 200 OK\r\nA: 1\r\nDate: D\r\nContent-Length: 77\r\n\r\n");
  head.headers.Add("date", "E");
  EXPECT_EQ(Response(head, {Version::kHttp11, Method::kGet, true, "D"}),
            "HTTP/1.1 200 OK\r\nA: 1\r\ndate: E\r\nContent-Length: 0\r\n\r\n");
  head.status = 42;
  EXPECT_FALSE(WriteResponseHead(head, {}, pool_).ok());
}

TEST_F(WriterTest, LargeHeadsTakeLargeBuffers) {
  ResponseHead head(arena_);
  head.status = 200;
  const std::string large(100'000, 'x');
  head.headers.Add("a", large);
  EXPECT_TRUE(Response(head) == "HTTP/1.1 200 OK\r\na: " + large + "\r\nContent-Length: 0\r\n\r\n");
  // What cannot be sent is refused although it comes where the usual buffer ends.
  for (const auto& [name, value] :
       {std::pair("b c", "x"), std::pair("a-name-of-more-than-16-bytes:", "x"),
        std::pair("b", "x\r\ny")}) {
    ResponseHead bad = head;
    bad.headers.Add(name, value);
    EXPECT_EQ(WriteResponseHead(bad, {}, pool_).status().code(), absl::StatusCode::kInvalidArgument)
        << name;
  }
}

TEST(ChunkHead, Hexadecimal) {
  char out[kChunkHeadBytes];
  EXPECT_EQ(WriteChunkHead(1, out), "1\r\n");
  EXPECT_EQ(WriteChunkHead(0x1a2b, out), "1a2b\r\n");
  EXPECT_EQ(WriteChunkHead(~uint64_t{0}, out), "ffffffffffffffff\r\n");
}

TEST(DateCache, Formats) {
  DateCache cache;
  EXPECT_EQ(cache.Get(784111777 * base::kNanosPerSecond), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(cache.Get(784111777 * base::kNanosPerSecond + 999'999'999), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(cache.Get(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(cache.Get(951782400 * base::kNanosPerSecond), "Tue, 29 Feb 2000 00:00:00 GMT");
  EXPECT_EQ(cache.Get(1798675199 * base::kNanosPerSecond), "Wed, 30 Dec 2026 23:59:59 GMT");
  EXPECT_EQ(cache.Get(int64_t{4107542399} * base::kNanosPerSecond), "Sun, 28 Feb 2100 23:59:59 GMT");
}

}  // namespace
}  // namespace portico::http
