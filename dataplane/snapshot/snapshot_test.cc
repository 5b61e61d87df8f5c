#include "dataplane/snapshot/snapshot.h"

#include <string>
#include <utility>
#include <vector>

#include "api/resource/text.h"
#include "dataplane/base/fake_clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace portico::snapshot {
namespace {

using testing::HasSubstr;

constexpr char kBase[] = R"(
kind: Listener
name: web
spec: {address: "127.0.0.1:8080", access_log: log, trusted_hops: [10.0.0.0/8]}
---
kind: Listener
name: internal
spec: {address: "127.0.0.1:8081", proxy_protocol: required, limits: {max_header_count: 7, header_timeout: 3s}}
---
kind: AccessLog
name: log
spec: {path: stdout, request_headers: [User-Agent]}
---
kind: Upstream
name: users
spec: {endpoints: [{address: "127.0.0.1:9001"}, {address: "[::1]:9002", weight: 3}], load_balancer: least_request}
---
kind: Upstream
name: orders
spec: {endpoints: [{address: "127.0.0.1:9003"}], connect_timeout: 1s, circuit_breaker: {max_requests: 5}}
---
kind: Route
name: users
spec:
  match: {path: {prefix: /users}}
  upstreams: [{name: users, weight: 3}, {name: orders}]
  rewrite: {prefix: /v2/users, host: users.internal}
  timeout: 3s
---
kind: Route
name: orders
spec:
  match: {path: {prefix: /orders}, methods: [GET], headers: [{name: X-Tenant, exact: acme}]}
  upstreams: [{name: orders}]
  max_body_bytes: 10
  retry: {attempts: 1}
---
kind: Route
name: status
spec:
  match: {path: {exact: /status}, listeners: [internal]}
  respond: {status: 200, body: fine}
)";

api::ResourceSet Set(const std::string& yaml) {
  api::ResourceSet set;
  auto resources = api::ParseResources(yaml, "test.yaml");
  EXPECT_TRUE(resources.ok()) << resources.status();
  if (!resources.ok()) return set;
  for (v1::Resource& resource : *resources) {
    api::StoredResourcePtr stored = api::MakeStored(std::move(resource));
    set[api::KeyOf(stored->resource)] = stored;
  }
  return set;
}

// Counts calls; its policies remember in which round they were made.
class CountingBuilder final : public PolicyBuilder {
 public:
  struct RoundPolicy final : Policy {
    explicit RoundPolicy(int at) : round(at) {}
    std::optional<LocalReply> OnRequest(PolicyContext&) const override { return std::nullopt; }
    const int round;
  };
  struct Shared {
    int round = 0, built = 0, asked = 0;
    std::string affected, refuse;
  };
  explicit CountingBuilder(Shared& shared) : shared_(shared) {}

  PolicyKind kind() const override { return PolicyKind::kHeaderTransform; }
  absl::Status BeginSnapshot(const api::ResourceSet&) override {
    ++shared_.round;
    return absl::OkStatus();
  }
  absl::StatusOr<std::shared_ptr<const Policy>> Build(const api::StoredResource& route) override {
    ++shared_.built;
    if (route.resource.name() == shared_.refuse) return absl::InvalidArgumentError("spec.x: is refused");
    return std::make_shared<RoundPolicy>(shared_.round);
  }
  bool Affected(const api::StoredResource& route) const override {
    ++shared_.asked;
    return route.resource.name() == shared_.affected;
  }

 private:
  Shared& shared_;
};

class SnapshotTest : public testing::Test {
 protected:
  SnapshotTest() : builder_(Builders(), ids_, clock_) {}

