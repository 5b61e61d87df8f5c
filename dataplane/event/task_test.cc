#include "dataplane/event/task.h"

#include <gtest/gtest.h>

#include <coroutine>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace portico::event {
namespace {

// A waiter that the test resumes by hand, as the loop would.
struct Gate {
  std::coroutine_handle<> waiter;
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) { waiter = handle; }
  void await_resume() const {}
  void Open() { std::exchange(waiter, {}).resume(); }
};

class TaskTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(LiveFrames(), 0); }
  void TearDown() override { EXPECT_EQ(LiveFrames(), 0); }
};

Task<int> Immediate(int value) { co_return value; }

Task<int> Through(Gate& gate, int value) {
  co_await gate;
  co_return value;
}

Task<void> Store(Task<int> task, int& out) { out = co_await std::move(task); }

TEST_F(TaskTest, RunsWhenAwaited) {
  bool ran = false;
  const auto body = [](bool& flag) -> Task<void> {
    flag = true;
    co_return;
  };
  {
    Task<void> task = body(ran);
    EXPECT_FALSE(ran);
    EXPECT_LE(LiveFrames(), 1);  // Clang puts this one on the stack.
  }
  EXPECT_FALSE(ran);
  Spawn(body(ran));
  EXPECT_TRUE(ran);
}

TEST_F(TaskTest, ManyTasksThatEndAtOnceUseNoStack) {
  const auto sum = []() -> Task<void> {
    int64_t total = 0;
    for (int i = 0; i < 100'000; ++i) total += co_await Immediate(i);
    EXPECT_EQ(total, int64_t{100'000} * 99'999 / 2);
  };
  Spawn(sum());
}

TEST_F(TaskTest, ManyTasksThatSuspendUseNoStack) {
  Gate gate;
  int64_t total = 0;
  const auto sum = [](Gate& g, int64_t& out) -> Task<void> {
    for (int i = 0; i < 100'000; ++i) out += co_await Through(g, 1);
  };
  Spawn(sum(gate, total));
  while (gate.waiter) gate.Open();
  EXPECT_EQ(total, 100'000);
}

Task<int> Nest(Gate& gate, int depth) {
  if (depth == 0) {
    co_await gate;
    co_return 0;
  }
  co_return 1 + co_await Nest(gate, depth - 1);
}

TEST_F(TaskTest, DeepNesting) {
  Gate gate;
  int result = 0;
  Spawn(Store(Nest(gate, 500), result));
  EXPECT_EQ(LiveFrames(), 502);
  gate.Open();
  EXPECT_EQ(result, 500);
}

TEST_F(TaskTest, MoveOnlyAndStatusResults) {
  const auto pointer = []() -> Task<std::unique_ptr<int>> { co_return std::make_unique<int>(5); };
  const auto failing = []() -> Task<absl::StatusOr<std::string>> { co_return absl::NotFoundError("no"); };
  const auto working = []() -> Task<absl::StatusOr<std::string>> { co_return "yes"; };
  bool done = false;
  const auto check = [&]() -> Task<void> {
    std::unique_ptr<int> five = co_await pointer();
    EXPECT_EQ(*five, 5);
    Task<absl::StatusOr<std::string>> task = failing();
    absl::StatusOr<std::string> no = co_await std::move(task);
    EXPECT_EQ(no.status().message(), "no");
    EXPECT_EQ(*co_await working(), "yes");
    done = true;
  };
  Spawn(check());
  EXPECT_TRUE(done);
}

TEST_F(TaskTest, MovedTasks) {
  Task<int> task = Immediate(1);
  Task<int> other = std::move(task);
  EXPECT_FALSE(task);
  other = Immediate(2);
  EXPECT_EQ(LiveFrames(), 1);
  int result = 0;
  Spawn(Store(std::move(other), result));
  EXPECT_EQ(result, 2);
}

TEST_F(TaskTest, BothInEveryOrder) {
  // Which of the two waits, and which is opened first.
  for (int waits = 0; waits < 4; ++waits) {
    for (int first = 0; first < 2; ++first) {
      Gate gates[2];
      int a = 0, b = 0;
      const auto run = [](Gate* g, int mask, int& x, int& y) -> Task<void> {
        Task<int> left = (mask & 1) != 0 ? Through(g[0], 1) : Immediate(1);
        Task<int> right = (mask & 2) != 0 ? Through(g[1], 2) : Immediate(2);
        auto both = co_await Both(std::move(left), std::move(right));
        x = both.first;
        y = both.second;
      };
      Spawn(run(gates, waits, a, b));
      for (int i : {first, 1 - first}) {
        if (!gates[i].waiter) continue;
        EXPECT_EQ(a + b, 0);
        gates[i].Open();
      }
      EXPECT_EQ(a, 1);
      EXPECT_EQ(b, 2);
      EXPECT_EQ(LiveFrames(), 0);
    }
  }
}

TEST_F(TaskTest, BothWithVoid) {
  int ran = 0;
  const auto step = [&]() -> Task<void> {
    ++ran;
    co_return;
  };
  const auto run = [&]() -> Task<void> {
    auto both = co_await Both(step(), Immediate(7));
    EXPECT_EQ(both.second, 7);
    co_await Both(step(), step());
  };
  Spawn(run());
  EXPECT_EQ(ran, 3);
}

TEST_F(TaskTest, FramesOfAllSizes) {
  const auto large = [](Gate& gate) -> Task<int> {
    char bytes[5000] = {};
    co_await gate;
    co_return bytes[4999] + 1;
  };
  Gate gate;
  int result = 0;
  Spawn(Store(large(gate), result));
  gate.Open();
  EXPECT_EQ(result, 1);
  for (size_t size : {1u, 64u, 65u, 2048u, 2049u, 10'000u}) {
    void* frame = AllocateFrame(size);
    EXPECT_EQ(LiveFrames(), 1);
    FreeFrame(frame, size);
  }
}

TEST(TaskDeathTest, DestroyingASuspendedTaskAborts) {
  EXPECT_DEATH(
      {
        Gate gate;
        Task<int> task = Through(gate, 1);
        task.Start();
      },
      "check failed: !started_");
}

TEST(TaskDeathTest, AnExceptionThatLeavesATaskAborts) {
  const auto bad = []() -> Task<void> {
    std::vector<int> empty;
    empty.at(1) = 0;
    co_return;
  };
  EXPECT_DEATH(Spawn(bad()), "exception left a task");
}

}  // namespace
}  // namespace portico::event
