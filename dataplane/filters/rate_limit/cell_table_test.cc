#include "dataplane/filters/rate_limit/cell_table.h"

#include <atomic>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace portico::filters {
namespace {

constexpr int64_t kSecond = base::kNanosPerSecond;
constexpr int64_t kCeiling = int64_t{1} << 61;

// Tokens that come back one by one: the leaky bucket that GCRA computes without
// keeping it. Exact integers: level in nanoseconds of work.
struct ReferenceBucket {
  int64_t level = 0, at = 0;
  bool Take(const GcraRate& rate, int64_t now) {
    level = std::max<int64_t>(0, level - (now - at));
    at = now;
    if (level > rate.tolerance) return false;
    level += rate.interval;
    return true;
  }
};

TEST(GcraTest, AgreesWithALeakyBucket) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 300; ++round) {
    const uint64_t requests = 1 + random() % 50;
    const auto per = static_cast<int64_t>(1 + random() % (10 * kSecond));
    const GcraRate rate = MakeGcraRate(requests, per, 1 + random() % 20);
    ReferenceBucket bucket;
    int64_t tat = 0, now = 0;
    for (int i = 0; i < 300; ++i) {
      now += static_cast<int64_t>(random() % static_cast<uint64_t>(rate.interval * 2 + 1)) * (random() % 3);
      const GcraDecision decision = DecideGcra(rate, tat, now);
      const ReferenceBucket before = bucket;
      ASSERT_EQ(decision.admitted, bucket.Take(rate, now)) << "round " << round << " step " << i;
      // Refusals say when it is worth coming back: not a nanosecond earlier.
      if (!decision.admitted) {
        ReferenceBucket early = before, late = before;
        ASSERT_FALSE(early.Take(rate, now + decision.retry_after - 1));
        ASSERT_TRUE(late.Take(rate, now + decision.retry_after));
        continue;
      }
      tat = decision.tat;
      // As many more as promised.
      ReferenceBucket more = bucket;
      int64_t count = 0;
      while (more.Take(rate, now)) ++count;
      ASSERT_EQ(decision.remaining, count);
    }
  }
}

// No window of any length sees more than the burst and what comes back in it.
TEST(GcraTest, NeverMoreThanBurstPlusRateInAnyWindow) {
  std::mt19937_64 random(11);
  const GcraRate rate = MakeGcraRate(100, 10 * kSecond, 20);
  std::deque<int64_t> admitted;
  int64_t tat = 0, now = 0;
  for (int i = 0; i < 20000; ++i) {
    now += static_cast<int64_t>(random() % (kSecond / 20));
    const GcraDecision decision = DecideGcra(rate, tat, now);
    if (!decision.admitted) continue;
    tat = decision.tat;
    admitted.push_back(now);
    if (admitted.size() > 200) admitted.pop_front();
    for (size_t back = 0; back < admitted.size(); ++back) {
      const int64_t window = now - admitted[admitted.size() - 1 - back];
      ASSERT_LE(static_cast<int64_t>(back), 20 + window / rate.interval);
    }
  }
}

TEST(GcraTest, ExtremesDoNotOverflow) {
  for (const GcraRate& rate : {MakeGcraRate(1, 86400 * kSecond, 1'000'000'000), MakeGcraRate(1'000'000'000, 1'000'000, 1),
                               MakeGcraRate(0, 0, 0), MakeGcraRate(1, 1, 1)}) {
    EXPECT_GE(rate.interval, 1);
    EXPECT_GE(rate.tolerance, 0);
    const GcraDecision decision = DecideGcra(rate, 0, int64_t{1} << 60);
    EXPECT_TRUE(decision.admitted);
    EXPECT_GT(decision.tat, int64_t{1} << 60);
  }
}

TEST(CellTableTest, TakesAndReturns) {
  CellTable table(16);
  const CellKey key = table.HashOf("a");
  const GcraRate rate = MakeGcraRate(1, kSecond, 2);
  const int64_t now = 1000 * kSecond;
  EXPECT_TRUE(table.Peek(key, rate, kCeiling, now).admitted);
  EXPECT_TRUE(table.Take(key, rate, kCeiling, now).admitted);
  EXPECT_TRUE(table.Take(key, rate, kCeiling, now).admitted);
  EXPECT_FALSE(table.Take(key, rate, kCeiling, now).admitted);
  EXPECT_FALSE(table.Peek(key, rate, kCeiling, now).admitted);
  table.Return(key, rate);
  EXPECT_TRUE(table.Peek(key, rate, kCeiling, now).admitted) << "peeking takes nothing";
  EXPECT_TRUE(table.Take(key, rate, kCeiling, now).admitted);
  EXPECT_FALSE(table.Take(key, rate, kCeiling, now).admitted);
  EXPECT_TRUE(table.Take(table.HashOf("b"), rate, kCeiling, now).admitted);
}

