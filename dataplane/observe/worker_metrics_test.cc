#include "dataplane/observe/worker_metrics.h"

#include <atomic>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/base/fake_clock.h"
#include "dataplane/observe/histogram.h"
#include "dataplane/observe/metrics_collector.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "prometheus/text_serializer.h"

namespace portico::observe {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class MetricsTest : public ::testing::Test {
 protected:
  MetricsTest() : ids_(3, 2) {
    for (int i = 0; i < 2; ++i) workers_.push_back(std::make_shared<WorkerMetrics>());
  }

  std::string Text() {
    std::vector<std::shared_ptr<const WorkerMetrics>> workers(workers_.begin(), workers_.end());
    const MetricsCollector collector(
        ids_, workers, status_, clock_,
        {.version = "1.2.3", .node_id = "node", .access_log_dropped = [] { return 7; }});
    return prometheus::TextSerializer().Serialize(collector.Collect());
  }

  ExchangeRecord Exchange(std::string_view route, std::string_view upstream, int status) {
    ExchangeRecord record;
    if (!route.empty()) {
      record.has_route = true;
      record.route = ids_.Route(route);
    }
    if (!upstream.empty()) {
      record.has_upstream = true;
      record.upstream = ids_.Upstream(upstream);
    }
    record.status = status;
    record.duration_nanos = 3'000'000;
    record.upstream_duration_nanos = upstream.empty() ? 0 : 2'000'000;
    record.request_bytes = 10;
    record.response_bytes = 100;
    return record;
  }

