#include "api/resource/jwks.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace portico::api {
namespace {

using ::testing::HasSubstr;

// A point on P-256 and a modulus of 2048 bits, made for this test.
constexpr char kX[] = "_v6V0NSHDcf1L3gk2Nhg0qQeMWslQhAp9o_gCBkiRlk";
constexpr char kY[] = "Phzun97HMj5D846CtnyA754anWmkw0CWmIJxM2om1Lo";
constexpr char kN[] =
    "gg37XrgAYanE-noKvBczxRT2GM5aqSOLDJE9MzXyNAu4cq-fRpdORMHg3wnPM02v-Wd-azPcf0TxDOTRC0MjYCaW08"
    "rSJdduhWFmxrvkdZxzeKizTbxzQei7IZpA7fUgA4kHq2-mpu-yQB-Yn9ZH7a3twgra3S8XZGSOGVqiIoE3_kF4Jva1"
    "iGjFfV206NmyA1LlgMptzvu6AtqUfILOAH3K-Urd8jwT1sjpXjxC8au8QNbNr0bWWOxalMiML7YUWyVnmaNyZEU585"
    "hWlRyuBeYO9rQPGU339zh66RkLlxo1lHg0wnJO3hycXHUDDexsfaHBNfMW4IQ3_l2j06lVcQ";

std::string Set(const std::string& keys) { return absl::StrCat("{\"keys\":[", keys, "]}"); }
std::string Ec(const std::string& more) {
  return absl::StrCat(R"({"kty":"EC","crv":"P-256","x":")", kX, R"(","y":")", kY, "\"", more, "}");
}
std::string Rsa(const std::string& n, const std::string& e, const std::string& more) {
  return absl::StrCat(R"({"kty":"RSA","n":")", n, R"(","e":")", e, "\"", more, "}");
}
std::string Oct(size_t bytes) {
  return absl::StrCat(R"({"kty":"oct","k":")", EncodeBase64Url(std::string(bytes, 'k')), "\"}");
}

TEST(Base64Url, OneSpellingOnly) {
  EXPECT_EQ(*DecodeBase64Url(""), "");
  EXPECT_EQ(*DecodeBase64Url("AQAB"), std::string("\x01\x00\x01", 3));
  EXPECT_EQ(*DecodeBase64Url("_-8"), "\xff\xef");
  EXPECT_EQ(EncodeBase64Url("\xff\xef"), "_-8");
  for (const char* text : {"_-8=", "_-9", "+/8", "A", "AQ AB", "AQAB\n", "AQAB ", "AQ==", "A.B"}) {
    EXPECT_FALSE(DecodeBase64Url(text).ok()) << text;
  }
}

TEST(Jwks, ReadsEverySupportedKey) {
  const JwksInspection set =
      InspectJwks(Set(absl::StrCat(Ec(R"(,"kid":"e","alg":"ES256","use":"sig")"), ",",
                                   Rsa(kN, "AQAB", R"(,"kid":"r")"), ",", Oct(32))));
  EXPECT_TRUE(set.problems.empty()) << set.problems[0].member << " " << set.problems[0].reason;
  ASSERT_EQ(set.keys.size(), 3u);
  EXPECT_EQ(set.keys[0].kid, "e");
  EXPECT_EQ(set.keys[0].alg, "ES256");
  EXPECT_EQ(set.keys[0].x.size(), 32u);
  EXPECT_EQ(set.keys[1].alg, "RS256");
  EXPECT_EQ(set.keys[1].n.size(), 256u);
  EXPECT_EQ(set.keys[1].e, std::string("\x01\x00\x01", 3));
  EXPECT_EQ(set.keys[2].alg, "HS256");
  EXPECT_EQ(set.keys[2].k, std::string(32, 'k'));
  EXPECT_TRUE(set.has_secret);
  EXPECT_FALSE(InspectJwks(Set(Ec(""))).has_secret);
  EXPECT_TRUE(ParseJwks(Set(Ec(""))).ok());
}

