#include "dataplane/base/sip_hash.h"

#include <gtest/gtest.h>

#include <bit>
#include <set>
#include <string>
#include <vector>

namespace portico::base {
namespace {

// Secret and texts of the authors' test vectors: 00 01 02 ...
constexpr SipHash<2, 4>::Secret kSecret = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

std::string Counting(size_t size) {
  std::string text;
  for (size_t i = 0; i < size; ++i) text += static_cast<char>(i);
  return text;
}

// Each byte at its place, as the paper has it.
uint64_t Slowly(const std::string& text, int block_rounds, int last_rounds) {
  uint64_t v[4] = {kSecret[0] ^ 0x736f6d6570736575, kSecret[1] ^ 0x646f72616e646f6d,
                   kSecret[0] ^ 0x6c7967656e657261, kSecret[1] ^ 0x7465646279746573};
  const auto round = [&v] {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = std::rotl(v[1], 13);
    v[3] = std::rotl(v[3], 16);
    v[1] ^= v[0];
    v[3] ^= v[2];
    v[0] = std::rotl(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = std::rotl(v[1], 17);
    v[3] = std::rotl(v[3], 21);
    v[1] ^= v[2];
    v[3] ^= v[0];
    v[2] = std::rotl(v[2], 32);
  };
  std::string padded = text;
  padded.resize(text.size() / 8 * 8 + 8);
  padded.back() = static_cast<char>(text.size());
  for (size_t at = 0; at < padded.size(); at += 8) {
    uint64_t word = 0;
    for (size_t i = 0; i < 8; ++i)
      word |= uint64_t{static_cast<unsigned char>(padded[at + i])} << (8 * i);
    v[3] ^= word;
    for (int i = 0; i < block_rounds; ++i) round();
    v[0] ^= word;
  }
  v[2] ^= 0xff;
  for (int i = 0; i < last_rounds; ++i) round();
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

TEST(SipHashTest, AuthorsVectors) {
  EXPECT_EQ((SipHash<2, 4>::Hash64(kSecret, "")), 0x726fdb47dd0e0e31u);
  EXPECT_EQ((SipHash<2, 4>::Hash64(kSecret, Counting(15))), 0xa129ca6149be45e5u);
  const auto both = SipHash<2, 4>::Hash128(kSecret, "");
  EXPECT_EQ(both[0], 0xe6a825ba047f81a3u);
  EXPECT_EQ(both[1], 0x930255c71472f66du);
  EXPECT_EQ(TableHash::Hash64(kSecret, ""), 0xabac0158050fc4dcu);
}

TEST(SipHashTest, EveryLength) {
  std::set<uint64_t> seen;
  for (size_t size = 0; size < 100; ++size) {
    const std::string text = Counting(size);
    EXPECT_EQ((SipHash<2, 4>::Hash64(kSecret, text)), Slowly(text, 2, 4)) << size;
    EXPECT_EQ(TableHash::Hash64(kSecret, text), Slowly(text, 1, 3)) << size;
    for (const uint64_t half : TableHash::Hash128(kSecret, text))
      EXPECT_TRUE(seen.insert(half).second);
    // Both halves change with every byte.
    for (size_t i = 0; i < size; ++i) {
      std::string other = text;
      other[i] = static_cast<char>(other[i] ^ 1);
      EXPECT_NE(TableHash::Hash128(kSecret, other)[0], TableHash::Hash128(kSecret, text)[0]);
      EXPECT_NE(TableHash::Hash128(kSecret, other)[1], TableHash::Hash128(kSecret, text)[1]);
    }
  }
}

TEST(SipHashTest, ReadsNothingButTheText) {
  for (size_t size = 0; size < 24; ++size) {
    // On the heap, where the sanitizer knows its ends.
    const std::string text = Counting(size);
    const std::vector<char> exact(text.begin(), text.end());
    EXPECT_EQ(TableHash::Hash64(kSecret, {exact.data(), exact.size()}),
              TableHash::Hash64(kSecret, text));
  }
}

}  // namespace
}  // namespace portico::base
