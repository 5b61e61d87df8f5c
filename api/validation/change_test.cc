// ValidateChange() must say what Validate() says, at a cost that does not grow with the set.
#include <chrono>
#include <memory>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "api/resource/resource.h"
#include "api/validation/validate.h"
#include "gtest/gtest.h"

namespace portico::api {
namespace {

using Random = std::mt19937;

int Pick(Random& random, int count) {
  return std::uniform_int_distribution<int>(0, count - 1)(random);
}
bool Chance(Random& random, int percent) { return Pick(random, 100) < percent; }
std::string Name(const char* prefix, int index) { return absl::StrCat(prefix, index); }

void Put(ResourceSet& set, v1::Resource resource) {
  StoredResourcePtr stored = MakeStored(std::move(resource));
  set[KeyOf(stored->resource)] = stored;
}

// Names and values come from small pools, so that conflicts and broken references are frequent.
v1::Resource RandomRoute(Random& random) {
  v1::Resource resource;
  resource.set_name(Name("r", Pick(random, 20)));
  v1::Route& route = *resource.mutable_route();
  v1::RouteMatch& match = *route.mutable_match();
  match.mutable_path()->set_prefix(absl::StrCat("/p", Pick(random, 4)));
  if (Chance(random, 10))
    match.mutable_path()->set_template_(absl::StrCat("/{v", Pick(random, 3), "}"));
  for (int i = Pick(random, 3); i > 0; --i)
    match.add_hosts(absl::StrCat("h", Pick(random, 4), ".example"));
  for (int i = Pick(random, 3); i > 0; --i)
    match.add_methods(std::vector<std::string>{"GET", "PUT", "POST"}[Pick(random, 3)]);
  if (Chance(random, 20)) match.add_listeners(Name("l", Pick(random, 3)));
  if (Chance(random, 20)) {
    v1::HeaderMatch& header = *match.add_headers();
    header.set_name("x-a");
    header.set_present(true);
  }
  route.add_upstreams()->set_name(Name("u", Pick(random, 5)));
  if (Chance(random, 20)) route.add_rate_limits(Name("p", Pick(random, 3)));
  if (Chance(random, 20)) {
    route.mutable_authentication()->add_any_of()->mutable_api_key()->set_header(
        Name("x-key-", Pick(random, 3)));
  }
  if (Chance(random, 3)) match.mutable_path()->set_prefix("broken");
  return resource;
}

v1::Resource RandomOther(Random& random) {
  v1::Resource resource;
  switch (Pick(random, 5)) {
    case 0:
      resource.set_name(Name("u", Pick(random, 5)));
      resource.mutable_upstream()->add_endpoints()->set_address("10.0.0.1:80");
      break;
    case 1:
      resource.set_name(Name("l", Pick(random, 3)));
      resource.mutable_listener()->set_address(absl::StrCat("0.0.0.0:", Pick(random, 4)));
      if (Chance(random, 30))
        resource.mutable_listener()->set_access_log(Name("a", Pick(random, 2)));
      break;
    case 2:
      resource.set_name(Name("c", Pick(random, 4)));
      for (int i = Pick(random, 3); i > 0; --i) {
        resource.mutable_consumer()->add_api_keys()->set_sha256(
            std::string(64, static_cast<char>('a' + Pick(random, 5))));
      }
      break;
    case 3:
      resource.set_name(Name("a", Pick(random, 2)));
      resource.mutable_access_log()->set_path("stdout");
      if (Chance(random, 50))
        resource.mutable_access_log()->add_request_headers(Name("x-key-", Pick(random, 3)));
      break;
    default:
      resource.set_name(Name("p", Pick(random, 3)));
      resource.mutable_rate_limit_policy()->mutable_rate()->set_requests(1);
      resource.mutable_rate_limit_policy()->mutable_rate()->mutable_per()->set_seconds(1);
      resource.mutable_rate_limit_policy()->add_key()->mutable_route();
  }
  return resource;
}

std::string Text(const std::vector<v1::Violation>& violations) {
  return absl::StrJoin(violations, "\n",
                       [](std::string* out, const v1::Violation& v) { out->append(ToString(v)); });
}

TEST(ValidateChange, SaysWhatValidateSays) {
  Random random(20230417);
  int accepted = 0;
  int refused = 0;
  ResourceSet current;
  for (int round = 0; round < 6000; ++round) {
    if (round % 400 == 0) current.clear();
    ResourceSet after = current;
    std::set<ResourceKey> changed;
    for (int i = 1 + Pick(random, 4); i > 0; --i) {
      if (Chance(random, 20) && !after.empty()) {
        auto victim = after.begin();
        std::advance(victim, Pick(random, static_cast<int>(after.size())));
        changed.insert(victim->first);
        after.erase(victim);
        continue;
      }
      v1::Resource resource = Chance(random, 60) ? RandomRoute(random) : RandomOther(random);
      changed.insert(KeyOf(resource));
      Put(after, std::move(resource));
    }
    const std::vector<v1::Violation> expected = Validate(after);
    ASSERT_EQ(Text(ValidateChange(current, after, changed)), Text(expected)) << "round " << round;
    if (expected.empty()) {
      current = std::move(after);
      ++accepted;
    } else {
      ++refused;
    }
  }
  EXPECT_GT(accepted, 500);
  EXPECT_GT(refused, 500);
}

class ManyRoutes : public ::testing::Test {
 protected:
  static constexpr int kRoutes = 100000;

