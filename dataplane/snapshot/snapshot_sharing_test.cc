// Snapshots as workers use them: matched by several threads while new ones are
// built and old ones are let go; and what a small change costs in a large set.
#include <atomic>
#include <latch>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "dataplane/base/fake_clock.h"
#include "dataplane/snapshot/snapshot.h"
#include "gtest/gtest.h"

namespace portico::snapshot {
namespace {

api::StoredResourcePtr Listener() {
  v1::Resource resource;
  resource.set_name("web");
  resource.mutable_listener()->set_address("127.0.0.1:8080");
  return api::MakeStored(std::move(resource));
}

api::StoredResourcePtr Upstream(int port) {
  v1::Resource resource;
  resource.set_name("app");
  resource.mutable_upstream()->add_endpoints()->set_address("127.0.0.1:" + std::to_string(port));
  return api::MakeStored(std::move(resource));
}

api::StoredResourcePtr Route(int number, int timeout_seconds) {
  v1::Resource resource;
  resource.set_name("route-" + std::to_string(number));
  v1::Route& route = *resource.mutable_route();
  route.mutable_match()->mutable_path()->set_prefix("/service-" + std::to_string(number));
  route.add_upstreams()->set_name("app");
  route.mutable_timeout()->set_seconds(timeout_seconds);
  return api::MakeStored(std::move(resource));
}

api::ResourceSet MakeSet(int routes) {
  api::ResourceSet set;
  const auto add = [&](api::StoredResourcePtr stored) { set[api::KeyOf(stored->resource)] = std::move(stored); };
  add(Listener());
  add(Upstream(9000));
  for (int i = 0; i < routes; ++i) add(Route(i, 5));
  return set;
}

TEST(SnapshotSharingTest, WorkersMatchWhileRevisionsChange) {
  constexpr int kRoutes = 50, kRevisions = 60, kWorkers = 3;
  base::FakeClock clock;
  observe::MetricIds ids(1000, 1000);
  SnapshotBuilder builder({}, ids, clock);
  api::ResourceSet set = MakeSet(kRoutes);
  std::vector<v1::Violation> violations;

  std::mutex mutex;
  std::shared_ptr<const Snapshot> live;
  const auto publish = [&](uint64_t revision) {
    auto snapshot = builder.Build(revision, set, violations);
    ASSERT_TRUE(snapshot.ok()) << snapshot.status();
    const std::lock_guard<std::mutex> lock(mutex);
    live = *std::move(snapshot);
  };
  publish(1);
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> matched{0};
  // On a busy machine all revisions could be over before a thread has run.
  std::latch at_work(kWorkers);
  std::vector<std::thread> workers;
  for (int w = 0; w < kWorkers; ++w) {
    workers.emplace_back([&] {
      for (bool first = true; !stop.load(); first = false) {
        std::shared_ptr<const Snapshot> pinned;
        {
          const std::lock_guard<std::mutex> lock(mutex);
          pinned = live;
        }
        for (int i = 0; i < kRoutes; ++i) {
          base::Arena arena;
          http::RequestHead head(arena);
          const std::string path = "/service-" + std::to_string(i) + "/x";
          head.path = path;
          head.host = "h";
          head.method_text = "GET";
          const RouteEntry* route = pinned->Match(*pinned->listeners[0], head);
          if (route == nullptr || route->name() != "route-" + std::to_string(i)) continue;
          matched.fetch_add(route->upstream->endpoints.size());
        }
        if (first) at_work.count_down();
      }
    });
  }
  at_work.wait();
  for (uint64_t revision = 2; revision < 2 + kRevisions; ++revision) {
    const auto number = static_cast<int>(revision);
    if (revision % 3 == 0) set[{"Upstream", "app"}] = Upstream(9000 + number);
    const api::StoredResourcePtr route = Route(number % kRoutes, number);
    set[api::KeyOf(route->resource)] = route;
    publish(revision);
  }
  stop.store(true);
  for (std::thread& worker : workers) worker.join();
  EXPECT_GT(matched.load(), 0u);
}

// Not a benchmark: the bound is far above what it takes, and far below building
// everything anew.
TEST(SnapshotSharingTest, OneChangeAmongManyTouchesOneEntry) {
  constexpr int kRoutes = 3000;
  base::FakeClock clock;
  observe::MetricIds ids(10000, 1000);
  SnapshotBuilder builder({}, ids, clock);
  api::ResourceSet set = MakeSet(kRoutes);
  std::vector<v1::Violation> violations;
  auto first = builder.Build(1, set, violations);
  ASSERT_TRUE(first.ok()) << first.status();
  const api::StoredResourcePtr route = Route(17, 9);
  set[api::KeyOf(route->resource)] = route;
  auto second = builder.Build(2, set, violations);
  ASSERT_TRUE(second.ok()) << second.status();
  size_t shared = 0;
  for (size_t i = 0; i < (*first)->routes.size(); ++i)
    shared += (*first)->routes[i].details == (*second)->routes[i].details;
  EXPECT_EQ(shared, static_cast<size_t>(kRoutes - 1));
  EXPECT_EQ((*first)->matchers[0].second, (*second)->matchers[0].second);
}

}  // namespace
}  // namespace portico::snapshot
