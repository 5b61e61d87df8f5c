#include "dataplane/filters/jwt/token_cache.h"

#include <string>
#include <vector>

#include "dataplane/filters/jwt/claims.h"
#include "gtest/gtest.h"

namespace portico::filters {
namespace {

VerifiedToken Verified(const std::string& subject, size_t padding = 0) {
  VerifiedToken token;
  token.claims = PackClaims({{"sub", FlatValue::Type::kString, subject, {}, 0},
                             {"pad", FlatValue::Type::kString, std::string(padding, 'p'), {}, 0}});
  return token;
}

TEST(TokenCacheTest, ComparesTokenAndFingerprint) {
  TokenCache cache(1 << 20);
  const api::Digest one = api::Sha256("one"), two = api::Sha256("two");
  const std::string tail(64, 't');  // All that is hashed.
  cache.Insert(one, "a" + tail, Verified("a"));
  EXPECT_NE(cache.Find(one, "a" + tail), nullptr);
  EXPECT_EQ(cache.Find(one, "b" + tail), nullptr) << "the same hash is not the same token";
  EXPECT_EQ(cache.Find(two, "a" + tail), nullptr) << "another key set";
  EXPECT_EQ(cache.Find(one, ""), nullptr);
  cache.Insert(one, "b" + tail, Verified("b"));
  EXPECT_EQ(FindClaim(cache.Find(one, "a" + tail)->claims, "sub"), "a");
  EXPECT_EQ(FindClaim(cache.Find(one, "b" + tail)->claims, "sub"), "b");
  cache.Erase(one, "a" + tail);
  EXPECT_EQ(cache.Find(one, "a" + tail), nullptr);
  EXPECT_EQ(cache.entries(), 1u);
}

TEST(TokenCacheTest, StaysWithinItsBytes) {
  constexpr size_t kBytes = 64 << 10;
  TokenCache cache(kBytes);
  const api::Digest fingerprint = api::Sha256("one");
  for (int i = 0; i < 2000; ++i) {
    cache.Insert(fingerprint, "token-" + std::to_string(i), Verified("s", static_cast<size_t>(i % 3000)));
    ASSERT_LE(cache.bytes(), kBytes);
    ASSERT_NE(cache.Find(fingerprint, "token-" + std::to_string(i)), nullptr) << "the newest is there";
  }
  EXPECT_GT(cache.entries(), 8u);
  cache.Insert(fingerprint, "huge", Verified("s", kBytes));
  EXPECT_EQ(cache.Find(fingerprint, "huge"), nullptr);
}

TEST(TokenCacheTest, KeepsWhatIsUsed) {
  TokenCache cache(64 << 10);
  const api::Digest fingerprint = api::Sha256("one");
  cache.Insert(fingerprint, "hot", Verified("hot"));
  size_t lost = 0;
  for (int i = 0; i < 500; ++i) {
    cache.Insert(fingerprint, "cold-" + std::to_string(i), Verified("s", 500));
    if (cache.Find(fingerprint, "hot") == nullptr) {
      ++lost;
      cache.Insert(fingerprint, "hot", Verified("hot"));
    }
  }
  // The byte bound may take it now and then, when its set holds nothing older.
  EXPECT_LT(lost, 50u);
}

TEST(ClaimsTest, ShortWayDownWins) {
  const auto json = FlattenJson(R"({"a":{"b":"nested","c":{"d":1.50}},"a.b":"plain","n":-7,"e":[],"f":[["x"]],"o":[{"p":1}]})");
  ASSERT_TRUE(json.has_value());
  const std::string packed = PackClaims(json->values);
  EXPECT_EQ(FindClaim(packed, "a.b"), "plain");
  EXPECT_EQ(FindClaim(packed, "a.c.d"), "1.50");
  EXPECT_EQ(FindClaim(packed, "n"), "-7");
  EXPECT_EQ(FindClaim(packed, "e"), "");
  EXPECT_EQ(FindClaim(packed, "f"), std::nullopt);
  EXPECT_EQ(FindClaim(packed, "o.p"), std::nullopt);
  EXPECT_EQ(FindClaim("", "a"), std::nullopt);
}

TEST(FlatJsonTest, Refuses) {
  for (const char* text : {"", "1", "\"a\"", "[]", "{", "{}x", "{\"a\":1,\"a\":2}", "{\"a\":{\"b\":1,\"b\":1}}", "{\"a\":\"\xff\"}",
                           "{\"a\":1e999}", "{\"a\":01}", "{\"a\":NaN}"}) {
    EXPECT_FALSE(FlattenJson(text).has_value()) << text;
  }
  EXPECT_TRUE(FlattenJson("{}").has_value());
}

}  // namespace
}  // namespace portico::filters