  PolicyBuilders Builders() {
    PolicyBuilders builders;
    builders.push_back(std::make_unique<CountingBuilder>(counts_));
    return builders;
  }
  std::shared_ptr<const Snapshot> Build(const api::ResourceSet& set) {
    auto snapshot = builder_.Build(++revision_, set, violations_);
    EXPECT_TRUE(snapshot.ok()) << snapshot.status();
    return snapshot.ok() ? *snapshot : nullptr;
  }
  static const RouteEntry* Route(const Snapshot& snapshot, const std::string& name) {
    for (const RouteEntry& route : snapshot.routes) {
      if (route.name() == name) return &route;
    }
    return nullptr;
  }
  static const RouteDetails* Details(const Snapshot& snapshot, const std::string& name) {
    const RouteEntry* route = Route(snapshot, name);
    return route == nullptr ? nullptr : route->details.get();
  }
  // The name of the matching route, or "".
  static std::string Match(const Snapshot& snapshot, size_t listener, const char* path, const char* tenant = "acme") {
    base::Arena arena;
    http::RequestHead head(arena);
    head.method = http::Method::kGet;
    head.method_text = "GET";
    head.path = head.target = path;
    head.host = head.authority = "h";
    if (tenant != nullptr) head.headers.Add("x-TENANT", tenant);
    const RouteEntry* route = snapshot.Match(*snapshot.listeners[listener], head);
    return route == nullptr ? "" : route->name();
  }

  base::FakeClock clock_;
  observe::MetricIds ids_{100, 100};
  CountingBuilder::Shared counts_;
  SnapshotBuilder builder_;
  std::vector<v1::Violation> violations_;
  uint64_t revision_ = 0;
};

TEST_F(SnapshotTest, CompilesEntriesWithTheirDefaults) {
  const auto snapshot = Build(Set(kBase));
  ASSERT_NE(snapshot, nullptr);
  EXPECT_EQ(snapshot->revision, 1u);
  EXPECT_EQ(snapshot->built_at, clock_.Unix());
  EXPECT_EQ(snapshot->checksum, api::ChecksumOf(snapshot->resources));

  ASSERT_EQ(snapshot->listeners.size(), 2u);
  const ListenerEntry& internal = *snapshot->listeners[0];
  const ListenerEntry& web = *snapshot->listeners[1];
  EXPECT_EQ(web.name, "web");
  EXPECT_EQ(web.address.ToString(), "127.0.0.1:8080");
  EXPECT_FALSE(web.proxy_protocol);
  EXPECT_EQ(web.max_header_bytes, 61440u);
  EXPECT_EQ(web.max_header_count, 100u);
  EXPECT_EQ(web.header_timeout_nanos, 10 * base::kNanosPerSecond);
  EXPECT_EQ(web.stream_idle_timeout_nanos, 300 * base::kNanosPerSecond);
  EXPECT_EQ(web.idle_timeout_nanos, 3600 * base::kNanosPerSecond);
  ASSERT_EQ(web.trusted_hops.size(), 1u);
  EXPECT_EQ(web.access_log, "log");
  EXPECT_TRUE(internal.proxy_protocol);
  EXPECT_EQ(internal.max_header_count, 7u);
  EXPECT_EQ(internal.header_timeout_nanos, 3 * base::kNanosPerSecond);
  ASSERT_EQ(snapshot->access_logs.size(), 1u);
  EXPECT_THAT(snapshot->access_logs[0]->request_headers, testing::ElementsAre("user-agent"));

  const RouteEntry& users = *Route(*snapshot, "users");
  ASSERT_EQ(users.details->targets.size(), 2u);
  EXPECT_EQ(users.details->targets[0].cumulative_weight, 3u);
  EXPECT_EQ(users.details->targets[1].cumulative_weight, 4u);
  const UpstreamEntry& upstream = *users.details->targets[0].upstream;
  EXPECT_TRUE(upstream.least_request);
  ASSERT_EQ(upstream.endpoints.size(), 2u);
  EXPECT_EQ(upstream.endpoints[1].address.ToString(), "[::1]:9002");
  EXPECT_EQ(upstream.endpoints[1].weight, 3u);
  EXPECT_EQ(upstream.connect_timeout_nanos, 5 * base::kNanosPerSecond);
  EXPECT_EQ(upstream.max_pending_requests, 1024u);
  EXPECT_EQ(upstream.outlier_failures, 5u);
  EXPECT_EQ(users.details->targets[1].upstream->max_requests, 5u);
  EXPECT_EQ(users.upstream, nullptr) << "there are two";
  EXPECT_TRUE(users.has_rewrite);
  EXPECT_TRUE(users.details->has_rewrite_prefix);
  EXPECT_EQ(users.details->match_prefix, "/users");
  EXPECT_EQ(users.details->rewrite_prefix, "/v2/users");
  EXPECT_EQ(users.details->rewrite_host, "users.internal");
  EXPECT_EQ(users.timeout_nanos, 3 * base::kNanosPerSecond);
  EXPECT_EQ(users.attempts, 2u);
  const RouteEntry& orders = *Route(*snapshot, "orders");
  EXPECT_EQ(orders.timeout_nanos, 15 * base::kNanosPerSecond);
  EXPECT_EQ(orders.attempts, 1u);
  ASSERT_NE(orders.upstream, nullptr);
  EXPECT_EQ(orders.upstream->name, "orders");
  EXPECT_FALSE(orders.has_rewrite);
  EXPECT_FALSE(orders.has_respond);
  EXPECT_EQ(orders.max_body_bytes, 10u);
  EXPECT_NE(orders.metric_id.index, users.metric_id.index);
  const RouteEntry& status = *Route(*snapshot, "status");
  EXPECT_TRUE(status.has_respond);
  EXPECT_EQ(status.details->respond->status, 200);
  EXPECT_EQ(status.details->respond->content_type, "text/plain; charset=utf-8");
}

