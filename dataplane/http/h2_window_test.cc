#include "dataplane/http/h2_window.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace portico::http {
namespace {

constexpr uint32_t kStream = 64 * 1024;
constexpr uint32_t kConnection = 1 << 20;
constexpr int64_t kMillis = base::kNanosPerMilli;

class H2WindowTest : public testing::Test {
 protected:
  // A window's worth is read, the last of it `nanos` after the first. Returns the window then.
  int32_t Pass(H2Window& window, int64_t nanos, bool waits = true, uint32_t streams = 1) {
    const int32_t size = all_.first() + window.grown();
    if (waits) window.ReaderWaits();
    window.Read(static_cast<size_t>(size / 2), now_, streams, all_);
    now_ += nanos;
    window.Read(static_cast<size_t>(size - size / 2), now_, streams, all_);
    return all_.first() + window.grown();
  }

  base::MonotonicNanos now_ = 1;
  bool scarce_ = false;
  H2Windows all_{kStream, kConnection, &scarce_};
  H2Window window_;
};

TEST_F(H2WindowTest, GrowsOnlyWhereItMayBeWhatHoldsTheSenderUp) {
  struct Case {
    const char* what;
    uint32_t stream, connection;
    int64_t nanos;
    bool waits;
    uint32_t streams;
    bool scarce;
    int32_t after_one, after_ten;
  };
  const Case cases[] = {
      {"fast", kStream, kConnection, 0, true, 1, false, 128 << 10, 1 << 20},
      {"a long way", kStream, kConnection, 200 * kMillis, true, 1, false, 128 << 10, 1 << 20},
      {"what comes is slow", kStream, kConnection, 600 * kMillis, true, 1, false, 64 << 10,
       64 << 10},
      {"the reader is slower", kStream, kConnection, 200 * kMillis, false, 1, false, 64 << 10,
       64 << 10},
      {"a few streams", kStream, kConnection, 0, true, 10, false, 128 << 10, 256 << 10},
      {"many streams", kStream, kConnection, 0, true, 100, false, 64 << 10, 64 << 10},
      {"no memory", kStream, kConnection, 0, true, 1, true, 64 << 10, 64 << 10},
      {"a small connection", kStream, 65'535, 0, true, 1, false, 64 << 10, 64 << 10},
      {"a smaller one", kStream, 256 << 10, 0, true, 1, false, 128 << 10, 256 << 10},
      {"large enough", 4 << 20, 16 << 20, 0, true, 1, false, 4 << 20, 4 << 20},
  };
  for (const Case& c : cases) {
    H2Windows all(c.stream, c.connection, &scarce_);
    H2Window window;
    scarce_ = c.scarce;
    for (int i = 1; i <= 10; ++i) {
      if (c.waits) window.ReaderWaits();
      const int32_t size = all.first() + window.grown();
      window.Read(static_cast<size_t>(size / 2), now_, c.streams, all);
      now_ += c.nanos;
      window.Read(static_cast<size_t>(size - size / 2), now_, c.streams, all);
      const int32_t expected = i == 1 ? c.after_one : c.after_ten;
      if (i == 1 || i == 10) {
        EXPECT_EQ(all.first() + window.grown(), expected) << c.what << " " << i;
      }
    }
    EXPECT_EQ(all.grown(), window.grown()) << c.what;
  }
}

TEST_F(H2WindowTest, GoesBackWhenItIsNotNeeded) {
  for (int i = 0; i < 4; ++i) Pass(window_, 0);
  ASSERT_EQ(all_.first() + window_.grown(), 1 << 20);
  // A rest, and what comes then: halves, whatever was read of a window.
  std::vector<int32_t> sizes;
  for (int i = 0; i < 5; ++i) {
    now_ += 3 * base::kNanosPerSecond;
    window_.Read(1, now_, 1, all_);
    sizes.push_back(all_.first() + window_.grown());
  }
  EXPECT_EQ(sizes, (std::vector<int32_t>{512 << 10, 256 << 10, 128 << 10, 64 << 10, 64 << 10}));
  EXPECT_EQ(all_.grown(), 0);
}

TEST_F(H2WindowTest, GoesBackAtOnceWithoutMemory) {
  for (int i = 0; i < 4; ++i) Pass(window_, 0);
  scarce_ = true;
  EXPECT_EQ(window_.Read(1, now_, 1, all_).by, -(960 << 10));
  EXPECT_EQ(window_.grown(), 0);
  scarce_ = false;
  EXPECT_EQ(Pass(window_, 0), 128 << 10);
}

TEST_F(H2WindowTest, WhatWasTakenBackIsKeptFromTheNextBytes) {
  for (int i = 0; i < 4; ++i) Pass(window_, 0);
  scarce_ = true;
  window_.Read(1, now_, 1, all_);
  constexpr int32_t kTaken = 960 << 10;
  EXPECT_EQ(window_.debt().owed(), kTaken);
  EXPECT_EQ(all_.debt().owed(), kTaken);
  // Nothing goes back until as much is read; of the connection, on whatever stream.
  EXPECT_EQ(window_.debt().Pay(900 << 10), 0u);
  EXPECT_EQ(all_.debt().Pay(500 << 10), 0u);
  // It grows again: nghttp2 gives the peer nothing new for that, so what is still owed is forgiven
  // first, and what was paid counts as read.
  scarce_ = false;
  window_.ReaderWaits();
  window_.Read(32 << 10, now_, 1, all_);
  const H2WindowChange change = window_.Read(32 << 10, now_, 1, all_);
  EXPECT_EQ(change.by, 64 << 10);
  EXPECT_EQ(change.read_of_stream, 4 << 10);
  EXPECT_EQ(change.read_of_connection, 0);
  EXPECT_EQ(window_.debt().owed(), 0);
  EXPECT_EQ(window_.debt().Pay(7), 7u);
  EXPECT_EQ(all_.debt().owed(), kTaken - (500 << 10) - (64 << 10));
}

TEST_F(H2WindowTest, StreamsTogetherGrowByNoMoreThanTheConnectionMay) {
  std::array<H2Window, 20> windows;
  for (int round = 0; round < 10; ++round) {
    // As if each were alone.
    for (H2Window& window : windows) Pass(window, 0);
    EXPECT_LE(all_.grown(), H2Windows::kMostGrowth);
  }
  EXPECT_GT(all_.grown(), H2Windows::kMostGrowth / 2);
  // Others came: each one's part is smaller now.
  for (H2Window& window : windows) Pass(window, 0, true, 20);
  for (H2Window& window : windows) EXPECT_LE(window.grown(), H2Windows::kMostGrowth / 20);
  for (H2Window& window : windows) window.End(all_);
  EXPECT_EQ(all_.grown(), 0);
}

}  // namespace
}  // namespace portico::http
