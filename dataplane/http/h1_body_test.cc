#include "dataplane/http/h1_body.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace portico::http {
namespace {

struct Outcome {
  std::string payload;
  size_t consumed = 0;
  bool done = false;
  std::string error;
  bool operator==(const Outcome&) const = default;
};

// Feeds `input` in two pieces.
Outcome Feed(BodyKind kind, uint64_t length, std::string_view input, size_t split) {
  Outcome outcome;
  BodyDecoder decoder(kind, length);
  outcome.done = decoder.done();
  for (std::string_view piece : {input.substr(0, split), input.substr(split)}) {
    while (!piece.empty() && !outcome.done && outcome.error.empty()) {
      const BodyDecoder::Result result = decoder.Decode(piece);
      outcome.payload += result.payload;
      outcome.consumed += result.consumed;
      outcome.done = result.done;
      outcome.error = result.error;
      piece.remove_prefix(result.consumed);
    }
  }
  return outcome;
}

struct Case {
  BodyKind kind;
  uint64_t length;
  std::string input;
  std::string payload;
  bool done;
  std::string error;
  size_t rest = 0;  // Bytes that belong to what follows.
};

TEST(BodyDecoder, Table) {
  const std::string extension(1023, 'x');
  const std::string trailer(8 * 1024 - 4, 'v');
  const Case cases[] = {
      {BodyKind::kNone, 0, "next", "", true, "", 4},
      {BodyKind::kLength, 0, "next", "", true, "", 4},
      {BodyKind::kLength, 5, "hellonext", "hello", true, "", 4},
      {BodyKind::kLength, 5, "hel", "hel", false, ""},
      {BodyKind::kUntilClose, 0, "anything", "anything", false, ""},
      {BodyKind::kChunked, 0, "5\r\nhello\r\n0\r\n\r\nnext", "hello", true, "", 4},
      {BodyKind::kChunked, 0, "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "abc", true, ""},
      {BodyKind::kChunked, 0, "0\r\n\r\n", "", true, ""},
      {BodyKind::kChunked, 0, "A\r\n0123456789\r\n000\r\n\r\n", "0123456789", true, ""},
      {BodyKind::kChunked, 0, "00000000000000a\r\n0123456789\r\n0\r\n\r\n", "0123456789", true, ""},
      {BodyKind::kChunked, 0, "5;name=value;q=\"x y\"\r\nhello\r\n0;last\r\n\r\n", "hello", true, ""},
      {BodyKind::kChunked, 0, "1;" + extension + "\r\na\r\n0\r\n\r\n", "a", true, ""},
      {BodyKind::kChunked, 0, "1\r\na\r\n0\r\nX-T: 1\r\nY:\r\n\r\nnext", "a", true, "", 4},
      {BodyKind::kChunked, 0, "0\r\nT: " + trailer.substr(2) + "\r\n\r\n", "", true, ""},
      {BodyKind::kChunked, 0, "5\r\nhello", "hello", false, ""},
      {BodyKind::kChunked, 0, "5\r\nhello\r\n0\r\n", "hello", false, ""},
      {BodyKind::kChunked, 0, "1;x" + extension + "\r\na\r\n", "", false, "invalid_chunk_extension"},
      {BodyKind::kChunked, 0, "1;\x01\r\na\r\n", "", false, "invalid_chunk_extension"},
      {BodyKind::kChunked, 0, "1;a\nb\r\na\r\n", "", false, "invalid_chunk_extension"},
      {BodyKind::kChunked, 0, "0\r\nT:12" + trailer + "\r\n\r\n", "", false, "trailers_too_large"},
      {BodyKind::kChunked, 0, "\r\n", "", false, "invalid_chunk_size"},
      {BodyKind::kChunked, 0, "x\r\n", "", false, "invalid_chunk_size"},
      {BodyKind::kChunked, 0, "-1\r\n", "", false, "invalid_chunk_size"},
      {BodyKind::kChunked, 0, "+1\r\n", "", false, "invalid_chunk_size"},
      {BodyKind::kChunked, 0, "0x1\r\n", "", false, "invalid_chunk_size"},
      {BodyKind::kChunked, 0, " 1\r\na\r\n", "", false, "invalid_chunk_size"},
      {BodyKind::kChunked, 0, "1 \r\na\r\n", "", false, "invalid_chunk_size"},
      {BodyKind::kChunked, 0, "1_0\r\n", "", false, "invalid_chunk_size"},
      {BodyKind::kChunked, 0, "1\na\n0\n\n", "", false, "invalid_chunk_size"},
      {BodyKind::kChunked, 0, "1000000000000000\r\n", "", false, "invalid_chunk_size"},
      {BodyKind::kChunked, 0, "ffffffffffffffffff\r\n", "", false, "invalid_chunk_size"},
      {BodyKind::kChunked, 0, "1\rXa\r\n", "", false, "invalid_chunk_ending"},
      {BodyKind::kChunked, 0, "1\r\nab\r\n", "a", false, "invalid_chunk_ending"},
      {BodyKind::kChunked, 0, "1\r\na\n0\r\n\r\n", "a", false, "invalid_chunk_ending"},
      {BodyKind::kChunked, 0, "1\r\na\rx", "a", false, "invalid_chunk_ending"},
      {BodyKind::kChunked, 0, "0\r\n\n", "", false, "invalid_trailer"},
      {BodyKind::kChunked, 0, "0\r\n\rx", "", false, "invalid_trailer"},
      {BodyKind::kChunked, 0, "0\r\n T: folded\r\n\r\n", "", false, "invalid_trailer"},
      {BodyKind::kChunked, 0, "0\r\nGET / HTTP/1.1\r\n\r\n", "", false, "invalid_trailer"},
      {BodyKind::kChunked, 0, "0\r\n: x\r\n\r\n", "", false, "invalid_trailer"},
      {BodyKind::kChunked, 0, "0\r\nT: a\nb\r\n\r\n", "", false, "invalid_trailer"},
      {BodyKind::kChunked, 0, "0\r\nT: a\rb\r\n\r\n", "", false, "invalid_trailer"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.input.substr(0, 60));
    for (size_t split = 0; split <= c.input.size(); split += c.input.size() > 1000 ? 97 : 1) {
      const Outcome outcome = Feed(c.kind, c.length, c.input, split);
      ASSERT_EQ(outcome.payload, c.payload) << split;
      ASSERT_EQ(outcome.error, c.error) << split;
      ASSERT_EQ(outcome.done, c.done) << split;
      if (c.error.empty()) {
        ASSERT_EQ(outcome.consumed, c.input.size() - c.rest) << split;
      }
    }
  }
}

TEST(BodyDecoder, EndOfConnection) {
  BodyDecoder until_close(BodyKind::kUntilClose, 0);
  EXPECT_TRUE(until_close.Finish());
  EXPECT_TRUE(until_close.done());
  BodyDecoder length(BodyKind::kLength, 1);
  EXPECT_FALSE(length.Finish());
  EXPECT_EQ(length.remaining(), 1u);
  BodyDecoder chunked(BodyKind::kChunked, 0);
  EXPECT_FALSE(chunked.Finish());
  EXPECT_TRUE(BodyDecoder().Finish());
}

TEST(BodyDecoder, FailedStaysFailed) {
  BodyDecoder decoder(BodyKind::kChunked, 0);
  EXPECT_FALSE(decoder.Decode("x").error.empty());
  EXPECT_FALSE(decoder.Decode("5\r\n").error.empty());
  EXPECT_FALSE(decoder.Finish());
}

TEST(BodyDecoder, BytesThatGoByUnseenAreCounted) {
  BodyDecoder length(BodyKind::kLength, 100);
  EXPECT_EQ(length.Decode(std::string(30, 'x')).consumed, 30u);
  EXPECT_FALSE(length.Skip(60));
  EXPECT_EQ(length.remaining(), 10u);
  EXPECT_TRUE(length.Skip(10));
  EXPECT_TRUE(length.done());

  BodyDecoder until_close(BodyKind::kUntilClose, 0);
  EXPECT_FALSE(until_close.Skip(uint64_t{1} << 40));
  EXPECT_FALSE(until_close.done());
  EXPECT_TRUE(until_close.Finish());
}

TEST(BodyDecoderDeathTest, NoMoreThanRemains) {
  BodyDecoder decoder(BodyKind::kLength, 100);
  EXPECT_DEATH(decoder.Skip(101), "check failed");
}

TEST(BodyDecoder, KeepsTrailersHoweverTheyAreSplit) {
  const std::string input = "1\r\na\r\n0\r\ngrpc-status: 0\r\nHost: x\r\nx-b:\r\n\r\nnext";
  for (size_t split = 0; split <= input.size(); ++split) {
    base::Arena arena;
    TrailerSection section(arena);
    BodyDecoder decoder(BodyKind::kChunked, 0);
    const std::string_view whole = input;
    for (std::string_view piece : {whole.substr(0, split), whole.substr(split)}) {
      BodyDecoder ahead = decoder;
      ahead.Decode(piece, &section);
      while (!piece.empty() && !decoder.done()) {
        const BodyDecoder::Result result = decoder.Decode(piece, &section);
        ASSERT_EQ(result.error, "");
        piece.remove_prefix(result.consumed);
      }
    }
    ASSERT_TRUE(decoder.done());
    const HeaderList* trailers = section.Fields(decoder.trailer_bytes());
    ASSERT_NE(trailers, nullptr);
    EXPECT_EQ(trailers->size(), 2u);
    EXPECT_EQ(trailers->Find(HeaderId::kGrpcStatus)->value, "0");
    EXPECT_EQ(trailers->Find("x-b")->value, "");
  }
}

}  // namespace
}  // namespace portico::http
