#include "controlplane/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace portico::control {
namespace {

using ::testing::HasSubstr;

Options Insecure(const std::string& address) {
  Options options;
  options.store = "store.db";
  options.insecure = true;
  options.grpc_address = address;
  return options;
}

TEST(IsLoopback, Knows) {
  for (const char* address : {"127.0.0.1:1", "127.9.9.9:0", "localhost:80", "[::1]:80"}) {
    EXPECT_TRUE(IsLoopback(address)) << address;
  }
  for (const char* address : {"0.0.0.0:1", "10.0.0.1:1", "[::]:1", "example.com:1", "127.0.0.1",
                              "localhost.example.com:1", "", ":1", "::1:1"}) {
    EXPECT_FALSE(IsLoopback(address)) << address;
  }
}

TEST(CheckOptions, PlaintextIsForLoopbackOnly) {
  EXPECT_TRUE(CheckOptions(Insecure("127.0.0.1:7400")).ok());
  const absl::Status status = CheckOptions(Insecure("0.0.0.0:7400"));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("loopback addresses only"));
}

TEST(CheckOptions, SaysWhatIsMissing) {
  struct Case {
    const char* name;
    void (*spoil)(Options& options);
    const char* message;
  };
  const Case cases[] = {
      {"store", [](Options& o) { o.store.clear(); }, "--store is missing"},
      {"address", [](Options& o) { o.grpc_address = "7400"; }, "--grpc-address: \"7400\" is no"},
      {"port", [](Options& o) { o.grpc_address = "127.0.0.1:65536"; }, "--grpc-address"},
      {"metrics", [](Options& o) { o.metrics_address = "x"; }, "--metrics-address"},
      {"tls", [](Options& o) { o.insecure = false; }, "needs --tls-cert, --tls-key, --client-ca"},
      {"part",
       [](Options& o) {
         o.insecure = false;
         o.tls_cert = "x";
         o.tls_key = "x";
       },
       "also needs --client-ca"},
      {"both", [](Options& o) { o.tls_cert = "x"; }, "exclude each other"},
      {"operators", [](Options& o) { o.operators = {"ada"}; }, "--operators needs certificates"},
      {"revisions", [](Options& o) { o.keep_revisions = 0; }, "--keep-revisions"},
      {"proxies", [](Options& o) { o.max_proxies = 0; }, "--max-proxies"},
      {"rotation too often", [](Options& o) { o.ticket_key_rotation = absl::Seconds(59); },
       "--ticket-key-rotation must be 0 or from 1m to 168h"},
      {"rotation too seldom", [](Options& o) { o.ticket_key_rotation = absl::Hours(169); },
       "--ticket-key-rotation"},
      {"file",
       [](Options& o) {
         o.insecure = false;
         o.tls_cert = o.tls_key = o.client_ca = "/nonexistent.pem";
       },
       "--tls-cert: cannot read /nonexistent.pem: No such file"},
  };
  for (const Case& c : cases) {
    Options options = Insecure("127.0.0.1:0");
    c.spoil(options);
    const absl::Status status = CheckOptions(options);
    EXPECT_FALSE(status.ok()) << c.name;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.message)) << c.name;
    EXPECT_EQ(status.message().find('\n'), std::string::npos) << c.name;
  }
}

TEST(CheckOptions, NoticesFilesThatAreNoPem) {
  const std::string path = testing::TempDir() + "/not.pem";
  std::ofstream(path) << "hello";
  Options options = Insecure("127.0.0.1:0");
  options.insecure = false;
  options.tls_cert = options.tls_key = options.client_ca = path;
  EXPECT_THAT(std::string(CheckOptions(options).message()), HasSubstr("give a PEM file"));
}

TEST(CheckOptions, MetricsMayBeOff) {
  Options options = Insecure("127.0.0.1:0");
  options.metrics_address.clear();
  EXPECT_TRUE(CheckOptions(options).ok());
}

}  // namespace
}  // namespace portico::control
