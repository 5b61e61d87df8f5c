// Which worker serves a connection, and that none is lost on its way there.
#include "dataplane/downstream/accept_group.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/downstream/connection_test_support.h"

namespace portico::downstream {
namespace {

struct Choice {
  std::vector<int64_t> loads;
  size_t self;
  std::vector<size_t> closed;
  size_t chosen;
};

TEST(ChooseWorker, PrefersTheLeastLoadedUnlessTheDifferenceIsSmall) {
  const Choice choices[] = {
      {{0}, 0, {}, 0},           {{0, 0}, 1, {}, 1},
      {{1, 0}, 0, {}, 1},        {{1, 0}, 1, {}, 1},
      {{8, 7}, 0, {}, 1},        {{9, 8}, 0, {}, 0},  // An eighth of 8.
      {{10, 8}, 0, {}, 1},       {{90, 80}, 0, {}, 0},
      {{91, 80}, 0, {}, 1},      {{5, 3, 2, 4}, 0, {}, 2},
      {{5, 2, 2, 4}, 0, {}, 1},                             // The first after itself,
      {{2, 5, 2, 2}, 1, {}, 2},  {{2, 2, 2, 5}, 3, {}, 0},  // all round.
      {{5, 3, 2, 4}, 0, {2}, 1}, {{5, 3, 2, 4}, 0, {1, 2, 3}, 0},
      {{0, 1, 2, 3}, 0, {}, 0},
  };
  for (const Choice& choice : choices) {
    WorkerLoads loads(choice.loads.size());
    for (size_t i = 0; i < choice.loads.size(); ++i) loads.Add(i, choice.loads[i]);
    const auto open = [&](size_t worker) {
      return std::find(choice.closed.begin(), choice.closed.end(), worker) == choice.closed.end();
    };
    EXPECT_EQ(ChooseWorker(loads, choice.self, open), choice.chosen)
        << testing::PrintToString(choice.loads) << " from " << choice.self;
  }
}

TEST(ChooseWorker, KeepsTheRatioBelow1Point3WhateverTheKernelDoes) {
  for (const size_t workers : {2u, 3u, 4u, 16u}) {
    for (const int unfair : {0, 1, 2}) {
      WorkerLoads loads(workers);
      uint32_t random = 12345;
      for (int count = 1; count <= 2000; ++count) {
        random = random * 1664525 + 1013904223;
        // At random, all on the first, or most on the first.
        const size_t accepts =
            unfair == 1 || (unfair == 2 && random >> 30 != 0) ? 0 : (random >> 8) % workers;
        loads.Add(ChooseWorker(loads, accepts, [](size_t) { return true; }), 1);
        int64_t least = loads.connections(0), most = least;
        for (size_t i = 1; i < workers; ++i) {
          least = std::min(least, loads.connections(i));
          most = std::max(most, loads.connections(i));
        }
        ASSERT_LE(most, least + least / 8 + 1);
        if (least >= 8) {
          ASSERT_LE(static_cast<double>(most), 1.3 * static_cast<double>(least));
        }
      }
    }
  }
}

// Two workers in one thread.
class AcceptGroupTest : public ConnectionTest {
 protected:
  AcceptGroupTest()
      : other_loop_(*event::CreateEpollEngine(), clock_), other_handler_(other_loop_) {}
  ~AcceptGroupTest() override {
    clients_.clear();
    for (auto* acceptor : {acceptor_.get(), other_.get()}) {
      if (acceptor != nullptr) acceptor->ForceClose(absl::CancelledError("test ends"));
    }
    EXPECT_TRUE(
        BothUntil([this] { return acceptor_->ended() && (other_ == nullptr || other_->ended()); }));
    other_.reset();
    EXPECT_EQ(loads_->connections(0), 0);
    EXPECT_EQ(loads_->connections(1), 0);
    EXPECT_EQ(other_loop_.downstream_buffers().live(), 0u);
    EXPECT_EQ(other_loop_.timers().armed(), 0u);
  }

