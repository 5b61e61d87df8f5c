// Two workers' clusters of one upstream with more endpoints than both need.
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "dataplane/upstream/cluster.h"
#include "dataplane/upstream/cluster_fixture.h"

namespace portico::upstream {
namespace {

constexpr size_t kServers = 20;

class ClusterSubsetTest : public ClusterTest {
 protected:
  ClusterSubsetTest() {
    context_.workers = other_context_.workers = 2;
    other_context_.worker = 1;
    for (size_t i = 0; i < kServers; ++i) {
      servers_.push_back(std::make_unique<TestServer>(loop_));
      addresses_.push_back(servers_.back()->address());
    }
    Make(Few());
    other_ = std::make_unique<Cluster>(other_context_, Few());
  }
  ~ClusterSubsetTest() override {
    other_->Close();
    EXPECT_TRUE(event::RunUntil(loop_, [this] { return other_->connections() == 0; }));
    other_.reset();
  }
  // Half of so few connections is less than two workers times all endpoints.
  std::shared_ptr<snapshot::UpstreamEntry> Few() {
    auto entry = Entry(addresses_);
    entry->max_connections = 16;
    entry->outlier_failures = 1;
    return entry;
  }
  // The endpoints of `count` requests, one after another, which end as soon as they are connected.
  std::multiset<std::string> Used(Cluster& cluster, size_t count) {
    std::multiset<std::string> used;
    for (size_t i = 0; i < count; ++i) {
      Request request;
      event::Spawn(Get(cluster, request, nullptr));
      EXPECT_TRUE(Acquires(request));
      used.insert(request.endpoint);
      request.scope.Request(absl::CancelledError("enough"));
      EXPECT_TRUE(Ends(request));
    }
    return used;
  }
  static std::set<std::string> Distinct(const std::multiset<std::string>& used) {
    return {used.begin(), used.end()};
  }

  std::vector<std::unique_ptr<TestServer>> servers_;
  std::vector<net::SocketAddress> addresses_;
  ClusterContext other_context_{loop_, metrics_, random_, limits_};
  std::unique_ptr<Cluster> other_;
};

TEST_F(ClusterSubsetTest, WorkersShareTheEndpointsOut) {
  const auto mine = Used(*cluster_, 20), others = Used(*other_, 20);
  std::set<std::string> all = Distinct(mine);
  EXPECT_EQ(all.size(), 10u);
  for (const std::string& endpoint : all) EXPECT_EQ(mine.count(endpoint), 2u);
  all.merge(Distinct(others));
  EXPECT_EQ(all.size(), kServers);
  EXPECT_EQ(metrics_.upstream_endpoints.value(), kServers);
}

TEST_F(ClusterSubsetTest, AnotherStandsInForAnEjectedOneUntilItIsBack) {
  const std::set<std::string> usual = Distinct(Used(*cluster_, 10));
  for (const auto& host : cluster_->hosts()) {
    if (host->address_text == *usual.begin()) cluster_->Report(*host, false);
  }
  EXPECT_EQ(metrics_.outlier_ejections_total.value(), 1u);
  std::set<std::string> now = Distinct(Used(*cluster_, 20));
  EXPECT_EQ(now.size(), 10u);
  EXPECT_EQ(now.count(*usual.begin()), 0u);
  clock_.Advance(31 * kNanosPerSecond);
  Turns(1);
  cluster_->CloseIdle(loop_.now());
  EXPECT_EQ(Distinct(Used(*cluster_, 20)), usual);
}

TEST_F(ClusterSubsetTest, WithRoomForAllConnectionsEveryWorkerHasAll) {
  auto more = Few();
  more->max_connections = 80;
  cluster_->Update(more);
  EXPECT_EQ(Distinct(Used(*cluster_, kServers)).size(), kServers);
}

TEST_F(ClusterSubsetTest, AnEndpointThatGoesLeavesTheOthersInPlace) {
  const std::set<std::string> before = Distinct(Used(*cluster_, 10));
  addresses_.pop_back();
  cluster_->Update(Few());
  const std::set<std::string> after = Distinct(Used(*cluster_, 20));
  EXPECT_EQ(after.count(servers_.back()->address().ToString()), 0u);
  std::vector<std::string> stayed;
  std::set_intersection(before.begin(), before.end(), after.begin(), after.end(),
                        std::back_inserter(stayed));
  EXPECT_GE(stayed.size(), 8u);
}

}  // namespace
}  // namespace portico::upstream
