#include "dataplane/http/h1_input.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <string_view>

namespace portico::http {
namespace {

class InputTest : public testing::Test {
 protected:
  ~InputTest() override {
    input_.Clear();
    EXPECT_EQ(pool_.live(), 0u);
  }
  base::Buffer Make(std::string_view text) {
    base::Buffer buffer = pool_.Allocate();
    std::memcpy(buffer.data(), text.data(), text.size());
    buffer.set_size(text.size());
    return buffer;
  }
  base::BufferPool pool_;
  H1Input input_;
};

TEST_F(InputTest, ConsumingAllGivesTheBufferBack) {
  input_.Fill(Make("abc"));
  EXPECT_EQ(input_.unread(), "abc");
  input_.Consume(2);
  EXPECT_EQ(input_.unread(), "c");
  EXPECT_EQ(pool_.live(), 1u);
  input_.Consume(1);
  EXPECT_TRUE(input_.empty());
  EXPECT_EQ(pool_.live(), 0u);
}

TEST_F(InputTest, RoomForMore) {
  EXPECT_FALSE(input_.TakeForMore(pool_, 1000));
  // In place.
  base::Buffer buffer = Make("abc");
  const char* data = buffer.data();
  input_.Fill(std::move(buffer));
  buffer = input_.TakeForMore(pool_, 60'000);
  EXPECT_EQ(buffer.view(), "abc");
  EXPECT_EQ(buffer.data(), data);
  // Moved to the front.
  input_.Fill(std::move(buffer));
  input_.Consume(1);
  buffer = input_.TakeForMore(pool_, 60'000);
  EXPECT_EQ(buffer.view(), "bc");
  EXPECT_EQ(buffer.data(), data);
  // Copied, because somebody looks at it.
  input_.Fill(std::move(buffer));
  base::Buffer other = input_.Share();
  buffer = input_.TakeForMore(pool_, 60'000);
  EXPECT_EQ(buffer.view(), "bc");
  EXPECT_NE(buffer.data(), data);
  EXPECT_EQ(other.view(), "bc");
  // Copied into a larger one, because it is full.
  buffer = Make(std::string(base::BufferPool::kSmall, 'x'));
  input_.Fill(std::move(buffer));
  buffer = input_.TakeForMore(pool_, 60'000);
  EXPECT_EQ(buffer.size(), base::BufferPool::kSmall);
  EXPECT_GE(buffer.capacity(), 60'000u);
}

struct Read {
  std::string body;
  int pieces = 0;
  bool end = false;
  std::string error;
};

Read ReadAll(H1Input& input, BodyDecoder& decoder, base::BufferPool& pool) {
  Read read;
  while (!read.end) {
    const bool has = input.HasPiece(decoder);
    const H1Input::Piece piece = input.NextPiece(decoder, pool);
    EXPECT_EQ(has, !piece.need_more);
    read.error = piece.error;
    if (piece.need_more || !piece.error.empty()) break;
    read.body += piece.chunk.bytes;
    ++read.pieces;
    read.end = piece.chunk.end;
  }
  return read;
}

TEST_F(InputTest, LengthGivesOneSlice) {
  input_.Fill(Make("hellonext"));
  BodyDecoder decoder(BodyKind::kLength, 5);
  const H1Input::Piece piece = input_.NextPiece(decoder, pool_);
  EXPECT_EQ(piece.chunk.bytes, "hello");
  EXPECT_TRUE(piece.chunk.end);
  EXPECT_EQ(input_.unread(), "next");
  EXPECT_EQ(pool_.live(), 1u);
}

TEST_F(InputTest, LastChunkCarriesTheEnd) {
  input_.Fill(Make("5\r\nhello\r\n0\r\n\r\nnext"));
  BodyDecoder decoder(BodyKind::kChunked, 0);
  const Read read = ReadAll(input_, decoder, pool_);
  EXPECT_EQ(read.body, "hello");
  EXPECT_EQ(read.pieces, 1);
  EXPECT_TRUE(read.end);
  EXPECT_EQ(input_.unread(), "next");
}

TEST_F(InputTest, SmallChunksAreGathered) {
  std::string text, body;
  for (int i = 0; i < 1000; ++i) {
    text += "1\r\n";
    text += static_cast<char>('a' + i % 26);
    text += "\r\n";
    body += static_cast<char>('a' + i % 26);
  }
  input_.Fill(Make(text));
  BodyDecoder decoder(BodyKind::kChunked, 0);
  Read read = ReadAll(input_, decoder, pool_);
  EXPECT_EQ(read.body, body);
  EXPECT_EQ(read.pieces, 1);
  EXPECT_FALSE(read.end);
  EXPECT_TRUE(input_.empty());
  input_.Fill(Make("1\r\nz\r\n1\r\ny\r\n0\r\n\r\nrest"));
  read = ReadAll(input_, decoder, pool_);
  EXPECT_EQ(read.body, "zy");
  EXPECT_EQ(read.pieces, 1);
  EXPECT_TRUE(read.end);
  EXPECT_EQ(input_.unread(), "rest");
}

TEST_F(InputTest, EverySplitOfManyChunks) {
  std::string text;
  for (const size_t size : {1u, 1500u, 3u, 2000u, 1u, 1u, 700u}) {
    char head[32];
    snprintf(head, sizeof(head), "%zx\r\n", size);
    text += head + std::string(size, 'b') + "\r\n";
  }
  text += "0\r\nT: 1\r\n\r\n";
  for (size_t split = 0; split < text.size(); ++split) {
    BodyDecoder decoder(BodyKind::kChunked, 0);
    H1Input input;
    std::string body;
    Read read;
    for (const std::string& part : {text.substr(0, split), text.substr(split)}) {
      if (part.empty()) continue;
      input.Fill(Make(part));
      read = ReadAll(input, decoder, pool_);
      body += read.body;
    }
    ASSERT_EQ(body, std::string(4206, 'b')) << split;
    ASSERT_TRUE(read.end) << split;
  }
}

TEST_F(InputTest, ErrorsComeAfterWhatWasGood) {
  input_.Fill(Make("1\r\na\r\n1\r\nb\r\nx"));
  BodyDecoder decoder(BodyKind::kChunked, 0);
  const Read read = ReadAll(input_, decoder, pool_);
  EXPECT_EQ(read.body, "ab");
  EXPECT_EQ(read.error, "invalid_chunk_size");
}

}  // namespace
}  // namespace portico::http