  static v1::Resource Route(int index) {
    v1::Resource resource;
    resource.set_name(absl::StrCat("route-", index));
    v1::Route& route = *resource.mutable_route();
    route.mutable_match()->add_hosts(absl::StrCat("h", index % 100, ".example.com"));
    route.mutable_match()->mutable_path()->set_prefix(absl::StrCat("/service/", index));
    route.add_upstreams()->set_name(absl::StrCat("upstream-", index % 1000));
    return resource;
  }

  static void SetUpTestSuite() {
    set_ = std::make_unique<ResourceSet>();
    for (int i = 0; i < kRoutes; ++i) Put(*set_, Route(i));
    for (int i = 0; i < 1000; ++i) {
      v1::Resource upstream;
      upstream.set_name(absl::StrCat("upstream-", i));
      upstream.mutable_upstream()->add_endpoints()->set_address("10.0.0.1:80");
      Put(*set_, std::move(upstream));
    }
  }
  static void TearDownTestSuite() { set_.reset(); }

  // Runs one change and prints what it took; the time is for people, the counters for the test.
  static ChangeCost Run(const char* what, const ResourceSet& after,
                        const std::set<ResourceKey>& changed, size_t violations) {
    ChangeCost cost;
    using Clock = std::chrono::steady_clock;  // clock: printed for people, decides nothing.
    const auto start = Clock::now();
    EXPECT_EQ(ValidateChange(*set_, after, changed, &cost).size(), violations);
    const std::chrono::duration<double, std::milli> took = Clock::now() - start;
    absl::FPrintF(stderr, "%s: %.2f ms, %u passes, %u resources examined\n", what, took.count(),
                  cost.passes, cost.examined);
    return cost;
  }

  static std::unique_ptr<ResourceSet> set_;
};

std::unique_ptr<ResourceSet> ManyRoutes::set_;

TEST_F(ManyRoutes, OneChangedRouteCostsAlmostNothing) {
  ResourceSet after = *set_;
  v1::Resource same_match = Route(500);
  same_match.mutable_route()->mutable_timeout()->set_seconds(3);
  Put(after, same_match);
  ChangeCost cost = Run("other settings", after, {{"Route", "route-500"}}, 0);
  EXPECT_EQ(cost.passes, 0u);
  EXPECT_EQ(cost.examined, 1u);

  v1::Resource other_match = Route(500);
  other_match.mutable_route()->mutable_match()->mutable_path()->set_prefix("/moved");
  Put(after, other_match);
  cost = Run("another path", after, {{"Route", "route-500"}}, 0);
  EXPECT_EQ(cost.passes, 1u);
  EXPECT_LT(cost.examined, 100u);
}

TEST_F(ManyRoutes, ConflictsAreFound) {
  ResourceSet after = *set_;
  v1::Resource rival = Route(500);
  rival.set_name("aaa");
  Put(after, rival);
  const ChangeCost cost = Run("a rival", after, {{"Route", "aaa"}}, 1);
  EXPECT_EQ(cost.passes, 1u);
  EXPECT_LT(cost.examined, 100u);
}

TEST_F(ManyRoutes, RemovedUpstreamFindsItsRoutes) {
  ResourceSet after = *set_;
  after.erase({"Upstream", "upstream-7"});
  const ChangeCost cost = Run("a removed upstream", after, {{"Upstream", "upstream-7"}}, 100);
  EXPECT_EQ(cost.passes, 1u);
  EXPECT_LT(cost.examined, 2000u);
}

}  // namespace
}  // namespace portico::api
