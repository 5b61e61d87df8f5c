#include "dataplane/base/arena.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace portico::base {
namespace {

TEST(ArenaTest, KeepsWhatItIsGiven) {
  Arena arena;
  std::mt19937 random(1);
  std::vector<std::pair<std::string, std::string_view>> copies;
  for (int i = 0; i < 2000; ++i) {
    std::string text(random() % (i % 100 == 0 ? 20'000 : 200), static_cast<char>('a' + i % 26));
    copies.emplace_back(text, arena.Copy(text));
  }
  for (const auto& [text, copy] : copies) EXPECT_EQ(copy, text);
}

TEST(ArenaTest, Aligns) {
  Arena arena;
  for (size_t alignment : {1u, 2u, 4u, 8u, 16u}) {
    for (int i = 0; i < 300; ++i) {
      arena.Allocate(1, 1);
      const void* memory = arena.Allocate(3 * alignment, alignment);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % alignment, 0u);
    }
  }
}

TEST(ArenaTest, ObjectsAndArrays) {
  struct Point {
    int x, y;
  };
  Arena arena;
  Point* point = arena.New<Point>(1, 2);
  EXPECT_EQ(point->x + point->y, 3);
  int* zeros = arena.NewArray<int>(1000);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(zeros[i], 0);
}

TEST(ArenaTest, Concat) {
  Arena arena;
  EXPECT_EQ(arena.Concat({"a", "", "bc", std::string_view()}), "abc");
  EXPECT_EQ(arena.Concat({}), "");
  EXPECT_EQ(arena.Copy(""), "");
}

TEST(ArenaTest, ResetForgetsAndReusesOneBlock) {
  Arena arena;
  const void* first = arena.Allocate(16);
  const void* large = arena.Allocate(6000);
  EXPECT_GE(arena.bytes_used(), 6016u);
  for (int round = 0; round < 5; ++round) {
    arena.Reset();
    EXPECT_EQ(arena.bytes_used(), 0u);
    EXPECT_EQ(arena.Allocate(16), first);
    EXPECT_EQ(arena.Allocate(6000), large);
  }
  // Too large to be kept.
  arena.Allocate(1 << 20);
  arena.Reset();
  EXPECT_EQ(arena.Allocate(6000), large);
}

TEST(ArenaTest, LargerThanAnyBlock) {
  Arena arena;
  for (size_t size : {size_t{2048}, size_t{4096}, size_t{4097}, size_t{8192}, size_t{8193}, size_t{100'000}}) {
    std::memset(arena.Allocate(size), 1, size);
  }
}

}  // namespace
}  // namespace portico::base
