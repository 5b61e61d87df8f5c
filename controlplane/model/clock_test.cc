#include "controlplane/model/clock.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

namespace portico::control {
namespace {

TEST(FakeClock, MovesOnlyWhenTold) {
  FakeClock clock;
  const absl::Time start = clock.Now();
  EXPECT_EQ(clock.Now(), start);
  clock.Advance(absl::Seconds(3));
  EXPECT_EQ(clock.Now() - start, absl::Seconds(3));
}

TEST(FakeClock, SettingTheWallClockIsNoPassingOfTime) {
  FakeClock clock;
  const absl::Time start = clock.Steady();
  clock.SetWall(clock.Now() - absl::Hours(1));
  EXPECT_EQ(clock.Steady(), start);
  clock.Advance(absl::Seconds(3));
  EXPECT_EQ(clock.Steady() - start, absl::Seconds(3));
}

TEST(RealClock, SteadyNeverGoesBack) {
  const RealClock clock;
  const absl::Time before = clock.Steady();
  EXPECT_GE(clock.Steady(), before);
}

TEST(RealClock, IsNotInThePast) {
  EXPECT_GT(RealClock().Now(), absl::FromUnixSeconds(1'700'000'000));
}

TEST(Ticker, TicksUntilDestroyed) {
  std::mutex mutex;
  std::condition_variable ticked;
  int ticks = 0;
  {
    Ticker ticker(absl::Milliseconds(1), [&] {
      std::lock_guard lock(mutex);
      ++ticks;
      ticked.notify_all();
    });
    std::unique_lock lock(mutex);
    ticked.wait(lock, [&] { return ticks >= 3; });
  }
  EXPECT_GE(ticks, 3);
}

TEST(Ticker, StopsWithoutWaitingForThePeriod) {
  Ticker ticker(absl::Hours(1), [] {});
}

TEST(Notifier, CallsAfterEveryNotification) {
  std::mutex mutex;
  std::condition_variable called;
  int calls = 0;
  Notifier notifier([&] {
    std::lock_guard lock(mutex);
    ++calls;
    called.notify_all();
    return absl::ZeroDuration();
  });
  for (int i = 1; i <= 3; ++i) {
    notifier.Notify();
    std::unique_lock lock(mutex);
    called.wait(lock, [&] { return calls >= i; });
  }
}

TEST(Notifier, JoinsNotificationsDuringARest) {
  std::mutex mutex;
  std::condition_variable called;
  int calls = 0;
  {
    Notifier notifier([&] {
      std::lock_guard lock(mutex);
      ++calls;
      called.notify_all();
      return absl::Hours(1);
    });
    notifier.Notify();
    std::unique_lock lock(mutex);
    called.wait(lock, [&] { return calls == 1; });
    lock.unlock();
    for (int i = 0; i < 10; ++i) notifier.Notify();
  }
  EXPECT_EQ(calls, 1) << "the rest had not ended";
}

}  // namespace
}  // namespace portico::control
