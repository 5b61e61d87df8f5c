// A stream's contract: what is sent comes out, ends, cancellation, what is no TLS.
#include <random>

#include "dataplane/tls/stream_fixture.h"

namespace portico::tls {
namespace {

std::string Noise(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}

TEST_P(StreamTest, BytesGoBothWays) {
  Pair pair = Connect();
  ASSERT_TRUE(pair.ok()) << pair.server_status << pair.client_status;
  EXPECT_EQ(pair.server->info().version, "TLSv1.3");
  EXPECT_EQ(pair.server->info().server_name, "a.example.com");
  EXPECT_EQ(pair.client->info().cipher, pair.server->info().cipher);
  EXPECT_EQ(pair.server->info().cipher, "TLS_AES_128_GCM_SHA256");
  EXPECT_TRUE(pair.client->info().has_peer_certificate);
  EXPECT_EQ(pair.client->info().peer_certificate.fingerprint, leaf_.fingerprint);
  EXPECT_FALSE(pair.server->info().has_peer_certificate);
  EXPECT_EQ(Pass(*pair.client, *pair.server, "hello"), "hello");
  EXPECT_EQ(Pass(*pair.server, *pair.client, "world"), "world");
}

TEST_P(StreamTest, LargeTransfers) {
  Pair pair = Connect();
  ASSERT_TRUE(pair.ok());
  for (const size_t size : {1u, 16383u, 16384u, 16385u, 65536u, 1000000u, 5000000u}) {
    const std::string bytes = Noise(size, static_cast<uint32_t>(size));
    EXPECT_TRUE(Pass(*pair.client, *pair.server, bytes) == bytes) << size;
    EXPECT_TRUE(Pass(*pair.server, *pair.client, bytes) == bytes) << size;
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, StreamTest, testing::ValuesIn(event::Engines()),
                         event::EngineName);

}  // namespace
}  // namespace portico::tls
