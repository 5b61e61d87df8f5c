#include "dataplane/server/settings.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <string>
#include <vector>

namespace portico::server {
namespace {

TEST(IoEngineTest, Names) {
  EXPECT_EQ(*ParseIoEngine("auto"), event::EngineKind::kAuto);
  EXPECT_EQ(*ParseIoEngine("uring"), event::EngineKind::kUring);
  EXPECT_EQ(*ParseIoEngine("epoll"), event::EngineKind::kEpoll);
  for (const char* wrong : {"", "io_uring", "Uring", "select"}) {
    const auto kind = ParseIoEngine(wrong);
    ASSERT_FALSE(kind.ok());
    EXPECT_EQ(kind.status().message(),
              std::string("--io-engine=") + wrong + ": must be auto, uring or epoll");
  }
}

class SettingsTest : public testing::Test {
 protected:
  SettingsTest() : file_(testing::TempDir() + "settings_test.file") {
    std::ofstream(file_) << "kind: Listener\n";
    good_.node_id = "p1";
    good_.config_file = file_;
  }

  const std::string file_;
  Settings good_;
};

TEST_F(SettingsTest, EitherAFileOrAControlPlane) {
  EXPECT_TRUE(CheckSettings(good_).ok());
  Settings remote = good_;
  remote.config_file.clear();
  remote.control_plane = "127.0.0.1:7400";
  remote.insecure = true;
  EXPECT_TRUE(CheckSettings(remote).ok());
  remote.cache_dir = "/var/lib/portico";
  remote.cache_key_file = file_;
  EXPECT_TRUE(CheckSettings(remote).ok());
  remote.insecure = false;
  remote.cache_key_file.clear();
  remote.tls_cert = remote.tls_key = remote.tls_ca = file_;
  EXPECT_TRUE(CheckSettings(remote).ok());
}

TEST_F(SettingsTest, FaultsNameTheFlagInOneLine) {
  const auto remote = [this](Settings& settings) {
    settings.config_file.clear();
    settings.control_plane = "127.0.0.1:7400";
  };
  const struct {
    const char* needle;
    std::function<void(Settings&)> spoil;
  } cases[] = {
      {"--config", [](Settings& s) { s.config_file.clear(); }},
      {"--control-plane", [](Settings& s) { s.control_plane = "127.0.0.1:7400"; }},
      {"--node-id", [](Settings& s) { s.node_id.clear(); }},
      {"--node-id", [](Settings& s) { s.node_id.assign(129, 'x'); }},
      {"--node-id", [](Settings& s) { s.node_id = "edge 1"; }},
      {"--node-id", [](Settings& s) { s.node_id = "edge\xff"; }},
      {"--label", [](Settings& s) { s.labels["zone"] = "\xff"; }},
      {"--label", [](Settings& s) { s.labels["zone"].assign(1025, 'x'); }},
      {"--label",
       [](Settings& s) {
         for (int i = 0; i < 65; ++i) s.labels["l" + std::to_string(i)] = "";
       }},
      {"--workers=0", [](Settings& s) { s.workers = 0; }},
      {"--workers=1025", [](Settings& s) { s.workers = 1025; }},
      {"--drain-grace", [](Settings& s) { s.drain_grace_nanos = -1; }},
      {"--drain-timeout", [](Settings& s) { s.drain_timeout_nanos = -1; }},
      {"--rate-limit-cells=1023", [](Settings& s) { s.rate_limit_cells = 1023; }},
      {"--io-gather-micros=1001", [](Settings& s) { s.io_gather_micros = 1001; }},
      {"--config=/no/such/file", [](Settings& s) { s.config_file = "/no/such/file"; }},
      {"--tls-cert", [&](Settings& s) { remote(s); }},
      {"--insecure", [&](Settings& s) { remote(s), s.insecure = true, s.tls_cert = file_; }},
      {"--tls-key", [&](Settings& s) { remote(s), s.tls_cert = s.tls_ca = file_; }},
      {"--tls-ca=/no/such/ca",
       [&](Settings& s) { remote(s), s.tls_cert = s.tls_key = file_, s.tls_ca = "/no/such/ca"; }},
      {"--cache-key-file", [&](Settings& s) { remote(s), s.insecure = true, s.cache_dir = "/var/lib/portico"; }},
  };
  for (const auto& c : cases) {
    Settings settings = good_;
    c.spoil(settings);
    const absl::Status status = CheckSettings(settings);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << c.needle << ": " << status;
    EXPECT_NE(status.message().find(c.needle), std::string::npos) << c.needle << " in " << status;
    EXPECT_EQ(status.message().find('\n'), std::string::npos) << status;
  }
}

TEST_F(SettingsTest, Pairs) {
  const auto pairs = ParsePairs("label", {"zone=a", "empty=", "equation=x=y", "zone=b"});
  ASSERT_TRUE(pairs.ok());
  EXPECT_EQ(*pairs, (std::map<std::string, std::string>{{"zone", "b"}, {"empty", ""}, {"equation", "x=y"}}));
  for (const char* bad : {"", "zone", "=a"}) {
    const auto refused = ParsePairs("label", {bad});
    ASSERT_FALSE(refused.ok()) << bad;
    EXPECT_NE(refused.status().message().find("--label"), std::string::npos);
  }
}

TEST_F(SettingsTest, ListenerAddresses) {
  const auto addresses = ParseListenerAddresses({"http=127.0.0.1:80", "six=[::1]:0"});
  ASSERT_TRUE(addresses.ok());
  EXPECT_EQ(addresses->at("http").ToString(), "127.0.0.1:80");
  EXPECT_EQ(addresses->at("six").ToString(), "[::1]:0");
  for (const char* bad : {"http", "http=", "http=localhost:80", "http=127.0.0.1", "http=127.0.0.1:65536"}) {
    const auto refused = ParseListenerAddresses({bad});
    ASSERT_FALSE(refused.ok()) << bad;
    EXPECT_NE(refused.status().message().find("--listener-address=http"), std::string::npos) << refused.status();
  }
}

}  // namespace
}  // namespace portico::server