  void StartBoth(uint32_t max_connections = 0) {
    AcceptorOptions options;
    options.group = group_;
    options.max_connections = max_connections;
    StartServer(options);
    const absl::StatusOr<int> fd = net::Listen(*net::SocketAddress::Parse("127.0.0.1:0"));
    ASSERT_TRUE(fd.ok()) << fd.status();
    options.worker = 1;
    other_ = std::make_unique<Acceptor>(other_loop_, *fd, options, other_handler_, other_observer_);
    other_->Start();
  }
  bool BothUntil(const std::function<bool()>& done) {
    return Until([&] {
      other_loop_.RunOnce(0);
      return done();
    });
  }
  // The first worker accepts; the other one does not run.
  void AcceptAll(int count) {
    ASSERT_TRUE(Until([&] {
      return observer_.opened + observer_.handed_over +
                 static_cast<int>(observer_.refused.size()) ==
             count;
    }));
  }

  std::shared_ptr<WorkerLoads> loads_ = std::make_shared<WorkerLoads>(2);
  std::shared_ptr<AcceptGroup> group_ = std::make_shared<AcceptGroup>(loads_);
  event::Loop other_loop_;
  TestHandler other_handler_;
  CountingObserver other_observer_;
  std::unique_ptr<Acceptor> other_;
};

TEST_F(AcceptGroupTest, ConnectionsGoToTheWorkerThatHasFewer) {
  StartBoth();
  for (int i = 0; i < 10; ++i) Connect();
  AcceptAll(10);
  EXPECT_EQ(observer_.opened, 5);
  EXPECT_EQ(observer_.handed_over, 5);
  EXPECT_EQ(loads_->connections(1), 5);  // They count before they arrive.
  ASSERT_TRUE(BothUntil([this] { return other_observer_.opened == 5; }));
  for (const auto& client : clients_) {
    client->Send(Get("/peer"));
    ASSERT_TRUE(BothUntil([&] {
      client->Poll();
      return client->received().ends_with(client->Address());
    }));
  }
  EXPECT_EQ(handler_.served, 5);
  EXPECT_EQ(other_handler_.served, 5);
}

TEST_F(AcceptGroupTest, WhoStopsAcceptingStillServesWhatIsOnItsWay) {
  StartBoth();
  for (int i = 0; i < 4; ++i) Connect();
  AcceptAll(4);
  other_->StopAccepting();
  other_loop_.engine().Poll(0, [] {});  // The end of its accept, but not what was posted.
  EXPECT_FALSE(other_->ended());
  ASSERT_TRUE(BothUntil([this] { return other_observer_.opened == 2; }));
  // Nothing more goes there.
  for (int i = 0; i < 4; ++i) Connect();
  AcceptAll(8);
  EXPECT_EQ(observer_.opened, 6);
  for (const auto& client : clients_) {
    client->Send(Get("/"));
    ASSERT_TRUE(BothUntil([&] {
      client->Poll();
      return client->received().ends_with("hello");
    }));
  }
}

TEST_F(AcceptGroupTest, WhoDrainsEndsWhatArrivesAtItsRest) {
  StartBoth();
  Connect();
  Client& second = Connect();
  AcceptAll(2);
  second.Send(Get("/"));
  other_->Drain();
  ASSERT_TRUE(BothUntil([&] {
    second.Poll();
    return second.end();
  }));
  EXPECT_NE(second.received().find("Connection: close"), std::string::npos);
  ASSERT_TRUE(BothUntil([this] { return other_->ended(); }));
}

TEST_F(AcceptGroupTest, WhoIsForcedToEndClosesWhatArrives) {
  StartBoth();
  Connect();
  Client& second = Connect();
  AcceptAll(2);
  other_->ForceClose(absl::CancelledError("enough"));
  ASSERT_TRUE(BothUntil([&] {
    second.Poll();
    return (second.end() || second.reset()) && other_->ended();
  }));
  EXPECT_EQ(other_observer_.opened, 0);
  EXPECT_EQ(loads_->connections(1), 0);
}

TEST_F(AcceptGroupTest, TheBoundHoldsForAllWorkersTogether) {
  StartBoth(3);
  for (int i = 0; i < 5; ++i) Connect();
  AcceptAll(5);
  EXPECT_EQ(observer_.opened + observer_.handed_over, 3);
  EXPECT_EQ(observer_.refused.size(), 2u);
  ASSERT_TRUE(BothUntil([this] { return other_observer_.opened == observer_.handed_over; }));
  clients_.clear();
  ASSERT_TRUE(BothUntil([this] { return acceptor_->connections() + other_->connections() == 0; }));
  for (int i = 0; i < 3; ++i) Connect();
  AcceptAll(8);
  EXPECT_EQ(observer_.refused.size(), 2u);
}

}  // namespace
}  // namespace portico::downstream