TEST(CellTableTest, ARefusalLeavesNoMoreDebtThanTheCeiling) {
  CellTable table(16);
  const CellKey key = table.HashOf("k");
  const GcraRate slow = MakeGcraRate(1, 100 * kSecond, 10), fast = MakeGcraRate(1, kSecond, 1);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(table.Take(key, slow, kCeiling, kSecond).admitted);
  const int64_t ceiling = fast.tolerance + fast.interval;
  EXPECT_FALSE(table.Take(key, fast, ceiling, kSecond).admitted);
  EXPECT_TRUE(table.Take(key, fast, ceiling, kSecond + ceiling).admitted);
}

TEST(CellTableTest, RestingCellsAreReused) {
  CellTable table(16);
  const GcraRate rate = MakeGcraRate(1, kSecond, 1);
  int64_t now = 1000 * kSecond;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(table.Take(table.HashOf(std::to_string(i)), rate, kCeiling, now).admitted);
    now += kSecond / 4;  // Four are busy at any time.
  }
  EXPECT_EQ(table.taken(), 0u);
}

TEST(CellTableTest, AFullTableTakesTheCellNearestToRest) {
  CellTable table(16);
  const GcraRate slow = MakeGcraRate(1, 1000 * kSecond, 1), quick = MakeGcraRate(1, kSecond, 1);
  const int64_t now = 1000 * kSecond;
  for (int i = 0; i < 15; ++i) {
    ASSERT_TRUE(table.Take(table.HashOf("slow" + std::to_string(i)), slow, kCeiling, now).admitted);
  }
  ASSERT_TRUE(table.Take(table.HashOf("quick"), quick, kCeiling, now).admitted);
  EXPECT_EQ(table.taken(), 0u);
  ASSERT_TRUE(table.Take(table.HashOf("new"), slow, kCeiling, now).admitted) << "a new key starts rested";
  EXPECT_EQ(table.taken(), 1u);
  for (int i = 0; i < 15; ++i) {
    EXPECT_FALSE(table.Peek(table.HashOf("slow" + std::to_string(i)), slow, kCeiling, now).admitted) << i;
  }
  EXPECT_TRUE(table.Peek(table.HashOf("quick"), quick, kCeiling, now).admitted);
}

TEST(CellTableTest, ManyKeysStayApart) {
  CellTable table(1 << 14);
  const GcraRate rate = MakeGcraRate(3, 1000 * kSecond, 3);
  const int64_t now = 1000 * kSecond;
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 4000; ++i) {
      ASSERT_EQ(table.Take(table.HashOf(std::to_string(i)), rate, kCeiling, now).admitted, round < 3) << i;
    }
  }
  EXPECT_EQ(table.taken(), 0u);
}

class CellTableThreadsTest : public testing::TestWithParam<int> {};

// All threads start with a fresh table on the same few keys, so that claims collide.
TEST_P(CellTableThreadsTest, AdmitsExactlyTheBurst) {
#ifdef PORTICO_SANITIZED
  constexpr int kRounds = 20, kThreads = 4, kTries = 200;
#else
  constexpr int kRounds = 200, kThreads = 4, kTries = 200;
#endif
  const int keys = GetParam();
  for (int round = 0; round < kRounds; ++round) {
    CellTable table(64);
    const GcraRate rate = MakeGcraRate(100, 1000 * kSecond, 100);
    const int64_t now = 1000 * kSecond;
    std::atomic<int> admitted{0};
    std::atomic<bool> go{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        while (!go.load()) std::this_thread::yield();
        for (int i = 0; i < kTries * keys; ++i) {
          const CellKey key = table.HashOf(std::to_string((i + t) % keys));
          if (table.Take(key, rate, kCeiling, now).admitted) admitted.fetch_add(1);
        }
      });
    }
    go.store(true);
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(admitted.load(), 100 * keys) << "round " << round;
  }
}
INSTANTIATE_TEST_SUITE_P(Keys, CellTableThreadsTest, testing::Values(1, 3, 8));

// Taking and returning cancel out, whatever the order.
TEST(CellTableTest, ReturnsUnderContention) {
  CellTable table(64);
  const GcraRate rate = MakeGcraRate(1000, 100000 * kSecond, 1000);
  const int64_t now = 1000 * kSecond;
  const CellKey key = table.HashOf("k");
  std::vector<std::thread> threads;
  std::atomic<int> kept{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        if (!table.Take(key, rate, kCeiling, now).admitted) continue;
        if ((i + t) % 16 == 0) {
          kept.fetch_add(1);
        } else {
          table.Return(key, rate);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  int64_t left = 0;
  while (table.Take(key, rate, kCeiling, now).admitted) ++left;
  EXPECT_EQ(left + kept.load(), 1000);
}

}  // namespace
}  // namespace portico::filters
