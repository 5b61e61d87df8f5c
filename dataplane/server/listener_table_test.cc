#include "dataplane/server/listener_table.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "dataplane/net/listen.h"

namespace portico::server {
namespace {

net::SocketAddress Address(const char* text) { return *net::SocketAddress::Parse(text); }

size_t OpenDescriptors() {
  const auto all = std::filesystem::directory_iterator("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(all), end(all)));
}

struct Wanted {
  std::string name;
  net::SocketAddress address;
};

snapshot::Snapshot MakeSnapshot(const std::vector<Wanted>& listeners) {
  snapshot::Snapshot snapshot;
  for (const Wanted& wanted : listeners) {
    auto entry = std::make_shared<snapshot::ListenerEntry>();
    entry->name = wanted.name;
    entry->address = wanted.address;
    snapshot.listeners.push_back(std::move(entry));
  }
  return snapshot;
}

class ListenerTableTest : public testing::Test {
 protected:
  static constexpr size_t kWorkers = 3;

  ~ListenerTableTest() override {
    for (const int fd : kept_) ::close(fd);
    EXPECT_EQ(OpenDescriptors(), before_);
  }

  // As the server does when everything works; the sockets are the workers' now.
  ListenerPlan Apply(ListenerTable& table, const std::vector<Wanted>& listeners) {
    ListenerPlan plan;
    std::vector<v1::Violation> violations;
    EXPECT_TRUE(table.Prepare(MakeSnapshot(listeners), plan, violations));
    EXPECT_TRUE(violations.empty());
    table.Commit(plan);
    for (const auto& listener : plan.listeners) {
      kept_.insert(kept_.end(), listener.sockets.begin(), listener.sockets.end());
    }
    return plan;
  }
  std::vector<v1::Violation> Refused(ListenerTable& table, const std::vector<Wanted>& listeners) {
    ListenerPlan plan;
    std::vector<v1::Violation> violations;
    const size_t open = OpenDescriptors();
    EXPECT_FALSE(table.Prepare(MakeSnapshot(listeners), plan, violations));
    EXPECT_EQ(OpenDescriptors(), open);
    for (const auto& listener : plan.listeners) EXPECT_TRUE(listener.sockets.empty());
    return violations;
  }
  // A socket of somebody else's, who shares or does not.
  net::SocketAddress Taken(bool shares = false) {
    kept_.push_back(*net::Listen(Address("127.0.0.1:0"), {.reuse_port = shares}));
    return *net::LocalAddress(kept_.back());
  }

  const size_t before_ = OpenDescriptors();
  std::vector<int> kept_;
};

TEST_F(ListenerTableTest, ANewListenerGetsASocketForEachWorker) {
  ListenerTable table(kWorkers, {});
  const ListenerPlan plan = Apply(table, {{"a", Address("127.0.0.1:0")}, {"b", Address("[::1]:0")}});
  ASSERT_EQ(plan.listeners.size(), 2u);
  EXPECT_EQ(plan.ids, 2u);
  EXPECT_TRUE(plan.removed.empty());
  for (const auto& listener : plan.listeners) {
    ASSERT_EQ(listener.sockets.size(), kWorkers);
    EXPECT_NE(listener.bound.port, 0);
    for (const int fd : listener.sockets) EXPECT_EQ(*net::LocalAddress(fd), listener.bound);
  }
  EXPECT_NE(plan.listeners[0].id, plan.listeners[1].id);
  const auto addresses = table.Addresses();
  ASSERT_EQ(addresses.size(), 2u);
  EXPECT_EQ(addresses[0].first, "a");
  EXPECT_EQ(addresses[0].second, plan.listeners[0].bound);
}

TEST_F(ListenerTableTest, WhatStaysKeepsItsSockets) {
  ListenerTable table(kWorkers, {});
  const ListenerPlan first = Apply(table, {{"a", Address("127.0.0.1:0")}});
  const ListenerPlan second = Apply(table, {{"a", Address("127.0.0.1:0")}, {"b", Address("127.0.0.1:0")}});
  EXPECT_TRUE(second.listeners[0].sockets.empty());
  EXPECT_EQ(second.listeners[0].bound, first.listeners[0].bound);
  EXPECT_EQ(second.listeners[0].id, first.listeners[0].id);
  EXPECT_EQ(second.listeners[1].sockets.size(), kWorkers);
}

TEST_F(ListenerTableTest, WhatMovesGetsNewSocketsAndKeepsItsId) {
  ListenerTable table(kWorkers, {});
  const ListenerPlan first = Apply(table, {{"a", Address("127.0.0.1:0")}});
  const ListenerPlan moved = Apply(table, {{"a", Address("127.0.0.2:0")}});
  EXPECT_EQ(moved.listeners[0].sockets.size(), kWorkers);
  EXPECT_EQ(moved.listeners[0].id, first.listeners[0].id);
  EXPECT_TRUE(moved.removed.empty());
  EXPECT_EQ(table.Addresses()[0].second, moved.listeners[0].bound);
}

TEST_F(ListenerTableTest, WhatGoesIsToldAndMayComeBackUnderItsId) {
  ListenerTable table(kWorkers, {});
  const ListenerPlan first = Apply(table, {{"a", Address("127.0.0.1:0")}, {"b", Address("127.0.0.1:0")}});
  const ListenerPlan second = Apply(table, {{"b", Address("127.0.0.1:0")}});
  EXPECT_EQ(second.removed, std::vector<uint32_t>{first.listeners[0].id});
  EXPECT_EQ(second.ids, 2u);
  EXPECT_EQ(table.Addresses().size(), 1u);
  const ListenerPlan third = Apply(table, {{"a", Address("127.0.0.1:0")}});
  EXPECT_EQ(third.listeners[0].id, first.listeners[0].id);
  EXPECT_EQ(third.listeners[0].sockets.size(), kWorkers);
  EXPECT_EQ(third.removed, std::vector<uint32_t>{first.listeners[1].id});
}

TEST_F(ListenerTableTest, AnAddressThatIsNotToBeHadRefusesTheWhole) {
  ListenerTable table(kWorkers, {});
  const ListenerPlan first = Apply(table, {{"a", Address("127.0.0.1:0")}});
  const net::SocketAddress taken = Taken();
  const net::SocketAddress foreign = Address("192.0.2.1:80");
  const auto violations =
      Refused(table, {{"new", Address("127.0.0.1:0")}, {"taken", taken}, {"foreign", foreign}});
  ASSERT_EQ(violations.size(), 2u);
  const net::SocketAddress* const addresses[] = {&taken, &foreign};
  const char* const names[] = {"taken", "foreign"};
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(violations[i].resource().kind(), "Listener");
    EXPECT_EQ(violations[i].resource().name(), names[i]);
    EXPECT_EQ(violations[i].field(), "spec.address");
    EXPECT_EQ(violations[i].value(), addresses[i]->ToString());
    EXPECT_FALSE(violations[i].fix().empty());
  }
  EXPECT_NE(violations[0].reason().find("in use"), std::string::npos) << violations[0].reason();
  // What was in force is.
  ASSERT_EQ(table.Addresses().size(), 1u);
  EXPECT_EQ(table.Addresses()[0].second, first.listeners[0].bound);
  const ListenerPlan next = Apply(table, {{"a", Address("127.0.0.1:0")}});
  EXPECT_TRUE(next.listeners[0].sockets.empty());
  EXPECT_TRUE(next.removed.empty());
}

TEST_F(ListenerTableTest, AnAddressIsNotSharedWithAnotherProcess) {
  // As a second proxy on the same host would have it.
  const net::SocketAddress taken = Taken(/*shares=*/true);
  ListenerTable table(kWorkers, {});
  const auto violations = Refused(table, {{"a", taken}});
  ASSERT_EQ(violations.size(), 1u);
  EXPECT_NE(violations[0].reason().find("in use"), std::string::npos) << violations[0].reason();
}

TEST_F(ListenerTableTest, AListenerMayTakeOverTheAddressOfAnother) {
  ListenerTable table(kWorkers, {});
  const net::SocketAddress address = Apply(table, {{"a", Address("127.0.0.1:0")}}).listeners[0].bound;
  const ListenerPlan second = Apply(table, {{"b", address}});
  EXPECT_EQ(second.listeners[0].sockets.size(), kWorkers);
  EXPECT_EQ(second.removed.size(), 1u);
  EXPECT_EQ(table.Addresses()[0].first, "b");
}

TEST_F(ListenerTableTest, ADiscardedPlanLeavesNothingOpen) {
  ListenerTable table(kWorkers, {});
  ListenerPlan plan;
  std::vector<v1::Violation> violations;
  ASSERT_TRUE(table.Prepare(MakeSnapshot({{"a", Address("127.0.0.1:0")}}), plan, violations));
  ListenerTable::Discard(plan);
  EXPECT_EQ(OpenDescriptors(), before_);
  EXPECT_TRUE(table.Addresses().empty());
}

TEST_F(ListenerTableTest, AnOverrideReplacesTheAddressWhateverItIs) {
  // The configured addresses are not of this machine.
  ListenerTable table(kWorkers, {{"a", Address("127.0.0.1:0")}});
  const ListenerPlan first = Apply(table, {{"a", Address("192.0.2.1:80")}});
  EXPECT_EQ(first.listeners[0].bound.ip, Address("127.0.0.1:0").ip);
  const ListenerPlan second = Apply(table, {{"a", Address("192.0.2.2:80")}});
  EXPECT_TRUE(second.listeners[0].sockets.empty());
  EXPECT_EQ(second.listeners[0].bound, first.listeners[0].bound);
}

}  // namespace
}  // namespace portico::server