  MetricIds ids_;
  std::vector<std::shared_ptr<WorkerMetrics>> workers_;
  ProxyStatus status_;
  base::FakeClock clock_;
};

TEST_F(MetricsTest, WorkersAreAddedUp) {
  workers_[0]->Record(Exchange("users", "backend", 200));
  workers_[1]->Record(Exchange("users", "backend", 201));
  workers_[1]->Record(Exchange("users", "backend", 503));
  const std::string text = Text();
  EXPECT_THAT(text, HasSubstr("portico_requests_total{route=\"users\",code_class=\"2xx\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("portico_requests_total{route=\"users\",code_class=\"5xx\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("portico_request_bytes_total{route=\"users\"} 30\n"));
  EXPECT_THAT(text, HasSubstr("portico_response_bytes_total{route=\"users\"} 300\n"));
  EXPECT_THAT(
      text,
      HasSubstr("portico_upstream_requests_total{upstream=\"backend\",code_class=\"2xx\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("portico_request_duration_seconds_count 3\n"));
  EXPECT_THAT(text, HasSubstr("portico_request_duration_seconds_bucket{le=\"0.002\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("portico_request_duration_seconds_bucket{le=\"0.005\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("portico_request_duration_seconds_bucket{le=\"+Inf\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("portico_upstream_request_duration_seconds_bucket{upstream="
                              "\"backend\",le=\"0.002\"} 3\n"));
}

TEST_F(MetricsTest, WhatSawNoTrafficHasNoSeries) {
  ids_.Route("idle");
  workers_[0]->Record(Exchange("users", "", 200));
  const std::string text = Text();
  EXPECT_THAT(text, Not(HasSubstr("idle")));
  EXPECT_THAT(text, Not(HasSubstr("_overflow")));
  EXPECT_THAT(text, Not(HasSubstr("upstream=\"")));
}

TEST_F(MetricsTest, RequestsWithoutRouteOrResponse) {
  ExchangeRecord unknown = Exchange("", "", 404);
  unknown.reason = "no_route";
  workers_[0]->Record(unknown);
  ExchangeRecord left = Exchange("users", "backend", 0);
  left.reason = "client_left";
  workers_[1]->Record(left);
  ExchangeRecord timeout = Exchange("users", "backend", 504);
  timeout.reason = "upstream_timeout";
  workers_[1]->Record(timeout);
  const std::string text = Text();
  EXPECT_THAT(text, HasSubstr("portico_requests_total{route=\"_none\",code_class=\"4xx\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("portico_requests_total{route=\"users\",code_class=\"none\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("portico_requests_total{route=\"users\",code_class=\"5xx\"} 1\n"));
  // The upstream itself answered neither.
  EXPECT_THAT(
      text,
      HasSubstr("portico_upstream_requests_total{upstream=\"backend\",code_class=\"none\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("portico_local_replies_total{reason=\"no_route\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("portico_local_replies_total{reason=\"client_left\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("portico_local_replies_total{reason=\"upstream_timeout\"} 1\n"));
}

TEST_F(MetricsTest, TooManyNamesShareTheOverflowSeries) {
  for (const char* name : {"a", "b", "c", "d", "e"}) workers_[0]->Record(Exchange(name, name, 200));
  const std::string text = Text();
  EXPECT_THAT(text, HasSubstr("portico_requests_total{route=\"c\",code_class=\"2xx\"} 1\n"));
  EXPECT_THAT(text,
              HasSubstr("portico_requests_total{route=\"_overflow\",code_class=\"2xx\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("{upstream=\"_overflow\",code_class=\"2xx\"} 3\n"));
}

TEST_F(MetricsTest, PlacesBeyondTheTablesAreOverflow) {
  ExchangeRecord wild = Exchange("a", "a", 200);
  wild.route.index = 0xffffffff;
  wild.upstream.index = 0xffffffff;
  workers_[0]->Record(wild);
  EXPECT_THAT(Text(), HasSubstr("{route=\"_overflow\",code_class=\"2xx\"} 1\n"));
}

TEST_F(MetricsTest, OddNumbers) {
  for (const int status : {-1, 99, 600, 2'000'000'000}) {
    ExchangeRecord odd = Exchange("a", "", status);
    odd.duration_nanos = -5;
    workers_[0]->Record(odd);
  }
  ExchangeRecord slow = Exchange("a", "", 200);
  slow.duration_nanos = 61'000'000'000;
  workers_[0]->Record(slow);
  const std::string text = Text();
  EXPECT_THAT(text, HasSubstr("{route=\"a\",code_class=\"none\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("portico_request_duration_seconds_bucket{le=\"0.0001\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("portico_request_duration_seconds_bucket{le=\"60\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("portico_request_duration_seconds_bucket{le=\"+Inf\"} 5\n"));
}

TEST_F(MetricsTest, ReasonsAreBounded) {
  for (int i = 0; i < 200; ++i) {
    ExchangeRecord record = Exchange("a", "", 403);
    const std::string reason = "reason_" + std::to_string(i);
    record.reason = reason;
    workers_[0]->Record(record);
    workers_[0]->Record(record);
  }
  for (const char* bad : {"With Capitals", "quo\"te", "new\nline", "other"}) {
    workers_[0]->ProtocolError(bad);
  }
  workers_[0]->ProtocolError(std::string(48, 'a'));
  workers_[0]->ProtocolError(std::string(47, 'a'));
  const std::string text = Text();
  EXPECT_THAT(text, HasSubstr("portico_local_replies_total{reason=\"reason_127\"} 2\n"));
  EXPECT_THAT(text, Not(HasSubstr("reason_128")));
  EXPECT_THAT(text, HasSubstr("portico_local_replies_total{reason=\"other\"} 144\n"));
  EXPECT_THAT(text, HasSubstr("portico_protocol_errors_total{reason=\"other\"} 5\n"));
  EXPECT_THAT(text, HasSubstr("portico_protocol_errors_total{reason=\"" + std::string(47, 'a') +
                              "\"} 1\n"));
}

TEST_F(MetricsTest, ConnectionsAndStatus) {
  workers_[0]->downstream_connections_total.Add(5);
  workers_[0]->downstream_connections_closed_total.Add(2);
  workers_[1]->downstream_connections_total.Add(4);
  workers_[0]->connections_handed_over_total.Add(2);
  workers_[0]->upstream_connections_given_up_total.Add(3);
  workers_[0]->upstream_http2_connections_total.Add(4);
  workers_[0]->upstream_tls_connections_total.Add(5);
  workers_[0]->upstream_tls_handshake_failures_total.Add(6);
  workers_[0]->upstream_goaways_total.Add(7);
  workers_[0]->upstream_stream_resets_total.Add(8);
  workers_[1]->upstream_endpoints.Add(6);
  workers_[1]->upstream_connections_total.Add(1);
  workers_[1]->upstream_connections_closed_total.Add(2);  // Never shown as below 0.
  status_.config_revision = 42;
  status_.config_applied_at = clock_.Unix();
  status_.control_plane_connected = true;
  status_.config_rejected_total.Add(3);
  clock_.Advance(1'500'000'000);
  const std::string text = Text();
  EXPECT_THAT(text, HasSubstr("portico_downstream_connections_active 7\n"));
  EXPECT_THAT(text, HasSubstr("portico_downstream_connections_total 9\n"));
  EXPECT_THAT(text, HasSubstr("portico_worker_connections_active{worker=\"0\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("portico_worker_connections_active{worker=\"1\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("portico_connections_handed_over_total 2\n"));
  EXPECT_THAT(text, HasSubstr("portico_upstream_connections_given_up_total 3\n"));
  EXPECT_THAT(text, HasSubstr("portico_upstream_http2_connections_total 4\n"));
  EXPECT_THAT(text, HasSubstr("portico_upstream_tls_connections_total 5\n"));
  EXPECT_THAT(text, HasSubstr("portico_upstream_tls_handshake_failures_total 6\n"));
  EXPECT_THAT(text, HasSubstr("portico_upstream_goaways_total 7\n"));
  EXPECT_THAT(text, HasSubstr("portico_upstream_stream_resets_total 8\n"));
  EXPECT_THAT(text, HasSubstr("portico_worker_upstream_endpoints{worker=\"1\"} 6\n"));
  EXPECT_THAT(text, HasSubstr("portico_upstream_connections_active 0\n"));
  EXPECT_THAT(text, HasSubstr("portico_config_revision 42\n"));
  EXPECT_THAT(text, HasSubstr("portico_config_age_seconds 1.5\n"));
  EXPECT_THAT(text, HasSubstr("portico_config_rejected_total 3\n"));
  EXPECT_THAT(text, HasSubstr("portico_control_plane_connected 1\n"));
  EXPECT_THAT(text, HasSubstr("portico_access_log_dropped_total 7\n"));
  EXPECT_THAT(text, HasSubstr("portico_build_info{version=\"1.2.3\",node_id=\"node\"} 1\n"));
}

TEST(LatencyBuckets, BoundsAreInclusive) {
  std::vector<int64_t> durations = {0, 1, std::numeric_limits<int64_t>::max()};
  for (const int64_t bound : kLatencyBounds)
    durations.insert(durations.end(), {bound - 1, bound, bound + 1});
  for (int bits = 1; bits < 63; ++bits) {
    const int64_t power = int64_t{1} << bits;
    durations.insert(durations.end(), {power - 1, power, power + 1});
  }
  for (const int64_t nanos : durations) {
    size_t bucket = 0;
    while (bucket < kLatencyBounds.size() && nanos > kLatencyBounds[bucket]) ++bucket;
    EXPECT_EQ(LatencyBuckets::Of(nanos), bucket) << nanos;
  }
}

TEST(WorkerMetrics, WhatTheWorkersHoldIsShown) {
  const MetricIds ids(1, 1);
  ProxyStatus status;
  base::FakeClock clock;
  MetricsCollector::Options options;
  options.worker_objects = [] {
    WorkerObjects objects{.downstream_buffers = 1,
                          .upstream_buffers = 2,
                          .buffer_bytes = 3,
                          .idle_buffer_bytes = 4,
                          .lent_buffer_bytes = 7,
                          .frames = 5,
                          .timers = 6};
    objects.Add(objects);
    return objects;
  };
  const MetricsCollector collector(ids, {}, status, clock, std::move(options));
  const std::string text = prometheus::TextSerializer().Serialize(collector.Collect());
  EXPECT_THAT(text, HasSubstr("portico_worker_objects{kind=\"downstream_buffers\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("portico_worker_objects{kind=\"upstream_buffers\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("portico_worker_objects{kind=\"coroutine_frames\"} 10\n"));
  EXPECT_THAT(text, HasSubstr("portico_worker_objects{kind=\"timers\"} 12\n"));
  EXPECT_THAT(text, HasSubstr("portico_buffer_bytes{state=\"in_use\"} 6\n"));
  EXPECT_THAT(text, HasSubstr("portico_buffer_bytes{state=\"idle\"} 8\n"));
  EXPECT_THAT(text, HasSubstr("portico_buffer_bytes{state=\"lent\"} 14\n"));
}

TEST(WorkerMetrics, ReadersMayRunAnyTime) {
  MetricIds ids(2000, 100);
  auto worker = std::make_shared<WorkerMetrics>();
  ProxyStatus status;
  base::FakeClock clock;
  const MetricsCollector collector(ids, {worker}, status, clock, {});
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (int i = 0; i < 20'000; ++i) {
      ExchangeRecord record;
      record.has_route = record.has_upstream = true;
      record.route = ids.Route("r" + std::to_string(i % 1000));
      record.upstream = ids.Upstream("u" + std::to_string(i % 50));
      record.status = 200;
      const std::string reason = i % 2 == 0 ? "" : "reason_" + std::to_string(i % 100);
      record.reason = reason;
      record.upstream_duration_nanos = record.duration_nanos = i * 1000;
      worker->Record(record);
    }
    done = true;
  });
  size_t scrapes = 0;
  for (; !done || scrapes == 0; ++scrapes) EXPECT_FALSE(collector.Collect().empty());
  writer.join();
  EXPECT_THAT(prometheus::TextSerializer().Serialize(collector.Collect()),
              HasSubstr("portico_request_duration_seconds_count 20000\n"));
}

}  // namespace
}  // namespace portico::observe
