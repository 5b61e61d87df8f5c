#include "dataplane/observe/metric_ids.h"

#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace portico::observe {
namespace {

TEST(MetricIds, ANameKeepsItsPlace) {
  MetricIds ids(10, 10);
  const RouteId users = ids.Route("users");
  const RouteId orders = ids.Route("orders");
  EXPECT_EQ(users.index, 1u);
  EXPECT_EQ(orders.index, 2u);
  EXPECT_EQ(ids.Route("users").index, users.index);
  // Upstreams are counted on their own.
  EXPECT_EQ(ids.Upstream("users").index, 1u);
  EXPECT_EQ(ids.RouteNames(), (std::vector<std::string>{"_overflow", "users", "orders"}));
  EXPECT_EQ(ids.UpstreamNames(), (std::vector<std::string>{"_overflow", "users"}));
}

TEST(MetricIds, WhatComesAfterTheCapSharesOnePlace) {
  MetricIds ids(2, 1);
  EXPECT_EQ(ids.Route("a").index, 1u);
  EXPECT_EQ(ids.Route("b").index, 2u);
  EXPECT_EQ(ids.Route("c").index, 0u);
  EXPECT_EQ(ids.Route("d").index, 0u);
  EXPECT_EQ(ids.Route("b").index, 2u);
  EXPECT_EQ(ids.Upstream("a").index, 1u);
  EXPECT_EQ(ids.Upstream("b").index, 0u);
  EXPECT_EQ(ids.RouteNames().size(), 3u);
}

TEST(MetricIds, ThreadsAgree) {
  MetricIds ids(1000, 10);
  std::vector<std::vector<uint32_t>> seen(4);
  std::vector<std::thread> threads;
  for (auto& mine : seen) {
    threads.emplace_back([&ids, &mine] {
      for (int i = 0; i < 500; ++i) mine.push_back(ids.Route("route-" + std::to_string(i)).index);
    });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& mine : seen) EXPECT_EQ(mine, seen[0]);
}

}  // namespace
}  // namespace portico::observe
