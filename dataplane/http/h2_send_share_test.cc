#include "dataplane/http/h2_send_share.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace portico::http {
namespace {

constexpr size_t kKiB = 1024;
constexpr size_t kOpen = 10 << 20;

TEST(H2SendShare, OneThatIsAloneGetsLargePieces) {
  for (const size_t window : {kOpen, 64 * kKiB, size_t{0}}) {
    H2SendShare share;
    H2SendStake stake;
    stake.Came(15 * kKiB, share);  // With the head.
    std::vector<size_t> sizes;
    for (int i = 0; i < 5; ++i) {
      sizes.push_back(stake.Next(window, share));
      stake.Came(sizes.back(), share);
    }
    const size_t most = window == kOpen ? 256 * kKiB : 128 * kKiB;
    EXPECT_EQ(sizes, (std::vector<size_t>{32 * kKiB, 128 * kKiB, most, most, most}));
    stake.End(share);
    EXPECT_EQ(share.left(), H2SendShare::kBytes);
  }
}

TEST(H2SendShare, ManyHoldNoMoreThanTheirShare) {
  H2SendShare share;
  std::array<H2SendStake, 100> stakes;
  std::array<size_t, 100> sizes = {};
  for (int round = 0; round < 10; ++round) {
    for (size_t i = 0; i < stakes.size(); ++i) {
      sizes[i] = stakes[i].Next(kOpen, share);
      stakes[i].Came(sizes[i], share);
      EXPECT_GE(sizes[i], H2SendStake::kLeast);
      EXPECT_GE(share.left(), 0);
    }
  }
  size_t sum = 0;
  for (const size_t size : sizes) sum += size;
  EXPECT_LE(sum, H2SendShare::kBytes + 100 * H2SendStake::kLeast);
  EXPECT_GT(sum, 101 * H2SendStake::kLeast);
  for (H2SendStake& stake : stakes) stake.End(share);
  EXPECT_EQ(share.left(), H2SendShare::kBytes);
}

TEST(H2SendShare, WhoCannotSendLeavesHalfToThoseThatCan) {
  H2SendShare share;
  std::array<H2SendStake, 50> blocked;
  for (int round = 0; round < 5; ++round) {
    for (H2SendStake& stake : blocked) stake.Came(stake.Next(0, share), share);
  }
  EXPECT_GE(share.left(), H2SendShare::kBytes / 2);
  H2SendStake can;
  size_t size = 0;
  for (int i = 0; i < 5; ++i) {
    size = can.Next(kOpen, share);
    can.Came(size, share);
  }
  EXPECT_EQ(size, 128 * kKiB);
  // No more than its window beyond the least.
  H2SendStake little;
  for (int i = 0; i < 5; ++i) {
    size = little.Next(20 * kKiB, share);
    little.Came(size, share);
  }
  EXPECT_EQ(size, 32 * kKiB);
}

TEST(H2SendShare, WhoseMessagesAreSmallHoldsNothing) {
  H2SendShare share;
  std::array<H2SendStake, 100> idle;
  for (H2SendStake& stake : idle) {
    for (int i = 0; i < 5; ++i) {
      EXPECT_EQ(stake.Next(kOpen, share), H2SendStake::kLeast);
      stake.Came(100, share);
    }
  }
  EXPECT_EQ(share.left(), H2SendShare::kBytes);
}

TEST(H2SendShare, WhatComesUnaskedCounts) {
  H2SendShare share;
  H2SendStake stake;
  stake.Came(64 * kKiB, share);
  EXPECT_EQ(share.left(), H2SendShare::kBytes - static_cast<int64_t>(48 * kKiB));
  std::array<H2SendStake, 20> others;
  for (H2SendStake& other : others) other.Came(64 * kKiB, share);
  EXPECT_LT(share.left(), 0);
  EXPECT_EQ(stake.Next(kOpen, share), H2SendStake::kLeast);
  for (H2SendStake& other : others) other.End(share);
  stake.End(share);
  EXPECT_EQ(share.left(), H2SendShare::kBytes);
}

TEST(H2SendShare, PiecesOfOneReceiveCountTogether) {
  // Chunks of 8 KiB.
  H2SendShare share;
  H2SendStake stake;
  size_t size = 0;
  for (int i = 0; i < 5; ++i) {
    size = stake.Next(kOpen, share);
    for (size_t came = 0; came + 8 * kKiB <= size; came += 8 * kKiB) {
      stake.Came(8 * kKiB - 6, share);
    }
  }
  EXPECT_EQ(size, 256 * kKiB);
}

}  // namespace
}  // namespace portico::http
