// What the proxy exposes passes `promtool check metrics` without a remark.
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/base/fake_clock.h"
#include "dataplane/observe/metrics_collector.h"
#include "dataplane/observe/process_metrics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "prometheus/text_serializer.h"

namespace portico::observe {
namespace {

TEST(Exposition, PromtoolHasNoRemarks) {
  MetricIds ids(10, 10);
  auto worker = std::make_shared<WorkerMetrics>();
  ExchangeRecord record;
  record.has_route = record.has_upstream = true;
  record.route = ids.Route("users");
  record.upstream = ids.Upstream("users-backend");
  record.status = 504;
  record.reason = "upstream_timeout";
  record.duration_nanos = record.upstream_duration_nanos = 1000;
  worker->Record(record);
  worker->ProtocolError("bad_header");

  ProxyStatus status;
  base::FakeClock clock;
  const MetricsCollector collector(
      ids, {worker}, status, clock,
      {.version = "1\"2", .node_id = "a\\b", .access_log_dropped = {}});
  const ProcessCollector process;
  std::string text = prometheus::TextSerializer().Serialize(collector.Collect());
  const std::string of_process = prometheus::TextSerializer().Serialize(process.Collect());
  for (const char* name :
       {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds",
        "process_max_fds", "process_start_time_seconds", "process_threads"}) {
    EXPECT_THAT(of_process, ::testing::HasSubstr(name));
  }
  text += of_process;

  const std::string path = ::testing::TempDir() + "/exposition.txt";
  std::ofstream(path) << text;
  FILE* pipe = popen(("promtool check metrics < '" + path + "' 2>&1").c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string remarks;
  char piece[4096];
  while (const size_t n = fread(piece, 1, sizeof(piece), pipe)) remarks.append(piece, n);
  EXPECT_EQ(pclose(pipe), 0) << remarks;
  EXPECT_EQ(remarks, "");
}

}  // namespace
}  // namespace portico::observe
