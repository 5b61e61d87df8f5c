#include "dataplane/server/admin.h"

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "api/resource/resource.h"
#include "dataplane/observe/metric_family.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace portico::server {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

class FakeHooks final : public AdminHooks {
 public:
  bool Ready() const override { return ready; }
  std::shared_ptr<const snapshot::Snapshot> Live() const override { return live; }
  void RequestDrain() override { ++drains; }

  std::atomic<bool> ready{false};
  std::atomic<int> drains{0};
  std::shared_ptr<const snapshot::Snapshot> live;
};

class OneMetric final : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override {
    return {observe::OneCounter("test_things_total", "Things", 3)};
  }
};

std::shared_ptr<const snapshot::Snapshot> TestSnapshot() {
  auto snapshot = std::make_shared<snapshot::Snapshot>();
  snapshot->revision = 42;
  snapshot->built_at = 1'767'225'600'000'000'000;
  for (const char* name : {"a", "b"}) {
    v1::Resource resource;
    resource.set_name(name);
    resource.mutable_upstream();
    const auto stored = api::MakeStored(resource);
    snapshot->resources[api::KeyOf(stored->resource)] = stored;
  }
  v1::Resource provider;
  provider.set_name("a");
  provider.mutable_jwt_provider()->set_jwks(
      R"({"keys":[{"kty":"oct","kid":"k","k":"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"}]})");
  const auto stored = api::MakeStored(provider);
  snapshot->resources[api::KeyOf(stored->resource)] = stored;
  return snapshot;
}

class AdminPagesTest : public ::testing::Test {
 protected:
  AdminResponse Answer(const AdminRequest& request) { return pages_.Answer(request); }
  AdminResponse Get(const std::string& path) {
    AdminRequest request;
    request.method = "GET";
    request.path = path;
    return Answer(request);
  }

  FakeHooks hooks_;
  AdminPages pages_{hooks_, {std::make_shared<OneMetric>()}};
};

TEST_F(AdminPagesTest, ReadyOnlyWithARevisionAndNoDrain) {
  AdminResponse response = Get("/ready");
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(json::parse(response.body)["reason"], "no_revision");
  hooks_.live = TestSnapshot();
  hooks_.ready = true;
  response = Get("/ready");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(json::parse(response.body)["revision"], 42);
  hooks_.ready = false;
  response = Get("/ready");
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(json::parse(response.body)["reason"], "draining");
  EXPECT_EQ(Get("/live").status, 200);
}

TEST_F(AdminPagesTest, ConfigIsJsonWithoutSecrets) {
  EXPECT_EQ(Get("/config").status, 503);
  hooks_.live = TestSnapshot();
  const AdminResponse response = Get("/config");
  ASSERT_EQ(response.status, 200);
  const json config = json::parse(response.body);
  EXPECT_EQ(config["revision"], 42);
  EXPECT_EQ(config["checksum"].get<std::string>().size(), 64u);
  EXPECT_EQ(config["built_at"], "2026-01-01T00:00:00.000Z");
  ASSERT_EQ(config["resources"].size(), 3u);
  EXPECT_THAT(response.body, Not(HasSubstr("c2VjcmV0")));
  EXPECT_THAT(response.body, HasSubstr("redacted"));
}

TEST_F(AdminPagesTest, ConfigCanBeFiltered) {
  hooks_.live = TestSnapshot();
  struct Case {
    std::optional<std::string> kind, name;
    size_t count;
  };
  const std::vector<Case> cases = {
      {"Upstream", std::nullopt, 2}, {std::nullopt, "a", 2}, {"Upstream", "a", 1},
      {"Upstream", "missing", 0},    {"Missing", "a", 0},    {"", "", 0},
  };
  for (const Case& c : cases) {
    AdminRequest request;
    request.method = "GET";
    request.path = "/config";
    request.kind = c.kind;
    request.name = c.name;
    EXPECT_EQ(json::parse(Answer(request).body)["resources"].size(), c.count);
  }
}

TEST_F(AdminPagesTest, MethodsAndPaths) {
  struct Case {
    const char *method, *path;
    int status;
    const char* allow;
  };
  const std::vector<Case> cases = {
      {"HEAD", "/live", 200, ""},           {"GET", "/", 404, ""},
      {"GET", "/ready/", 404, ""},          {"POST", "/other", 404, ""},
      {"GET", "/drain", 405, "POST"},       {"HEAD", "/drain", 405, "POST"},
      {"DELETE", "/drain", 405, "POST"},    {"POST", "/ready", 405, "GET, HEAD"},
      {"PUT", "/config", 405, "GET, HEAD"}, {"", "", 404, ""},
  };
  for (const Case& c : cases) {
    AdminRequest request;
    request.method = c.method;
    request.path = c.path;
    const AdminResponse response = Answer(request);
    EXPECT_EQ(response.status, c.status) << c.method << " " << c.path;
    EXPECT_EQ(response.allow, c.allow);
    EXPECT_TRUE(json::accept(response.body));
  }
  EXPECT_EQ(hooks_.drains, 0);
}

TEST_F(AdminPagesTest, DrainIsNotForBrowsers) {
  AdminRequest request;
  request.method = "POST";
  request.path = "/drain";
  request.origin = "http://localhost:3000";
  EXPECT_EQ(Answer(request).status, 403);
  request.origin.reset();
  request.host = "rebound.example.com";
  EXPECT_EQ(Answer(request).status, 403);
  EXPECT_EQ(hooks_.drains, 0);
  request.host = "127.0.0.1:9901";
  EXPECT_EQ(Answer(request).status, 202);
  EXPECT_EQ(hooks_.drains, 1);
}