TEST(Jwks, LeavesOutKeysForOtherUses) {
  const JwksInspection set = InspectJwks(Set(absl::StrCat(
      Ec(""),
      R"(,{"kty":"RSA","use":"enc","alg":"RSA-OAEP"},{"kty":"OKP","key_ops":["deriveKey"]})")));
  EXPECT_TRUE(set.problems.empty());
  EXPECT_EQ(set.keys.size(), 1u);
}

TEST(Jwks, NamesEveryProblem) {
  const std::string small(EncodeBase64Url(std::string(128, '\xff')));
  const std::string even(EncodeBase64Url(std::string(256, '\xfe')));
  const std::string off_curve(EncodeBase64Url(std::string(32, '\x01')));
  const struct {
    std::string text;
    const char* member;
    const char* reason;
  } kCases[] = {
      {"", "", "is not JSON"},
      {"{", "", "is not JSON"},
      {"[]", "", "is not a JSON object"},
      {"{}", "", "has no array"},
      {R"({"keys":1})", "", "has no array"},
      {R"({"keys":[]})", "keys", "holds no key"},
      {"(redacted)", "", "dumps show"},
      {Set("1"), "keys[0]", "not a JSON object"},
      {Set("{}"), "keys[0].kty", "missing"},
      {Set(R"({"kty":1})"), "keys[0].kty", "not a string"},
      {Set(R"({"kty":"OKP"})"), "keys[0].kty", "not a supported key type"},
      {Set(R"({"kty":"EC","crv":"P-384"})"), "keys[0].crv", "not a supported curve"},
      {Set(R"({"kty":"EC","crv":"P-256","x":"AA","y":"AA"})"), "keys[0].x", "exactly 32 bytes"},
      {Set(absl::StrCat(R"({"kty":"EC","crv":"P-256","x":")", kX, R"(","y":")", off_curve, "\"}")),
       "keys[0].x", "not on the curve"},
      {Set(Rsa(small, "AQAB", "")), "keys[0].n", "2048 to 8192"},
      {Set(Rsa(even, "AQAB", "")), "keys[0].n", "even"},
      {Set(Rsa("a+b", "AQAB", "")), "keys[0].n", "base64url"},
      {Set(Rsa(kN, "AQ", "")), "keys[0].e", "odd number"},
      {Set(Rsa(kN, "Ag", "")), "keys[0].e", "odd number"},
      {Set(Rsa(kN, "AQAB", R"(,"alg":"PS256")")), "keys[0].alg", "not supported"},
      {Set(Rsa(kN, "AQAB", R"(,"d":"AA")")), "keys[0].d", "private key"},
      {Set(Oct(31)), "keys[0].k", "32 to 1024"},
      {Set(absl::StrCat(Ec(R"(,"kid":"a")"), ",", Ec(R"(,"kid":"a")"))), "keys[1].kid",
       "earlier key"},
      {Set(absl::StrCat(Ec(""), ",", Oct(1))), "keys[1].k", "32 to 1024"},
  };
  for (const auto& c : kCases) {
    const JwksInspection set = InspectJwks(c.text);
    ASSERT_FALSE(set.problems.empty()) << c.text;
    EXPECT_EQ(set.problems[0].member, c.member) << c.text;
    EXPECT_THAT(set.problems[0].reason, HasSubstr(c.reason)) << c.text;
    EXPECT_FALSE(set.problems[0].fix.empty()) << c.text;
    EXPECT_FALSE(ParseJwks(c.text).ok());
  }
}

TEST(Jwks, IsBounded) {
  EXPECT_FALSE(ParseJwks(Set(absl::StrCat("\"", std::string(300000, 'x'), "\""))).ok());
  std::string many = Oct(32);
  for (int i = 0; i < 100; ++i) absl::StrAppend(&many, ",", Oct(32));
  EXPECT_FALSE(ParseJwks(Set(many)).ok());
  EXPECT_FALSE(ParseJwks(Set(std::string(100000, '['))).ok());
  EXPECT_FALSE(ParseJwks(Set(std::string(50000, '[') + std::string(50000, ']'))).ok());
}

}  // namespace
}  // namespace portico::api
