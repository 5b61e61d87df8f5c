#include "dataplane/base/buffer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <utility>
#include <vector>

namespace portico::base {
namespace {

#ifdef PORTICO_SANITIZED
constexpr bool kPooled = false;
#else
constexpr bool kPooled = true;
#endif

TEST(BufferTest, EmptyHasNothing) {
  Buffer buffer;
  EXPECT_FALSE(buffer);
  EXPECT_EQ(buffer.view(), "");
  EXPECT_EQ(buffer.capacity(), 0u);
  buffer.set_size(0);
  buffer.Reset();
  EXPECT_FALSE(buffer.Share());
}

TEST(BufferTest, SizesAreRoundedUpToAClass) {
  struct Case {
    size_t asked, capacity;
  };
  const Case kCases[] = {
      {0, BufferPool::kSmall},
      {1, BufferPool::kSmall},
      {BufferPool::kSmall, BufferPool::kSmall},
      {BufferPool::kSmall + 1, 2 * BufferPool::kSmall},
      {2 * BufferPool::kSmall + 1, BufferPool::kLarge},
      {BufferPool::kLarge, BufferPool::kLarge},
      {BufferPool::kLarge + 1, 2 * BufferPool::kLarge},
      {BufferPool::kHuge, BufferPool::kHuge},
      {BufferPool::kHuge + 1, BufferPool::kHuge + 1},
      {1 << 20, 1 << 20},
  };
  BufferPool pool;
  for (const Case& c : kCases) {
    Buffer buffer = pool.Allocate(c.asked);
    EXPECT_EQ(buffer.capacity(), c.capacity) << c.asked;
    EXPECT_EQ(buffer.size(), 0u);
    EXPECT_EQ(pool.live(), 1u);
    EXPECT_EQ(pool.live_bytes(), c.capacity);
    std::memset(buffer.data(), 'x', buffer.capacity());
  }
  EXPECT_EQ(pool.live(), 0u);
  EXPECT_EQ(pool.live_bytes(), 0u);
}

TEST(BufferTest, LastReferenceReturnsTheBlock) {
  BufferPool pool;
  Buffer first = pool.Allocate();
  std::memcpy(first.data(), "hello", 5);
  first.set_size(5);
  Buffer second = first.Share();
  EXPECT_TRUE(first.shared());
  first.Reset();
  EXPECT_EQ(pool.live(), 1u);
  EXPECT_EQ(second.view(), "hello");
  EXPECT_FALSE(second.shared());
  Buffer third = std::move(second);
  second = std::move(third);
  EXPECT_EQ(second.view(), "hello");
  Buffer& self = second;
  second = std::move(self);
  EXPECT_EQ(second.view(), "hello");
  second = Buffer();
  EXPECT_EQ(pool.live(), 0u);
}

TEST(BufferTest, FreeBlocksAreReusedUpToTheBound) {
  BufferPool pool(2 * BufferPool::kSmall);
  std::vector<Buffer> buffers;
  for (int i = 0; i < 5; ++i) buffers.push_back(pool.Allocate());
  const char* last = buffers.front().data();
  buffers.clear();
  EXPECT_LE(pool.idle_bytes(), 2 * BufferPool::kSmall);
  if (!kPooled) return;
  EXPECT_EQ(pool.idle_bytes(), 2 * BufferPool::kSmall);
  Buffer a = pool.Allocate();
  Buffer b = pool.Allocate();
  EXPECT_TRUE(a.data() == last || b.data() == last);
  EXPECT_EQ(pool.idle_bytes(), 0u);
}

TEST(BufferTest, EachSizeIsReusedByItself) {
  BufferPool pool;
  for (size_t size = BufferPool::kSmall; size <= BufferPool::kHuge; size *= 2) {
    Buffer first = pool.Allocate(size);
    const char* place = first.data();
    first.Reset();
    if (!kPooled) continue;
    Buffer again = pool.Allocate(size);
    EXPECT_EQ(again.data(), place);
  }
}

TEST(BufferTest, LargeBlocksAreGrantedWhileFewAreOut) {
  BufferPool pool;
  EXPECT_EQ(pool.Grant(BufferPool::kHuge), BufferPool::kHuge);
  EXPECT_EQ(pool.Grant(100), 100u);
  std::vector<Buffer> out;
  while (pool.live_bytes() < BufferPool::kGenerousBytes) out.push_back(pool.Allocate(BufferPool::kHuge));
  EXPECT_EQ(pool.Grant(BufferPool::kHuge), BufferPool::kSmall);
  EXPECT_EQ(pool.Grant(100), 100u);
  out.pop_back();
  EXPECT_EQ(pool.Grant(BufferPool::kHuge), BufferPool::kHuge);
}

TEST(BufferTest, LentBlocksAreNotLive) {
  BufferPool pool;
  Buffer buffer = pool.Allocate(BufferPool::kLarge);
  char* const bytes = buffer.data();
  EXPECT_EQ(pool.Lend(std::move(buffer)), bytes);
  EXPECT_EQ(pool.live(), 0u);
  EXPECT_EQ(pool.live_bytes(), 0u);
  EXPECT_EQ(pool.idle_bytes(), 0u);
  Buffer other = pool.Allocate(BufferPool::kLarge);
  EXPECT_NE(other.data(), bytes);
  std::memcpy(bytes, "hello", 5);
  Buffer back = pool.Reclaim(bytes);
  EXPECT_EQ(back.size(), 0u);
  back.set_size(5);
  EXPECT_EQ(back.view(), "hello");
  EXPECT_EQ(back.capacity(), BufferPool::kLarge);
  EXPECT_EQ(pool.live(), 2u);
  EXPECT_EQ(pool.live_bytes(), 2 * BufferPool::kLarge);
}

TEST(BufferTest, CapacityForIsWhatAllocateGives) {
  BufferPool pool;
  for (const size_t size : {size_t{0}, BufferPool::kSmall, BufferPool::kSmall + 1, BufferPool::kLarge - 1,
                            BufferPool::kHuge, BufferPool::kHuge + 1}) {
    EXPECT_EQ(pool.Allocate(size).capacity(), BufferPool::CapacityFor(size)) << size;
  }
}

TEST(BufferDeathTest, PoolMustOutliveItsBuffers) {
  EXPECT_DEATH(
      {
        Buffer kept;
        BufferPool pool;
        kept = pool.Allocate();
      },
      "check failed: live_ == 0");
}

TEST(BufferDeathTest, SizeBeyondCapacity) {
  BufferPool pool;
  Buffer buffer = pool.Allocate();
  EXPECT_DEATH(buffer.set_size(BufferPool::kSmall + 1), "check failed: size <= capacity");
}

}  // namespace
}  // namespace portico::base
