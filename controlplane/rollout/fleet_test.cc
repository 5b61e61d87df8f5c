#include "controlplane/rollout/fleet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "controlplane/rollout/fleet_metrics.h"

namespace portico::control {
namespace {

using State = v1::RolloutStatus;

class FleetTest : public testing::Test {
 protected:
  uint64_t Connect(const std::string& node_id, uint64_t applied, const std::string& build = "1") {
    ++session_;
    rejected_before_ = fleet_.Connected(
        session_, {.node_id = node_id, .labels = {{"zone", "a"}}, .build = build, .address = "ip"},
        applied);
    return session_;
  }

  FakeClock clock_;
  Fleet fleet_{clock_, 4, 5};
  uint64_t session_ = 0;
  uint64_t rejected_before_ = 0;
};

TEST_F(FleetTest, ListsWhatIsKnown) {
  const uint64_t a = Connect("a", 4);
  Connect("b", 5);
  clock_.Advance(absl::Seconds(3));
  v1::ListProxiesResponse list = fleet_.List();
  EXPECT_EQ(list.current_revision(), 5u);
  ASSERT_EQ(list.proxies_size(), 2);
  EXPECT_EQ(list.proxies(0).node_id(), "a");
  EXPECT_EQ(list.proxies(0).labels().at("zone"), "a");
  EXPECT_EQ(list.proxies(0).behind_for().seconds(), 3);
  EXPECT_FALSE(list.proxies(0).has_applied_at());
  EXPECT_EQ(list.proxies(1).behind_for().seconds(), 0);
  EXPECT_TRUE(list.proxies(1).connected());

  fleet_.Received(a, "a", 5);
  EXPECT_EQ(fleet_.List().proxies(0).received_revision(), 5u);
  EXPECT_EQ(fleet_.List().proxies(0).applied_revision(), 4u);
  fleet_.Applied(a, "a", 5);
  list = fleet_.List();
  EXPECT_EQ(list.proxies(0).applied_revision(), 5u);
  EXPECT_EQ(list.proxies(0).behind_for().seconds(), 0);
  EXPECT_TRUE(list.proxies(0).has_applied_at());
}

TEST_F(FleetTest, BehindCountsFromTheFirstMissedRevision) {
  Connect("a", 5);
  fleet_.Advance(6);
  clock_.Advance(absl::Seconds(2));
  fleet_.Advance(7);
  clock_.Advance(absl::Seconds(2));
  EXPECT_EQ(fleet_.List().proxies(0).behind_for().seconds(), 4);
}

TEST_F(FleetTest, RolloutGoesLive) {
  const uint64_t a = Connect("a", 4);
  const uint64_t b = Connect("b", 4);
  v1::RolloutStatus status = fleet_.Evaluate(5, 0);
  EXPECT_EQ(status.state(), State::IN_PROGRESS);
  EXPECT_EQ(status.connected(), 2u);
  EXPECT_EQ(status.waiting_size(), 2);
  fleet_.Applied(a, "a", 5);
  EXPECT_EQ(fleet_.Evaluate(5, 0).applied(), 1u);
  EXPECT_EQ(fleet_.Evaluate(5, 0).state(), State::IN_PROGRESS);
  fleet_.Applied(b, "b", 5);
  EXPECT_EQ(fleet_.Evaluate(5, 0).state(), State::LIVE);
  EXPECT_EQ(fleet_.Evaluate(5, 2).state(), State::LIVE);
  EXPECT_EQ(fleet_.Evaluate(5, 3).state(), State::IN_PROGRESS);
  EXPECT_EQ(fleet_.Evaluate(4, 0).state(), State::LIVE);
}

TEST_F(FleetTest, DisconnectedProxiesAreNotWaitedFor) {
  const uint64_t a = Connect("a", 4);
  Connect("b", 5);
  fleet_.Disconnected(a, "a");
  EXPECT_EQ(fleet_.Evaluate(5, 0).state(), State::LIVE);
  EXPECT_EQ(fleet_.Evaluate(5, 2).state(), State::IN_PROGRESS);
}

TEST_F(FleetTest, ARejectionEndsTheRollout) {
  const uint64_t a = Connect("a", 4);
  Connect("b", 5);
  v1::Violation violation;
  violation.set_reason("bad");
  fleet_.Rejected(a, "a", 5, {violation});
  const v1::RolloutStatus status = fleet_.Evaluate(5, 0);
  EXPECT_EQ(status.state(), State::REJECTED);
  ASSERT_EQ(status.waiting_size(), 1);
  EXPECT_EQ(status.waiting(0).rejected_revision(), 5u);
  EXPECT_EQ(status.waiting(0).rejections(0).reason(), "bad");
  // A later revision has its own fate.
  fleet_.Advance(6);
  EXPECT_EQ(fleet_.Evaluate(6, 0).state(), State::IN_PROGRESS);
  fleet_.Applied(a, "a", 6);
  EXPECT_EQ(fleet_.List().proxies(0).rejected_revision(), 0u);
}

TEST_F(FleetTest, RejectionsAreRememberedAcrossStreams) {
  fleet_.Rejected(Connect("a", 4), "a", 5, {});
  Connect("a", 4);
  EXPECT_EQ(rejected_before_, 5u);
  Connect("a", 4, "2");
  EXPECT_EQ(rejected_before_, 0u) << "another build may take it";
  fleet_.Rejected(session_, "a", 5, {});
  Connect("a", 0, "2");
  EXPECT_EQ(rejected_before_, 0u) << "from another start it may take it";
}

TEST_F(FleetTest, RejectionsAreBounded) {
  v1::Violation violation;
  violation.set_reason(std::string(100'000, 'x'));
  violation.set_value(std::string(1023, 'x') + "\xc3\xa4");
  fleet_.Rejected(Connect("a", 4), "a", 5, std::vector<v1::Violation>(1000, violation));
  const v1::ProxyStatus proxy = fleet_.List().proxies(0);
  EXPECT_EQ(proxy.rejections_size(), Fleet::kMaxRejections);
  EXPECT_EQ(proxy.rejections(0).reason().size(), Fleet::kMaxTextBytes);
  EXPECT_EQ(proxy.rejections(0).value(), std::string(1023, 'x')) << "characters stay whole";
}

TEST_F(FleetTest, ProxiesAheadOfTheStoreAreShown) {
  Connect("a", 9);
  const v1::ProxyStatus proxy = fleet_.List().proxies(0);
  EXPECT_EQ(proxy.applied_revision(), 9u);
  ASSERT_EQ(proxy.rejections_size(), 1);
  EXPECT_EQ(proxy.rejections(0).value(), "9");
  EXPECT_EQ(fleet_.Evaluate(5, 0).state(), State::IN_PROGRESS);
  EXPECT_EQ(fleet_.Count().by_state.at(ProxyState::kAhead), 1u);
}

TEST_F(FleetTest, OldSessionsAreIgnored) {
  const uint64_t old_session = Connect("a", 4);
  Connect("a", 4);
  fleet_.Applied(old_session, "a", 5);
  fleet_.Disconnected(old_session, "a");
  EXPECT_EQ(fleet_.List().proxies(0).applied_revision(), 4u);
  EXPECT_TRUE(fleet_.List().proxies(0).connected());
}

TEST_F(FleetTest, ForgetsAfterAnHour) {
  fleet_.Disconnected(Connect("a", 5), "a");
  Connect("b", 5);
  clock_.Advance(absl::Minutes(59));
  fleet_.Tick();
  EXPECT_EQ(fleet_.List().proxies_size(), 2);
  clock_.Advance(absl::Minutes(2));
  fleet_.Tick();
  ASSERT_EQ(fleet_.List().proxies_size(), 1);
  EXPECT_EQ(fleet_.List().proxies(0).node_id(), "b");
}

TEST_F(FleetTest, IsBounded) {
  for (int i = 0; i < 100; ++i) {
    const std::string node_id = "n" + std::to_string(i);
    fleet_.Disconnected(Connect(node_id, 5), node_id);
    clock_.Advance(absl::Seconds(1));
  }
  EXPECT_EQ(fleet_.List().proxies_size(), 4);
  EXPECT_EQ(fleet_.List().proxies(3).node_id(), "n99");
}

TEST_F(FleetTest, CountsForMetrics) {
  Connect("a", 5);
  const uint64_t b = Connect("b", 4);
  fleet_.Rejected(b, "b", 5, {});
  Connect("c", 3);
  fleet_.Disconnected(Connect("d", 5), "d");
  const auto families = FleetMetrics(fleet_).Collect();
  std::map<std::string, double> values;
  for (const auto& family : families) {
    for (const auto& metric : family.metric) {
      values[family.name + (metric.label.empty() ? "" : "/" + metric.label[0].value)] =
          metric.gauge.value;
    }
  }
  EXPECT_EQ(values.at("portico_control_connected_proxies"), 3);
  EXPECT_EQ(values.at("portico_control_proxies/current"), 1);
  EXPECT_EQ(values.at("portico_control_proxies/behind"), 1);
  EXPECT_EQ(values.at("portico_control_proxies/rejected"), 1);
  EXPECT_EQ(values.at("portico_control_proxies/ahead"), 0);
  EXPECT_EQ(values.at("portico_control_proxies/disconnected"), 1);
  EXPECT_EQ(values.at("portico_control_proxies_at_revision/5"), 1);
  EXPECT_EQ(values.at("portico_control_proxies_at_revision/older"), 0);
}

TEST(FleetMetricsTest, RevisionsAreBounded) {
  FakeClock clock;
  Fleet fleet(clock, 1000, 500);
  for (uint64_t i = 1; i <= 100; ++i) {
    fleet.Connected(i, {.node_id = std::to_string(i), .labels = {}, .build = "", .address = ""}, i);
  }
  const auto families = FleetMetrics(fleet).Collect();
  ASSERT_EQ(families[2].metric.size(), 11u);
  EXPECT_EQ(families[2].metric[0].label[0].value, "100");
  EXPECT_EQ(families[2].metric[10].label[0].value, "older");
  EXPECT_EQ(families[2].metric[10].gauge.value, 90);
}

TEST_F(FleetTest, ListenersHearOfChanges) {
  int heard = 0;
  fleet_.AddListener([&] { ++heard; });
  const uint64_t a = Connect("a", 4);
  EXPECT_EQ(heard, 1);
  fleet_.Heard(a, "a");
  EXPECT_EQ(heard, 1);
  fleet_.Applied(a, "a", 5);
  EXPECT_EQ(heard, 2);
  fleet_.Advance(6);
  EXPECT_EQ(heard, 3);
  fleet_.Applied(a + 7, "a", 5);
  fleet_.Disconnected(a, "a");
  EXPECT_GE(heard, 4);
}

TEST_F(FleetTest, ThreadsDoNotRace) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      const std::string node_id = "t" + std::to_string(t);
      for (uint64_t i = 0; i < 200; ++i) {
        const uint64_t session = 1000 * static_cast<uint64_t>(t + 1) + i;
        fleet_.Connected(session, {.node_id = node_id, .labels = {}, .build = "", .address = ""},
                         i);
        fleet_.Applied(session, node_id, i + 1);
        fleet_.Evaluate(5, 0);
        fleet_.Advance(i);
        fleet_.Disconnected(session, node_id);
        fleet_.Tick();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(fleet_.List().proxies_size(), 4);
}

}  // namespace
}  // namespace portico::control