TEST_F(SnapshotTest, MatchesByListener) {
  const auto snapshot = Build(Set(kBase));
  ASSERT_NE(snapshot, nullptr);
  EXPECT_EQ(Match(*snapshot, 0, "/status"), "status");
  EXPECT_EQ(Match(*snapshot, 1, "/status"), "");
  EXPECT_EQ(Match(*snapshot, 0, "/users/1"), "users");
  EXPECT_EQ(Match(*snapshot, 1, "/users/1"), "users");
  EXPECT_EQ(Match(*snapshot, 1, "/orders"), "orders");
  EXPECT_EQ(Match(*snapshot, 1, "/orders", "other"), "");
  EXPECT_EQ(Match(*snapshot, 1, "/orders", nullptr), "");
}

TEST_F(SnapshotTest, SharesWhatDidNotChange) {
  api::ResourceSet set = Set(kBase);
  const auto first = Build(set);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(counts_.built, 3);
  counts_.built = counts_.asked = 0;
  // Another timeout: the same conditions.
  for (const auto& [key, stored] : Set(R"(
kind: Route
name: users
spec: {match: {path: {prefix: /users}}, upstreams: [{name: users}], timeout: 4s}
)")) {
    set[key] = stored;
  }
  const auto second = Build(set);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(counts_.built, 1);
  EXPECT_EQ(counts_.asked, 0) << "no policy is made of a route that did not change";
  EXPECT_EQ(Details(*first, "orders"), Details(*second, "orders"));
  EXPECT_NE(Details(*first, "users"), Details(*second, "users"));
  EXPECT_EQ(Route(*first, "users")->details->targets[0].upstream,
            Route(*second, "users")->details->targets[0].upstream);
  EXPECT_EQ(first->listeners[0], second->listeners[0]);
  EXPECT_EQ(first->access_logs[0], second->access_logs[0]);
  EXPECT_EQ(first->matchers[0].second, second->matchers[0].second);
  EXPECT_EQ(first->matchers[1].second, second->matchers[1].second);
  EXPECT_EQ(Route(*second, "users")->timeout_nanos, 4 * base::kNanosPerSecond);
}

TEST_F(SnapshotTest, AChangedUpstreamChangesItsRoutesOnly) {
  api::ResourceSet set = Set(kBase);
  const auto first = Build(set);
  ASSERT_NE(first, nullptr);
  for (const auto& [key, stored] : Set(R"(
kind: Upstream
name: users
spec: {endpoints: [{address: "127.0.0.1:9009"}]}
)")) {
    set[key] = stored;
  }
  const auto second = Build(set);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(Details(*first, "orders"), Details(*second, "orders"));
  ASSERT_NE(Details(*first, "users"), Details(*second, "users"));
  EXPECT_EQ(Route(*second, "users")->details->targets[0].upstream->endpoints[0].address.port, 9009);
  EXPECT_EQ(Route(*second, "users")->details->targets[1].upstream,
            Route(*first, "users")->details->targets[1].upstream);
  EXPECT_EQ(first->matchers[0].second, second->matchers[0].second);
}

