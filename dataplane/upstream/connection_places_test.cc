#include "dataplane/upstream/connection_places.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "dataplane/base/clock.h"
#include "dataplane/base/fake_clock.h"
#include "dataplane/event/engine.h"
#include "dataplane/event/loop.h"

namespace portico::upstream {
namespace {

class Member : public PlaceMember {
 public:
  Member(ConnectionPlaces& places, const base::Clock& clock)
      : places_(places),
        loop_(*event::CreateEpollEngine(), clock),
        seat_(places.Join(loop_, *this)) {}
  ~Member() override { places_.Leave(seat_); }
  void OnPlaceSought() override { ++sought; }
  void OnPlaceGranted() override { ++granted; }
  void Seek() { places_.Seek(seat_); }
  void EndSeek() { places_.EndSeek(seat_); }
  void Turn() { loop_.RunOnce(0); }

  int sought = 0, granted = 0;

 protected:
  ConnectionPlaces& places_;
  event::Loop loop_;
  std::shared_ptr<ConnectionPlaces::Seat> seat_;
};

TEST(ConnectionPlaces, ACountWithABound) {
  const auto shared = std::make_unique<ConnectionPlaces>();
  ConnectionPlaces& places = *shared;
  EXPECT_TRUE(places.Take(2));
  EXPECT_TRUE(places.Take(2));
  EXPECT_FALSE(places.Take(2));
  EXPECT_EQ(places.taken(), 2);
  EXPECT_FALSE(places.Claim());
  places.Return(2);
  EXPECT_EQ(places.taken(), 1);
  places.Return(2);
  EXPECT_EQ(places.taken(), 0);
}

TEST(ConnectionPlaces, WhoSeeksFirstGetsTheFirst) {
  base::FakeClock clock;
  const auto shared = std::make_unique<ConnectionPlaces>();
  ConnectionPlaces& places = *shared;
  Member a(places, clock), b(places, clock), c(places, clock);
  ASSERT_TRUE(places.Take(1));
  a.Seek();
  a.Seek();  // Once is enough.
  b.Seek();
  EXPECT_TRUE(places.sought());
  for (Member* member : {&a, &b, &c}) member->Turn();
  EXPECT_EQ(a.sought, 1);
  EXPECT_EQ(b.sought, 1);
  EXPECT_EQ(c.sought, 2);
  places.Return(1);
  for (Member* member : {&a, &b, &c}) member->Turn();
  EXPECT_EQ(a.granted, 1);
  EXPECT_EQ(b.granted, 0);
  EXPECT_EQ(places.taken(), 1);
  places.Return(1);
  for (Member* member : {&a, &b, &c}) member->Turn();
  EXPECT_EQ(a.granted, 1);
  EXPECT_EQ(b.granted, 1);
  EXPECT_FALSE(places.sought());
  places.Return(1);
  EXPECT_EQ(places.taken(), 0);
}

TEST(ConnectionPlaces, AsManyAreClaimedAsAreSought) {
  base::FakeClock clock;
  const auto shared = std::make_unique<ConnectionPlaces>();
  ConnectionPlaces& places = *shared;
  Member a(places, clock), b(places, clock);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(places.Take(3));
  a.Seek();
  EXPECT_TRUE(places.Claim());
  EXPECT_FALSE(places.sought());
  EXPECT_FALSE(places.Claim());
  b.Seek();
  EXPECT_TRUE(places.Claim());
  EXPECT_FALSE(places.Claim());
  // One does not want it any more: its place is free.
  a.EndSeek();
  places.Return(3, /*claimed=*/true);
  places.Return(3, /*claimed=*/true);
  a.Turn();
  b.Turn();
  EXPECT_EQ(a.granted, 0);
  EXPECT_EQ(b.granted, 1);
  EXPECT_EQ(places.taken(), 2);
  EXPECT_FALSE(places.sought());
  places.Return(3);
  places.Return(3);
}

// Takes and returns places as fast as it can until it had `left` of them.
class Runner final : public Member {
 public:
  Runner(ConnectionPlaces& places, const base::Clock& clock, int64_t max, int left,
         std::atomic<int64_t>& held)
      : Member(places, clock), max_(max), left_(left), held_(held) {}
  void Run() {
    loop_.Post([this] { Step(); });
    loop_.Run();
  }
  void OnPlaceSought() override {}
  void OnPlaceGranted() override {
    if (!waiting_) {
      places_.Return(max_);
      return;
    }
    waiting_ = false;
    Hold();
  }
  bool sound = true;

 private:
  void Step() {
    if (!places_.Take(max_)) {
      places_.Seek(seat_);
      waiting_ = !places_.Take(max_);
      if (waiting_) return;
      places_.EndSeek(seat_);
    }
    Hold();
  }
  void Hold() {
    sound &= held_.fetch_add(1) < max_;
    loop_.Post([this] {
      held_.fetch_sub(1);
      places_.Return(max_, places_.sought() && places_.Claim());
      if (--left_ > 0) {
        Step();
      } else {
        Finish();
      }
    });
  }
  // A grant may still be on its way.
  void Finish() {
    places_.EndSeek(seat_);
    if (seat_->on_the_way() == 0) {
      loop_.Stop();
    } else {
      loop_.Post([this] { Finish(); });
    }
  }

  const int64_t max_;
  int left_;
  std::atomic<int64_t>& held_;
  bool waiting_ = false;
};

TEST(ConnectionPlaces, NoneIsLostBetweenThreads) {
  base::FakeClock clock;
  for (const int64_t max : {1, 2, 3}) {
    const auto shared = std::make_unique<ConnectionPlaces>();
    ConnectionPlaces& places = *shared;
    std::atomic<int64_t> held{0};
    std::vector<std::unique_ptr<Runner>> runners;
    for (int i = 0; i < 4; ++i)
      runners.push_back(std::make_unique<Runner>(places, clock, max, 500, held));
    std::vector<std::thread> threads;
    for (auto& runner : runners) threads.emplace_back([&runner] { runner->Run(); });
    for (std::thread& thread : threads) thread.join();
    for (const auto& runner : runners) EXPECT_TRUE(runner->sound);
    EXPECT_EQ(places.taken(), 0);
    EXPECT_FALSE(places.sought());
  }
}

}  // namespace
}  // namespace portico::upstream