TEST(AdminHost, Table) {
  for (const char* host : {"localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:1", "127.3.4.5",
                           "[::1]", "[::1]:80"}) {
    EXPECT_TRUE(IsLoopbackHost(host)) << host;
  }
  for (const char* host : {"", "example.com", "localhost.example.com", "127.0.0.1.example.com",
                           "10.0.0.1", "[::2]", "[::1", "::1", ":80", "[]"}) {
    EXPECT_FALSE(IsLoopbackHost(host)) << host;
  }
}

class AdminServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto server = AdminServer::Start(net::SocketAddress::Parse("127.0.0.1:0").value(), hooks_,
                                     {std::make_shared<OneMetric>()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    ASSERT_NE(server_->address().port, 0);
  }

  // Sends bytes, returns everything until the other side closes.
  std::string Talk(const std::string& bytes) const {
    sockaddr_storage address{};
    const socklen_t size = server_->address().ToSockaddr(address);
    const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(connect(descriptor, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(send(descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
    std::string answer;
    char piece[4096];
    for (ssize_t n; (n = recv(descriptor, piece, sizeof(piece), 0)) > 0;) {
      answer.append(piece, static_cast<size_t>(n));
    }
    close(descriptor);
    return answer;
  }
  std::string Request(const std::string& line, const std::string& more = "") const {
    return Talk(line + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n");
  }

  FakeHooks hooks_;
  std::unique_ptr<AdminServer> server_;
};

TEST_F(AdminServerTest, AnswersOverHttp) {
  hooks_.live = TestSnapshot();
  EXPECT_THAT(Request("GET /live"), HasSubstr("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(Request("GET /ready"), HasSubstr("HTTP/1.1 503 Service Unavailable\r\n"));
  const std::string metrics = Request("GET /metrics");
  EXPECT_THAT(metrics, HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  EXPECT_THAT(metrics, HasSubstr("test_things_total 3\n"));
  EXPECT_THAT(metrics, HasSubstr("process_resident_memory_bytes "));
  EXPECT_THAT(Request("GET /config?kind=Jwt%50rovider&name=a"), Not(HasSubstr("Upstream")));
  EXPECT_THAT(Request("GET /config?name=" + std::string(600, 'x')),
              HasSubstr("\"resources\":[\n]"));
  const std::string head = Request("HEAD /live");
  EXPECT_THAT(head, HasSubstr("200 OK"));
  EXPECT_THAT(head, HasSubstr("Content-Length: 14\r\n"));
  EXPECT_TRUE(head.ends_with("\r\n\r\n"));
}

TEST_F(AdminServerTest, DrainsByPostOnly) {
  EXPECT_THAT(Request("GET /drain"), HasSubstr("Allow: POST\r\n"));
  EXPECT_EQ(hooks_.drains, 0);
  EXPECT_THAT(Request("POST /drain"), HasSubstr("202 Accepted"));
  EXPECT_THAT(Request("POST /drain", "Content-Length: 3\r\n\r\nabc"), HasSubstr("202 Accepted"));
  EXPECT_EQ(hooks_.drains, 2);
  EXPECT_THAT(Talk("POST /drain HTTP/1.1\r\nHost: evil.example.com\r\n\r\n"), HasSubstr("403"));
  EXPECT_THAT(Request("POST /drain", "Origin: http://evil.example.com\r\n"), HasSubstr("403"));
  EXPECT_EQ(hooks_.drains, 2);
}

TEST_F(AdminServerTest, NonsenseIsRefused) {
  for (const char* bytes : {"\r\n\r\n", "GET\r\n\r\n", "GET /live\r\n\r\n", "\x16\x03\x01\r\n\r\n",
                            "GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
                            "GET http://localhost/live/../x HTTP/1.1\r\nHost: localhost\r\n\r\n"}) {
    EXPECT_THAT(Talk(bytes), Not(HasSubstr(" 200 "))) << bytes;
  }
  EXPECT_THAT(Talk("GET /" + std::string(20'000, 'x') + " HTTP/1.1\r\nHost: localhost\r\n\r\n"),
              Not(HasSubstr(" 200 ")));
  EXPECT_THAT(Request("GET /live"), HasSubstr("200 OK"));
}

TEST_F(AdminServerTest, ManyAtOnceAndStop) {
  std::vector<std::thread> threads;
  std::atomic<int> fine{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10; ++i) fine += Request("GET /live").find("200 OK") != std::string::npos;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(fine, 80);
  server_->Stop();
  server_->Stop();
}

TEST_F(AdminServerTest, AddressesThatCannotBeUsed) {
  for (const char* address : {"0.0.0.0:0", "10.0.0.1:0", "[::]:0"}) {
    const auto server = AdminServer::Start(net::SocketAddress::Parse(address).value(), hooks_, {});
    EXPECT_EQ(server.status().code(), absl::StatusCode::kInvalidArgument) << address;
    EXPECT_THAT(std::string(server.status().message()), HasSubstr("not loopback"));
  }
  const auto taken = AdminServer::Start(server_->address(), hooks_, {});
  EXPECT_EQ(taken.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(taken.status().message()), HasSubstr(server_->address().ToString()));
}

}  // namespace
}  // namespace portico::server