TEST_F(SnapshotTest, RoutesComeAndGo) {
  api::ResourceSet set = Set(kBase);
  const auto first = Build(set);
  ASSERT_NE(first, nullptr);
  const api::StoredResourcePtr users = set[{"Route", "users"}];
  set.erase({"Route", "users"});
  const auto second = Build(set);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(Match(*second, 0, "/users/1"), "");
  EXPECT_EQ(Match(*second, 0, "/status"), "status");
  EXPECT_EQ(Match(*second, 1, "/orders"), "orders");
  set[{"Route", "users"}] = users;
  const auto third = Build(set);
  ASSERT_NE(third, nullptr);
  EXPECT_EQ(Match(*third, 0, "/users/1"), "users");
  EXPECT_EQ(Match(*third, 0, "/status"), "status");
  EXPECT_EQ(Match(*first, 0, "/users/1"), "users") << "a pinned snapshot stays what it was";
  EXPECT_EQ(Route(*third, "users")->metric_id.index, Route(*first, "users")->metric_id.index);
}

TEST_F(SnapshotTest, RefusesAndKeepsTheLastOne) {
  const api::ResourceSet set = Set(kBase);
  const auto first = Build(set);
  ASSERT_NE(first, nullptr);
  api::ResourceSet broken = set;
  broken.erase({"Upstream", "users"});
  auto refused = builder_.Build(2, broken, violations_);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  ASSERT_FALSE(violations_.empty());
  EXPECT_EQ(violations_[0].resource().name(), "users");
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("revision 2"));
  const auto third = Build(set);
  ASSERT_NE(third, nullptr);
  EXPECT_EQ(Details(*first, "users"), Details(*third, "users"));
}

TEST_F(SnapshotTest, PoliciesAreMadeAnewAfterARefusalByABuilder) {
  api::ResourceSet set = Set(kBase);
  const auto first = Build(set);
  ASSERT_NE(first, nullptr);
  counts_.refuse = "users";
  api::ResourceSet changed = set;
  for (const auto& [key, stored] : Set(R"(
kind: Route
name: users
spec: {match: {path: {prefix: /users}}, upstreams: [{name: users}], timeout: 4s}
)")) {
    changed[key] = stored;
  }
  auto refused = builder_.Build(2, changed, violations_);
  EXPECT_FALSE(refused.ok());
  ASSERT_EQ(violations_.size(), 1u);
  EXPECT_EQ(violations_[0].resource().kind(), "Route");
  EXPECT_EQ(violations_[0].resource().name(), "users");
  EXPECT_EQ(violations_[0].field(), "spec.x");
  counts_.refuse.clear();
  counts_.built = 0;
  const auto third = Build(set);
  ASSERT_NE(third, nullptr);
  EXPECT_EQ(counts_.built, 3) << "what the builders call a change refers to the refused revision";
  counts_.built = 0;
  ASSERT_NE(Build(set), nullptr);
  EXPECT_EQ(counts_.built, 0);
}

TEST_F(SnapshotTest, AffectedRoutesGetNewPolicies) {
  api::ResourceSet set = Set(kBase);
  const auto first = Build(set);
  ASSERT_NE(first, nullptr);
  counts_.affected = "orders";
  for (const auto& [key, stored] : Set("{kind: Plan, name: gold, spec: {}}")) set[key] = stored;
  const auto second = Build(set);
  ASSERT_NE(second, nullptr);
  const auto round = [](const RouteEntry* route) {
    const auto& policy = (*route->policies)[static_cast<size_t>(PolicyKind::kHeaderTransform)];
    return static_cast<const CountingBuilder::RoundPolicy&>(*policy).round;
  };
  EXPECT_EQ(round(Route(*second, "orders")), 2);
  EXPECT_EQ(round(Route(*second, "users")), 1);
  EXPECT_EQ(Details(*first, "users"), Details(*second, "users"));
}

TEST_F(SnapshotTest, OutlivesItsBuilder) {
  auto clock = std::make_unique<base::FakeClock>();
  std::shared_ptr<const Snapshot> snapshot;
  {
    SnapshotBuilder builder(Builders(), ids_, *clock);
    auto built = builder.Build(1, Set(kBase), violations_);
    ASSERT_TRUE(built.ok()) << built.status();
    snapshot = *built;
    builder.FreeRetired();
  }
  EXPECT_EQ(Match(*snapshot, 0, "/users/1"), "users");
}

}  // namespace
}  // namespace portico::snapshot
