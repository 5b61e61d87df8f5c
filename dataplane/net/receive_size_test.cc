#include "dataplane/net/receive_size.h"

#include <gtest/gtest.h>

#include <vector>

namespace portico::net {
namespace {

using base::BufferPool;

TEST(ReceiveSizeTest, GrowsWhileBuffersAreFilledAndShrinksWhenTheyAreNot) {
  BufferPool pool;
  ReceiveSize size;
  base::MonotonicNanos now = 1;
  EXPECT_EQ(size.Next(pool, 0, now), BufferPool::kLarge);
  size.Received(BufferPool::kLarge, now);
  EXPECT_EQ(size.Next(pool, 0, now), 2 * BufferPool::kLarge);
  size.Received(2 * BufferPool::kLarge, now);
  EXPECT_EQ(size.Next(pool, 0, now), BufferPool::kHuge);
  size.Received(BufferPool::kHuge, now);
  EXPECT_EQ(size.Next(pool, 0, now), BufferPool::kHuge);
  size.Received(BufferPool::kHuge / 4, now);
  EXPECT_EQ(size.size(), BufferPool::kHuge);
  for (int i = 0; i < 10; ++i) {
    size.Next(pool, 0, now);
    size.Received(1, now);
  }
  EXPECT_EQ(size.Next(pool, 0, now), BufferPool::kSmall);
}

TEST(ReceiveSizeTest, NoMoreThanIsToCome) {
  BufferPool pool;
  ReceiveSize size;
  EXPECT_EQ(size.Next(pool, 100, 1), 100u);
  size.Received(100, 1);
  EXPECT_EQ(size.Next(pool, uint64_t{1} << 40, 1), 2 * BufferPool::kLarge);
}

TEST(ReceiveSizeTest, ASlowTakerGetsSmallPieces) {
  BufferPool pool;
  ReceiveSize size;
  size.Next(pool, 0, 1);
  size.Received(BufferPool::kLarge, 1);
  EXPECT_EQ(size.Next(pool, 0, 1 + ReceiveSize::kSlow), 2 * BufferPool::kLarge);
  EXPECT_EQ(size.Next(pool, 0, 2 + ReceiveSize::kSlow), BufferPool::kSmall);
  size.Received(BufferPool::kSmall, 2 + ReceiveSize::kSlow);
  EXPECT_EQ(size.Next(pool, 0, 3 + ReceiveSize::kSlow), 2 * BufferPool::kSmall);
}

TEST(ReceiveSizeTest, PipesAreForBodiesThatComeFast) {
  BufferPool pool;
  ReceiveSize size;
  EXPECT_TRUE(size.WorthAPipe(0));
  EXPECT_TRUE(size.WorthAPipe(BufferPool::kLarge));
  EXPECT_FALSE(size.WorthAPipe(BufferPool::kLarge - 1));
  EXPECT_EQ(size.NextInPipe(0), event::PipePool::kPipeBytes);
  EXPECT_EQ(size.NextInPipe(100'000), 100'000u);
  size.Received(1000, 1);
  EXPECT_FALSE(size.WorthAPipe(0));
  // Fast again.
  EXPECT_EQ(size.Next(pool, 0, 1), 2 * BufferPool::kSmall);
  size.Received(2 * BufferPool::kSmall, 1);
  EXPECT_TRUE(size.WorthAPipe(0));
  EXPECT_EQ(size.Next(pool, 0, 2 + ReceiveSize::kSlow), BufferPool::kSmall);
  EXPECT_FALSE(size.WorthAPipe(0));
}

TEST(ReceiveSizeTest, ThePoolHasTheLastWord) {
  BufferPool pool;
  std::vector<base::Buffer> out;
  while (pool.live_bytes() < BufferPool::kGenerousBytes) out.push_back(pool.Allocate(BufferPool::kHuge));
  ReceiveSize size;
  EXPECT_EQ(size.Next(pool, 0, 1), BufferPool::kSmall);
}

TEST(MessageSizeTest, FollowsWhatCame) {
  MessageSize size;
  EXPECT_EQ(size.hint(), BufferPool::kSmall);
  size.Received(200);
  EXPECT_EQ(size.hint(), BufferPool::kSmall);
  size.Received(BufferPool::kSmall + 200);
  EXPECT_EQ(size.hint(), 2 * BufferPool::kSmall);
  size.Received(10 << 20);
  EXPECT_EQ(size.hint(), BufferPool::kLarge);
  size.Received(200);
  EXPECT_EQ(size.hint(), 2 * BufferPool::kSmall);
  size.Received(200);
  size.Received(200);
  EXPECT_EQ(size.hint(), BufferPool::kSmall);
}

}  // namespace
}  // namespace portico::net
