#include "dataplane/base/clock.h"

#include <gtest/gtest.h>

#include "dataplane/base/fake_clock.h"

namespace portico::base {
namespace {

TEST(ClockTest, RealClockGoesForward) {
  const Clock& clock = RealClock();
  const MonotonicNanos before = clock.Monotonic();
  EXPECT_GT(before, 0);
  EXPECT_GE(clock.Monotonic(), before);
  EXPECT_GT(clock.Unix(), 1'700'000'000 * kNanosPerSecond);
}

TEST(ClockTest, FakeClockMovesWhenTold) {
  FakeClock clock;
  const MonotonicNanos monotonic = clock.Monotonic();
  const UnixNanos unix_time = clock.Unix();
  EXPECT_EQ(clock.Monotonic(), monotonic);
  clock.Advance(5 * kNanosPerMilli);
  EXPECT_EQ(clock.Monotonic(), monotonic + 5 * kNanosPerMilli);
  EXPECT_EQ(clock.Unix(), unix_time + 5 * kNanosPerMilli);
  clock.SetUnix(7);
  EXPECT_EQ(clock.Unix(), 7);
  EXPECT_EQ(clock.Monotonic(), monotonic + 5 * kNanosPerMilli);
}

}  // namespace
}  // namespace portico::base
