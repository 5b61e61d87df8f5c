#include "dataplane/proxy/memory_guard.h"

#include <gtest/gtest.h>

#include <vector>

#include "dataplane/base/fake_clock.h"
#include "dataplane/event/engine_factory.h"
#include "dataplane/http/h2_memory.h"
#include "dataplane/snapshot/snapshot.h"

namespace portico::proxy {
namespace {

class MemoryGuardTest : public testing::Test {
 protected:
  MemoryGuardTest() : loop_(*event::CreateEpollEngine(), clock_) {}
  // A request of the usual priority.
  bool Has() { return Used() < snapshot::RouteEntry().shed_percent; }
  uint64_t Used() { return MemoryUsed(guard_, loop_, metrics_); }
  void Hold(size_t bytes) {
    while (loop_.downstream_buffers().live_bytes() < bytes)
      held_.push_back(loop_.downstream_buffers().Allocate());
  }

  base::FakeClock clock_;
  event::Loop loop_;
  observe::WorkerMetrics metrics_;
  MemoryGuard guard_{.share = 100 << 16};
  std::vector<base::Buffer> held_;
};

TEST_F(MemoryGuardTest, GoesThroughItsStagesAndBack) {
  EXPECT_TRUE(Has());
  EXPECT_FALSE(guard_.no_keep_alive);
  Hold(75 << 16);
  EXPECT_TRUE(Has());
  EXPECT_TRUE(guard_.shrunk);
  EXPECT_FALSE(guard_.no_keep_alive);
  Hold(85 << 16);
  EXPECT_TRUE(Has());
  EXPECT_TRUE(guard_.no_keep_alive);
  Hold(95 << 16);
  EXPECT_FALSE(Has());
  EXPECT_TRUE(guard_.no_keep_alive);
  // What is given back comes to the free blocks, which are let go where they count too much.
  held_.clear();
  const bool kept = loop_.downstream_buffers().idle_bytes() > 0;  // Not under sanitizers.
  EXPECT_TRUE(Has());
  EXPECT_FALSE(guard_.no_keep_alive);
  EXPECT_EQ(loop_.downstream_buffers().idle_bytes(), 0u);
  EXPECT_TRUE(Has());
  EXPECT_FALSE(guard_.shrunk);
  EXPECT_EQ(metrics_.overload_shrinks_total.value() > 0, kept);
  EXPECT_EQ(metrics_.overload_closes_total.value(), 2u);
}

TEST_F(MemoryGuardTest, SaysHowMuchWhereItMatters) {
  Hold(69 << 16);
  EXPECT_EQ(Used(), 0u);
  for (const uint64_t percent : {70u, 86u, 94u, 96u, 120u}) {
    Hold(percent << 16);
    EXPECT_EQ(Used(), percent);
  }
}

TEST_F(MemoryGuardTest, ConnectionsCount) {
  const uint64_t limit = guard_.share / MemoryGuard::kConnectionBytes;
  metrics_.downstream_connections_total.Add(limit / 2);
  EXPECT_TRUE(Has());
  metrics_.upstream_connections_total.Add(limit / 2);
  EXPECT_FALSE(Has());
  metrics_.downstream_connections_closed_total.Add(limit / 2);
  EXPECT_TRUE(Has());
}

TEST_F(MemoryGuardTest, WhatHttp2HoldsCounts) {
  EXPECT_TRUE(Has());
  {
    const http::H2Held held(guard_.share * 9 / 10);
    EXPECT_FALSE(Has());
    EXPECT_TRUE(guard_.shrunk);
  }
  EXPECT_TRUE(Has());
  EXPECT_FALSE(guard_.shrunk);
}

TEST_F(MemoryGuardTest, NoShareNoLimit) {
  guard_.share = 0;
  Hold(200 << 16);
  EXPECT_TRUE(Has());
  EXPECT_FALSE(guard_.no_keep_alive);
}

}  // namespace
}  // namespace portico::proxy
