#include "dataplane/proxy/grpc_web.h"

#include <gtest/gtest.h>

#include <string>

#include "dataplane/base/arena.h"
#include "dataplane/proxy/websocket_key.h"

namespace portico::proxy {
namespace {

using http::HeaderId;

// Decodes `text` in pieces of `step`; "!" where it is none, "?" where it is not whole.
std::string Decode(std::string_view text, size_t step) {
  Base64Decoder decoder;
  std::string out;
  for (size_t at = 0; at < text.size(); at += step) {
    const std::string_view piece = text.substr(at, step);
    std::string some(Base64Decoder::MaxDecoded(piece.size()), '\0');
    const std::optional<size_t> size = decoder.Decode(piece, some.data());
    if (!size.has_value()) return "!";
    out.append(some, 0, *size);
  }
  return decoder.complete() ? out : "?";
}

TEST(GrpcWebTest, Base64HoweverItIsSplit) {
  struct Case {
    const char* text;
    const char* bytes;
  };
  for (const Case& c : {
           Case{"", ""},
           {"Zg==", "f"},
           {"Zm8=", "fo"},
           {"Zm9v", "foo"},
           {"Zm9vYmFy", "foobar"},
           // Padding in the middle: pieces one after the other.
           {"Zg==Zm8=Zm9v", "ffofoo"},
           {"Zg==Zg==Zg==", "fff"},
           {"+/+/", "\xfb\xff\xbf"},
           {"Zg", "?"},
           {"Zg=", "?"},
           {"Zm9vY", "?"},
           {"=", "!"},
           {"Z===", "!"},
           {"Zg=a", "!"},
           {"Zm9v====", "!"},
           {"Zh==", "!"},  // Bits that belong to nothing.
           {"Zm9=", "!"},
           {"Zm-_", "!"},
           {"Zm 9v", "!"},
           {"Zm9v\n", "!"},
       }) {
    for (size_t step = 1; step <= 13; ++step) {
      EXPECT_EQ(Decode(c.text, step), c.bytes) << c.text << " by " << step;
    }
  }
}

TEST(GrpcWebTest, Base64ThereAndBack) {
  base::Arena arena;
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    const std::string text(EncodeBase64(bytes, arena));
    EXPECT_EQ(text.size(), EncodedBase64(bytes.size()));
    EXPECT_EQ(Decode(text, 7), bytes);
    bytes += static_cast<char>(i * 7);
  }
}

TEST(GrpcWebTest, TrailerFrames) {
  base::Arena arena;
  http::HeaderList head(arena), trailers(arena);
  const auto frame = [&arena](const http::HeaderList* a, const http::HeaderList* b) {
    return std::string(GrpcWebTrailerFrame(a, b, arena));
  };
  trailers.Add("Grpc-Status", "0");
  trailers.Add("X-Sum", "aB");
  const std::string text = "grpc-status:0\r\nx-sum:aB\r\n";
  EXPECT_EQ(frame(nullptr, &trailers), std::string("\x80\0\0\0\x19", 5) + text);
  EXPECT_EQ(text.size(), 0x19u);
  head.Add("grpc-message", "no");
  EXPECT_EQ(frame(&head, &trailers).substr(5), "grpc-message:no\r\n" + text);
  // Somebody has to say how it ended.
  for (const http::HeaderList* none : {static_cast<const http::HeaderList*>(nullptr)}) {
    EXPECT_EQ(frame(none, none).substr(5, 15), "grpc-status:2\r\n");
  }
}

TEST(WebSocketKeyTest, AcceptAnswersIt) {
  base::Arena arena;
  // RFC 6455 section 1.3.
  EXPECT_EQ(WebSocketAccept("dGhlIHNhbXBsZSBub25jZQ==", arena), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  upstream::Random random({1, 2, 3, 4});
  const std::string key(MakeWebSocketKey(random, arena));
  EXPECT_EQ(Decode(key, key.size()).size(), 16u);
  EXPECT_NE(key, MakeWebSocketKey(random, arena));
}

}  // namespace
}  // namespace portico::proxy
