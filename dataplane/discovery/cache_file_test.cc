#include "dataplane/discovery/cache_file.h"

#include <string>
#include <vector>

#include "dataplane/discovery/test_resources.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace portico::discovery_client {
namespace {

using ::testing::HasSubstr;

CacheKey Key(uint8_t fill) {
  CacheKey key;
  key.fill(fill);
  return key;
}

std::string Encoded(const api::ResourceSet& set) {
  return EncodeCache(42, 1234, set, "node", Key(1));
}

TEST(CacheFile, RoundTrip) {
  for (const api::ResourceSet& set : {TestSet({}), TestSet({{"a", "1"}, {"b", "2"}})}) {
    const auto cached = DecodeCache(Encoded(set), "node", Key(1));
    ASSERT_TRUE(cached.ok()) << cached.status();
    EXPECT_EQ(cached->revision, 42u);
    EXPECT_EQ(cached->saved_at, 1234);
    EXPECT_EQ(cached->resources.size(), set.size());
    EXPECT_EQ(api::ChecksumOf(cached->resources), api::ChecksumOf(set));
  }
}

TEST(CacheFile, ContentIsNotReadableAndNeverTwiceTheSame) {
  const api::ResourceSet set = TestSet({{"a", "a very secret description"}});
  const std::string first = Encoded(set);
  EXPECT_EQ(first.find("secret"), std::string::npos);
  EXPECT_NE(first, Encoded(set));
}

TEST(CacheFile, KeysAreNotReadableAndComeBack) {
  v1::Resource certificate;
  certificate.set_name("site");
  certificate.mutable_certificate()->set_chain("a chain");
  certificate.mutable_certificate()->set_private_key("a private key of a certificate");
  v1::Resource tickets;
  tickets.set_name("default");
  tickets.mutable_session_ticket_keys()->add_keys()->set_secret("the secret of session tickets..");
  api::ResourceSet set;
  for (const v1::Resource& resource : {certificate, tickets})
    set[api::KeyOf(resource)] = api::MakeStored(resource);
  const std::string bytes = Encoded(set);
  for (const char* secret : {"private key", "session tickets", "a chain", "site", "default"})
    EXPECT_EQ(bytes.find(secret), std::string::npos) << secret;
  const auto cached = DecodeCache(bytes, "node", Key(1));
  ASSERT_TRUE(cached.ok()) << cached.status();
  EXPECT_EQ(cached->resources.at({"Certificate", "site"})->resource.certificate().private_key(),
            certificate.certificate().private_key());
  EXPECT_EQ(api::ChecksumOf(cached->resources), api::ChecksumOf(set));
}

TEST(CacheFile, EveryFlippedBitIsNoticed) {
  const std::string good = Encoded(TestSet({{"a", "1"}, {"b", "2"}}));
  for (size_t i = 0; i < good.size(); ++i) {
    for (const int bit : {0, 7}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      const auto cached = DecodeCache(bad, "node", Key(1));
      ASSERT_EQ(cached.status().code(), absl::StatusCode::kDataLoss) << "byte " << i;
    }
  }
}

TEST(CacheFile, EveryLengthIsNoticed) {
  const std::string good = Encoded(TestSet({{"a", "1"}}));
  for (size_t size = 0; size < good.size(); ++size) {
    ASSERT_EQ(DecodeCache(good.substr(0, size), "node", Key(1)).status().code(),
              absl::StatusCode::kDataLoss);
  }
  EXPECT_FALSE(DecodeCache(good + "x", "node", Key(1)).ok());
}

TEST(CacheFile, SaysWhatIsWrong) {
  const std::string good = Encoded(TestSet({{"a", "1"}}));
  std::string version = good;
  version[8] = 9;
  struct Case {
    std::string bytes, node_id;
    CacheKey key;
    const char* message;
  };
  const std::vector<Case> cases = {
      {"", "node", Key(1), "no cache"},
      {"GIF89a", "node", Key(1), "no cache"},
      {good.substr(0, 20), "node", Key(1), "cut short"},
      {version, "node", Key(1), "format version 9"},
      {good, "node", Key(2), "another key or node id"},
      {good, "other", Key(1), "another key or node id"},
  };
  for (const Case& c : cases) {
    const auto cached = DecodeCache(c.bytes, c.node_id, c.key);
    EXPECT_THAT(std::string(cached.status().message()), HasSubstr(c.message));
  }
}

// The part that encryption protects is checked as if it were not.
TEST(CacheFile, ResourcesThatAreWrong) {
  const std::string good = EncodeResources(TestSet({{"a", "1"}, {"b", "2"}}));
  ASSERT_TRUE(DecodeResources(good).ok());
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(DecodeResources(std::string_view(good).substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(DecodeResources(good + "x").ok());
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x41);
    EXPECT_FALSE(DecodeResources(bad).ok()) << i;
  }
  // Twice the same resource.
  std::string twice = EncodeResources(TestSet({{"a", "1"}}));
  twice[0] = 2;
  twice.insert(4, twice.substr(4, twice.size() - 4 - 32));
  const auto decoded = DecodeResources(twice);
  EXPECT_THAT(std::string(decoded.status().message()), HasSubstr("out of order"));
}

}  // namespace
}  // namespace portico::discovery_client
