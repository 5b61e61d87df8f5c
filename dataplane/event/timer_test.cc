#include "dataplane/event/timer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <vector>

namespace portico::event {
namespace {

using base::kNanosPerMilli;
using base::kNanosPerSecond;
using base::MonotonicNanos;

struct TestTimer {
  Timer timer;
  MonotonicNanos deadline = 0;
  int fired = 0;
  std::function<void()> then;

  TestTimer() {
    timer.context = this;
    timer.on_fire = [](Timer& t) {
      auto* self = static_cast<TestTimer*>(t.context);
      ++self->fired;
      if (self->then) self->then();
    };
  }
};

TEST(TimerWheelTest, FiresOnceAtItsDeadline) {
  struct Case {
    MonotonicNanos start, delay;
  };
  const MonotonicNanos kStart = 1000 * kNanosPerSecond;
  const Case kCases[] = {
      {kStart, 1},
      {kStart, kNanosPerMilli},
      {kStart + 1, kNanosPerMilli},
      {kStart, 63 * kNanosPerMilli},
      {kStart, 64 * kNanosPerMilli},
      {kStart, 65 * kNanosPerMilli},
      {kStart + 12'345'678, 4096 * kNanosPerMilli},
      {kStart, 300 * kNanosPerSecond},
      {kStart, 3600 * kNanosPerSecond},
      {kStart, 5 * 3600 * kNanosPerSecond},
      {kStart, 100 * 3600 * kNanosPerSecond},
      {0, 10 * kNanosPerMilli},
  };
  for (const Case& c : kCases) {
    TimerWheel wheel;
    wheel.Advance(c.start);
    TestTimer timer;
    const MonotonicNanos deadline = c.start + c.delay;
    wheel.Arm(timer.timer, deadline);
    EXPECT_TRUE(timer.timer.armed());
    wheel.Advance(deadline - 1);
    EXPECT_EQ(timer.fired, 0) << c.delay;
    wheel.Advance(deadline + kNanosPerMilli);
    EXPECT_EQ(timer.fired, 1) << c.delay;
    EXPECT_FALSE(timer.timer.armed());
    EXPECT_EQ(wheel.armed(), 0u);
    EXPECT_EQ(wheel.NanosUntilNext(deadline), -1);
  }
}

TEST(TimerWheelTest, DeadlineInThePastFiresInTheNextTurn) {
  TimerWheel wheel;
  const MonotonicNanos now = kNanosPerSecond + kNanosPerMilli / 2;
  wheel.Advance(now);
  TestTimer timer;
  int rounds = 0;
  // Again and again: each turn fires it once and comes back.
  timer.then = [&] {
    if (++rounds < 3) wheel.Arm(timer.timer, now - 1);
  };
  wheel.Arm(timer.timer, now);
  EXPECT_EQ(wheel.NanosUntilNext(now), 0);
  for (int turn = 1; turn <= 3; ++turn) {
    wheel.Advance(now);
    EXPECT_EQ(timer.fired, turn);
  }
  EXPECT_EQ(wheel.armed(), 0u);
}

TEST(TimerWheelTest, MovingAndDestroyingDisarm) {
  TimerWheel wheel;
  wheel.Advance(0);
  TestTimer moved;
  wheel.Arm(moved.timer, 10 * kNanosPerMilli);
  wheel.Arm(moved.timer, 20 * kNanosPerMilli);
  EXPECT_EQ(wheel.armed(), 1u);
  {
    TestTimer destroyed;
    wheel.Arm(destroyed.timer, 10 * kNanosPerMilli);
    EXPECT_EQ(wheel.armed(), 2u);
  }
  EXPECT_EQ(wheel.armed(), 1u);
  wheel.Advance(15 * kNanosPerMilli);
  EXPECT_EQ(moved.fired, 0);
  wheel.Advance(20 * kNanosPerMilli);
  EXPECT_EQ(moved.fired, 1);
}

TEST(TimerWheelTest, CallbacksMayDisarmOthersThatAreDue) {
  TimerWheel wheel;
  wheel.Advance(0);
  std::vector<std::unique_ptr<TestTimer>> timers;
  int fired = 0;
  for (int i = 0; i < 10; ++i) {
    timers.push_back(std::make_unique<TestTimer>());
    timers.back()->then = [&] {
      ++fired;
      for (auto& other : timers) wheel.Disarm(other->timer);
    };
    wheel.Arm(timers.back()->timer, 5 * kNanosPerMilli);
  }
  wheel.Advance(6 * kNanosPerMilli);
  EXPECT_EQ(fired, 1);
  EXPECT_EQ(wheel.armed(), 0u);
}

TEST(TimerWheelTest, FiresInOrderOfTicksAfterALongPause) {
  TimerWheel wheel;
  wheel.Advance(0);
  std::vector<std::unique_ptr<TestTimer>> timers;
  std::vector<MonotonicNanos> order;
  for (int i = 0; i < 1000; ++i) {
    timers.push_back(std::make_unique<TestTimer>());
    TestTimer* timer = timers.back().get();
    timer->deadline = (i * 7919 % 1000 + 1) * 10 * kNanosPerMilli;
    timer->then = [&order, timer] { order.push_back(timer->deadline); };
    wheel.Arm(timer->timer, timer->deadline);
  }
  wheel.Advance(20 * kNanosPerSecond);
  EXPECT_EQ(order.size(), 1000u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

// Random arming, moving and disarming against the plain rule: not early, at most a
// tick late, and the announced wait never sleeps through a deadline.
TEST(TimerWheelTest, MatchesAModel) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    TimerWheel wheel;
    MonotonicNanos now = static_cast<MonotonicNanos>(random() % (1000 * kNanosPerSecond));
    wheel.Advance(now);
    std::vector<std::unique_ptr<TestTimer>> timers;
    for (int i = 0; i < 50; ++i) timers.push_back(std::make_unique<TestTimer>());
    std::vector<bool> armed(timers.size(), false);
    const auto delay = [&random] {
      const int scale = static_cast<int>(random() % 45);
      return static_cast<MonotonicNanos>(random() % (uint64_t{1} << scale));
    };
    for (int step = 0; step < 3000; ++step) {
      const size_t i = random() % timers.size();
      if (random() % 4 != 0) {
        timers[i]->deadline = now + delay();
        wheel.Arm(timers[i]->timer, timers[i]->deadline);
        armed[i] = true;
      } else {
        wheel.Disarm(timers[i]->timer);
        armed[i] = false;
      }
      MonotonicNanos earliest = -1;
      for (size_t k = 0; k < timers.size(); ++k) {
        if (armed[k] && (earliest < 0 || timers[k]->deadline < earliest)) earliest = timers[k]->deadline;
      }
      const int64_t wait = wheel.NanosUntilNext(now);
      if (earliest < 0) {
        ASSERT_EQ(wait, -1);
      } else {
        ASSERT_GE(wait, 0);
        ASSERT_LE(wait, std::max<int64_t>(0, earliest - now) + kNanosPerMilli);
      }
      now += random() % 3 == 0 ? delay() : (wait > 0 ? wait : 0);
      std::vector<int> before;
      for (auto& timer : timers) before.push_back(timer->fired);
      wheel.Advance(now);
      for (size_t k = 0; k < timers.size(); ++k) {
        const int fired = timers[k]->fired - before[k];
        if (!armed[k] || timers[k]->deadline > now) {
          ASSERT_EQ(fired, 0) << "seed " << seed << " step " << step;
          continue;
        }
        const bool must = timers[k]->deadline + kNanosPerMilli <= now;
        ASSERT_GE(fired, must ? 1 : 0) << "seed " << seed << " step " << step;
        ASSERT_LE(fired, 1);
        if (fired == 1) armed[k] = false;
        ASSERT_EQ(timers[k]->timer.armed(), armed[k]);
      }
    }
  }
}

}  // namespace
}  // namespace portico::event
