#include "dataplane/upstream/balancer.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <vector>

#include "dataplane/upstream/limits.h"
#include "dataplane/upstream/outlier.h"

namespace portico::upstream {
namespace {

constexpr uint64_t kSeed[4] = {1, 2, 3, 4};

std::vector<std::unique_ptr<Host>> MakeHosts(const std::vector<uint32_t>& weights) {
  std::vector<std::unique_ptr<Host>> hosts;
  for (uint32_t weight : weights) {
    hosts.push_back(std::make_unique<Host>());
    hosts.back()->weight = weight;
  }
  return hosts;
}

std::vector<Host*> Pointers(const std::vector<std::unique_ptr<Host>>& hosts) {
  std::vector<Host*> pointers;
  for (const auto& host : hosts) pointers.push_back(host.get());
  return pointers;
}

struct SharesCase {
  std::vector<uint32_t> weights;
  bool least_request;
  double tolerance;
};

TEST(BalancerTest, SharesFollowWeights) {
  const SharesCase cases[] = {
      {{1}, false, 0},         {{1, 1}, false, 0},        {{1, 1, 1}, false, 0},
      {{3, 1}, false, 0.01},   {{5, 3, 2}, false, 0.01},  {{1000, 1}, false, 0.001},
      {{1, 1, 1}, true, 0.02}, {{3, 1}, true, 0.02},
  };
  for (const SharesCase& test : cases) {
    Random random(kSeed);
    auto hosts = MakeHosts(test.weights);
    auto balancer = test.least_request ? MakeLeastRequest(Pointers(hosts), random)
                                       : MakeRoundRobin(Pointers(hosts), random);
    uint32_t total = 0;
    for (uint32_t weight : test.weights) total += weight;
    const uint32_t rounds = test.least_request ? 30000 : total * 100;
    std::map<Host*, uint32_t> picks;
    for (uint32_t i = 0; i < rounds; ++i) ++picks[balancer->Pick(0, nullptr)];
    for (size_t i = 0; i < hosts.size(); ++i) {
      const double want = static_cast<double>(hosts[i]->weight) / total;
      const double got = static_cast<double>(picks[hosts[i].get()]) / rounds;
      EXPECT_NEAR(got, want, test.tolerance) << "host " << i << " of " << test.weights.size();
    }
  }
}

TEST(BalancerTest, RoundRobinAlternatesBetweenTwo) {
  Random random(kSeed);
  auto hosts = MakeHosts({1, 1});
  auto balancer = MakeRoundRobin(Pointers(hosts), random);
  Host* last = balancer->Pick(0, nullptr);
  for (int i = 0; i < 10; ++i) {
    Host* next = balancer->Pick(0, nullptr);
    EXPECT_NE(next, last);
    last = next;
  }
}

TEST(BalancerTest, LeastRequestPrefersTheIdleHost) {
  Random random(kSeed);
  auto hosts = MakeHosts({1, 1});
  hosts[0]->active_requests = 10;
  auto balancer = MakeLeastRequest(Pointers(hosts), random);
  int idle = 0;
  for (int i = 0; i < 1000; ++i) idle += balancer->Pick(0, nullptr) == hosts[1].get();
  EXPECT_GT(idle, 700);  // Three of four pairs contain it.
  EXPECT_LT(idle, 800);
}

TEST(BalancerTest, AvoidsTheFailedHostUnlessItIsTheOnlyOne) {
  for (bool least : {false, true}) {
    Random random(kSeed);
    auto hosts = MakeHosts({1, 2});
    auto balancer =
        least ? MakeLeastRequest(Pointers(hosts), random) : MakeRoundRobin(Pointers(hosts), random);
    for (int i = 0; i < 20; ++i) EXPECT_EQ(balancer->Pick(0, hosts[1].get()), hosts[0].get());
    hosts[0]->ejected_until = 100;
    EXPECT_EQ(balancer->Pick(50, hosts[1].get()), hosts[1].get());
    EXPECT_EQ(balancer->Pick(100, hosts[1].get()), hosts[0].get());
    hosts[1]->ejected_until = 100;
    EXPECT_EQ(balancer->Pick(50, nullptr), nullptr);
  }
}

TEST(BalancerTest, NoHostsNoPick) {
  Random random(kSeed);
  EXPECT_EQ(MakeRoundRobin({}, random)->Pick(0, nullptr), nullptr);
  EXPECT_EQ(MakeLeastRequest({}, random)->Pick(0, nullptr), nullptr);
}

TEST(OutlierTest, EjectsAfterConsecutiveFailuresForGrowingTimes) {
  auto hosts = MakeHosts({1, 1, 1});
  OutlierOptions options;
  base::MonotonicNanos now = 1000;
  for (uint32_t round = 1; round <= 12; ++round) {
    for (int i = 0; i < 4; ++i) EXPECT_FALSE(ReportFailure(*hosts[0], hosts, options, now));
    EXPECT_TRUE(ReportFailure(*hosts[0], hosts, options, now));
    const int64_t want = std::min(kMaxEjectionNanos, options.base_ejection_nanos * round);
    EXPECT_EQ(hosts[0]->ejected_until, now + want);
    EXPECT_FALSE(hosts[0]->Available(now + want - 1));
    now += want;
    EXPECT_TRUE(hosts[0]->Available(now));
  }
}

TEST(OutlierTest, SuccessStartsTheCountAgain) {
  auto hosts = MakeHosts({1, 1});
  OutlierOptions options;
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(ReportFailure(*hosts[0], hosts, options, 0));
    if (i % 4 == 3) ReportSuccess(*hosts[0]);
  }
}

TEST(OutlierTest, NeverTheLastHostNorMoreThanTheShare) {
  struct Case {
    size_t hosts;
    uint32_t max_percent;
    size_t want;
  };
  for (const Case& test : {Case{1, 100, 0}, Case{2, 100, 1}, Case{5, 100, 4}, Case{5, 10, 1},
                           Case{30, 10, 3}, Case{4, 50, 2}}) {
    auto hosts = MakeHosts(std::vector<uint32_t>(test.hosts, 1));
    OutlierOptions options;
    options.max_percent = test.max_percent;
    size_t ejected = 0;
    for (auto& host : hosts) {
      for (int i = 0; i < 10; ++i) ejected += ReportFailure(*host, hosts, options, 0);
    }
    EXPECT_EQ(ejected, test.want) << test.hosts << " hosts, " << test.max_percent << " %";
  }
}

TEST(OutlierTest, DisabledEjectsNobody) {
  auto hosts = MakeHosts({1, 1});
  OutlierOptions options;
  options.enabled = false;
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(ReportFailure(*hosts[0], hosts, options, 0));
}

TEST(LimitsTest, AllowancesTogetherStayWithinTheBound) {
  LimitRegistry registry;
  auto shared = registry.Get("users");
  EXPECT_EQ(shared, registry.Get("users"));
  EXPECT_NE(shared, registry.Get("orders"));
  RequestAllowance a(shared), b(shared);
  int64_t admitted = 0;
  for (int i = 0; i < 200; ++i) admitted += (i % 2 ? a : b).Take(100);
  EXPECT_LE(admitted, 100);
  EXPECT_GE(admitted, 100 - 2 * RequestAllowance::kBatch);
  while (a.in_flight() > 0) a.Return();
  while (b.in_flight() > 0) b.Return();
  EXPECT_LE(shared->request_places.load(), 4 * RequestAllowance::kBatch);
  EXPECT_TRUE(a.Take(100));
}

TEST(LimitsTest, SmallBoundsAreExactForOneWorker) {
  auto shared = std::make_shared<SharedLimits>();
  RequestAllowance allowance(shared);
  EXPECT_TRUE(allowance.Take(2));
  EXPECT_TRUE(allowance.Take(2));
  EXPECT_FALSE(allowance.Take(2));
  allowance.Return();
  EXPECT_TRUE(allowance.Take(2));
}

TEST(LimitsTest, DestroyedAllowanceGivesItsPlacesBack) {
  auto shared = std::make_shared<SharedLimits>();
  { RequestAllowance allowance(shared); EXPECT_TRUE(allowance.Take(1024)); }
  EXPECT_EQ(shared->request_places.load(), 0);
}

TEST(RetryBudgetTest, ThreeOrAFifth) {
  RetryBudget budget;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(budget.Take(0));
  EXPECT_FALSE(budget.Take(15));
  EXPECT_TRUE(budget.Take(20));
  EXPECT_FALSE(budget.Take(20));
  budget.Return();
  EXPECT_TRUE(budget.Take(20));
}

}  // namespace
}  // namespace portico::upstream
