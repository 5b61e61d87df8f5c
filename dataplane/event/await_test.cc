#include "dataplane/event/await.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "dataplane/base/fake_clock.h"
#include "dataplane/event/run_task.h"

namespace portico::event {
namespace {

using base::kNanosPerMilli;

class AwaitTest : public testing::Test {
 protected:
  AwaitTest() : loop_(*CreateEpollEngine(), clock_) {}
  ~AwaitTest() override {
    EXPECT_EQ(loop_.timers().armed(), 0u);
    EXPECT_EQ(LiveFrames(), 0);
  }
  void Turn() { loop_.RunOnce(0); }

  base::FakeClock clock_;
  Loop loop_;
  CancelScope scope_;
};

Task<void> SleepFor(Loop& loop, CancelScope& scope, int64_t nanos, absl::Status& out) {
  out = co_await Sleep(loop, scope, loop.now() + nanos);
}

TEST_F(AwaitTest, SleepEndsAtItsDeadline) {
  absl::Status status = absl::UnknownError("waiting");
  Spawn(SleepFor(loop_, scope_, 5 * kNanosPerMilli, status));
  Turn();
  EXPECT_EQ(status.message(), "waiting");
  clock_.Advance(5 * kNanosPerMilli);
  Turn();
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(AwaitTest, SleepEndsWhenItsScopeIsRequested) {
  absl::Status status;
  Spawn(SleepFor(loop_, scope_, 5 * kNanosPerMilli, status));
  status = absl::UnknownError("waiting");
  scope_.Request(absl::CancelledError("enough"));
  // Not from inside Request().
  EXPECT_EQ(status.message(), "waiting");
  Turn();
  EXPECT_EQ(status, absl::CancelledError("enough"));
  // Whatever starts later ends at once.
  status = absl::OkStatus();
  Spawn(SleepFor(loop_, scope_, 5 * kNanosPerMilli, status));
  EXPECT_EQ(status, absl::CancelledError("enough"));
  // The first reason stays.
  scope_.Request(absl::UnavailableError("later"));
  EXPECT_EQ(scope_.reason(), absl::CancelledError("enough"));
  scope_.Reset();
  EXPECT_FALSE(scope_.requested());
}

Task<void> WaitFor(Event& event, CancelScope& scope, std::vector<std::string>& log, std::string name) {
  const absl::Status status = co_await event.Wait(scope);
  log.push_back(name + ":" + std::string(status.ok() ? "ok" : status.message()));
}

TEST_F(AwaitTest, EventWakesAllWaitersInOrder) {
  Event event(loop_);
  std::vector<std::string> log;
  Spawn(WaitFor(event, scope_, log, "a"));
  Spawn(WaitFor(event, scope_, log, "b"));
  event.Set();
  EXPECT_TRUE(log.empty());
  Turn();
  EXPECT_EQ(log, (std::vector<std::string>{"a:ok", "b:ok"}));
  Spawn(WaitFor(event, scope_, log, "c"));
  EXPECT_EQ(log.back(), "c:ok");
  event.Reset();
  Spawn(WaitFor(event, scope_, log, "d"));
  Turn();
  EXPECT_EQ(log.size(), 3u);
  event.Set();
  Turn();
  EXPECT_EQ(log.back(), "d:ok");
}

TEST_F(AwaitTest, CancelAndSetInOneTurnWakeOnce) {
  for (bool cancel_first : {true, false}) {
    Event event(loop_);
    CancelScope scope;
    std::vector<std::string> log;
    Spawn(WaitFor(event, scope, log, "a"));
    if (cancel_first) scope.Request(absl::CancelledError("no"));
    event.Set();
    if (!cancel_first) scope.Request(absl::CancelledError("no"));
    Turn();
    Turn();
    ASSERT_EQ(log.size(), 1u);
    EXPECT_EQ(log[0], cancel_first ? "a:no" : "a:ok");
  }
}

TEST_F(AwaitTest, ConditionFeedsAQueue) {
  Condition changed(loop_);
  std::vector<int> queue, taken;
  const auto consume = [&](int count) -> Task<void> {
    for (int i = 0; i < count; ++i) {
      while (queue.empty()) {
        const absl::Status status = co_await changed.Wait(scope_);
        if (!status.ok()) co_return;
      }
      taken.push_back(queue.back());
      queue.pop_back();
    }
  };
  Spawn(consume(2));
  Spawn(consume(2));
  for (int i = 0; i < 3; ++i) {
    queue.push_back(i);
    changed.NotifyOne();
    Turn();
  }
  EXPECT_EQ(taken.size(), 3u);
  EXPECT_TRUE(changed.has_waiters());
  scope_.Request(absl::CancelledError("end"));
  Turn();
  EXPECT_FALSE(changed.has_waiters());
}

TEST_F(AwaitTest, DeadlineRequestsItsScope) {
  Event never(loop_);
  std::vector<std::string> log;
  {
    Deadline deadline(loop_, scope_, loop_.now() + 10 * kNanosPerMilli, "too slow");
    Spawn(WaitFor(never, scope_, log, "a"));
    deadline.Extend(loop_.now() + 20 * kNanosPerMilli);
    clock_.Advance(15 * kNanosPerMilli);
    Turn();
    EXPECT_TRUE(log.empty());
    clock_.Advance(5 * kNanosPerMilli);
    Turn();
    EXPECT_EQ(log, std::vector<std::string>{"a:too slow"});
    EXPECT_EQ(scope_.reason().code(), absl::StatusCode::kDeadlineExceeded);
  }
  CancelScope other;
  { Deadline gone(loop_, other, loop_.now() + kNanosPerMilli, "gone"); }
  Deadline unarmed(loop_, other, "unarmed");
  unarmed.Extend(loop_.now() + kNanosPerMilli);
  unarmed.Disarm();
  clock_.Advance(10 * kNanosPerMilli);
  Turn();
  EXPECT_FALSE(other.requested());
}

TEST_F(AwaitTest, ChildScopesEndWithTheirParent) {
  Event never(loop_);
  std::vector<std::string> log;
  {
    ChildScope first(scope_), second(scope_);
    Spawn(WaitFor(never, first, log, "first"));
    Spawn(WaitFor(never, second, log, "second"));
    first.Request(absl::CancelledError("alone"));
    Turn();
    EXPECT_EQ(log, std::vector<std::string>{"first:alone"});
    EXPECT_FALSE(scope_.requested());
    scope_.Request(absl::CancelledError("all"));
    Turn();
    EXPECT_EQ(log.back(), "second:all");
    ChildScope late(scope_);
    EXPECT_EQ(late.reason().message(), "all");
  }
  scope_.Reset();
}

TEST_F(AwaitTest, TaskGroupJoins) {
  Event go(loop_);
  std::vector<std::string> log;
  TaskGroup group(loop_);
  RunTask(loop_, group.Join());
  for (int i = 0; i < 3; ++i) group.Spawn(WaitFor(go, scope_, log, std::to_string(i)));
  EXPECT_EQ(group.running(), 3u);
  Task<void> join = group.Join();
  join.Start();
  Turn();
  EXPECT_FALSE(join.done());
  go.Set();
  EXPECT_TRUE(RunUntil(loop_, [&] { return join.done(); }));
  EXPECT_EQ(group.running(), 0u);
  EXPECT_EQ(log.size(), 3u);
}

TEST_F(AwaitTest, YieldLetsOthersRun) {
  std::vector<int> log;
  const auto count = [&](int base) -> Task<void> {
    for (int i = 0; i < 20; ++i) {
      log.push_back(base + i);
      co_await Yield(loop_);
    }
  };
  Spawn(count(0));
  Spawn(count(100));
  ASSERT_TRUE(RunUntil(loop_, [&] { return LiveFrames() == 0; }));
  ASSERT_EQ(log.size(), 40u);
  for (size_t i = 0; i < log.size(); i += 2) EXPECT_EQ(log[i] + 100, log[i + 1]);
}

TEST_F(AwaitTest, PostedWorkRunsInOrderFromManyThreads) {
  constexpr int kThreads = 4, kEach = 500;
  std::vector<std::vector<int>> seen(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) loop_.Post([&seen, t, i] { seen[static_cast<size_t>(t)].push_back(i); });
    });
  }
  const auto all = [&] {
    for (const auto& list : seen) {
      if (list.size() != kEach) return false;
    }
    return true;
  };
  EXPECT_TRUE(RunUntil(loop_, all, 20'000, 100 * kNanosPerMilli));
  for (std::thread& thread : threads) thread.join();
  for (const auto& list : seen) {
    for (int i = 0; i < kEach; ++i) EXPECT_EQ(list[static_cast<size_t>(i)], i);
  }
}

TEST_F(AwaitTest, StopWakesALoopThatWaits) {
  std::thread thread([&] { loop_.Stop(); });
  loop_.Run();
  thread.join();
  loop_.Run();  // Stopped already: returns.
}

TEST_F(AwaitTest, TimesAreEqualWithinATurn) {
  base::MonotonicNanos first = 0, second = 0;
  loop_.Post([&] {
    first = loop_.now();
    clock_.Advance(kNanosPerMilli);
  });
  loop_.Post([&] { second = loop_.now(); });
  Turn();
  EXPECT_EQ(first, second);
  Turn();
  EXPECT_EQ(loop_.now(), first + kNanosPerMilli);
}

TEST_F(AwaitTest, CompleteLaterIsNeitherInsideNorNextTurn) {
  struct Noted {
    HangUpOperation op;
    int result = -1;
  } noted;
  noted.op.context = &noted;
  noted.op.on_complete = [](Operation& op) { static_cast<Noted*>(op.context)->result = op.result(); };
  loop_.Post([&] {
    OperationAccess::Begin(noted.op, Operation::Kind::kHangUp);
    loop_.CompleteLater(noted.op, 7);
    EXPECT_EQ(noted.result, -1);
  });
  Turn();
  EXPECT_EQ(noted.result, 7);
  EXPECT_FALSE(noted.op.pending());
}

TEST(AwaitDeathTest, ScopeMustBeEmptyAtItsEnd) {
  EXPECT_DEATH(
      {
        base::FakeClock clock;
        Loop loop(*CreateEpollEngine(), clock);
        auto scope = std::make_unique<CancelScope>();
        absl::Status status;
        Spawn(SleepFor(loop, *scope, 1, status));
        scope.reset();
      },
      "check failed: head_ == nullptr");
}

}  // namespace
}  // namespace portico::event
