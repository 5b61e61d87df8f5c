#include "dataplane/observe/metrics_collector.h"

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "dataplane/observe/metric_family.h"
#include "dataplane/observe/worker_tables.h"

namespace portico::observe {
namespace {

// "_none" cannot be a resource's name: those start with a letter or a digit.
constexpr std::string_view kNoRoute = "_none";

using ClassCounts = std::array<uint64_t, kCodeClasses.size()>;

struct RouteSum {
  ClassCounts requests{};
  uint64_t request_bytes = 0, response_bytes = 0;

  void Add(const RouteCounters& counters) {
    for (size_t i = 0; i < requests.size(); ++i) requests[i] += counters.requests[i].value();
    request_bytes += counters.request_bytes.value();
    response_bytes += counters.response_bytes.value();
  }
};

struct UpstreamSum {
  ClassCounts requests{};
  HistogramSum latency;
};

bool AllZero(const std::array<Counter, kCodeClasses.size()>& counters) {
  for (const Counter& counter : counters) {
    if (counter.value() != 0) return false;
  }
  return true;
}

// A name that got its place after the names were read shows up in the next scrape.
std::string_view NameAt(const std::vector<std::string>& names, size_t index) {
  return index < names.size() ? std::string_view(names[index]) : std::string_view();
}

void AddClasses(prometheus::MetricFamily& family, std::string_view label, std::string_view name,
                const ClassCounts& counts) {
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    AddCounter(
        family,
        {{std::string(label), std::string(name)}, {"code_class", std::string(kCodeClasses[i])}},
        static_cast<double>(counts[i]));
  }
}

}  // namespace

void WorkerObjects::Add(const WorkerObjects& other) {
  downstream_buffers += other.downstream_buffers;
  upstream_buffers += other.upstream_buffers;
  buffer_bytes += other.buffer_bytes;
  idle_buffer_bytes += other.idle_buffer_bytes;
  lent_buffer_bytes += other.lent_buffer_bytes;
  frames += other.frames;
  timers += other.timers;
}

MetricsCollector::MetricsCollector(const MetricIds& ids,
                                   std::vector<std::shared_ptr<const WorkerMetrics>> workers,
                                   const ProxyStatus& status, const base::Clock& clock,
                                   Options options)
    : ids_(ids),
      workers_(std::move(workers)),
      status_(status),
      clock_(clock),
      options_(std::move(options)) {}

std::vector<prometheus::MetricFamily> MetricsCollector::Collect() const {
  Families families;
  families.reserve(48);
  CollectRoutes(families);
  CollectGrpc(families);
  CollectUpstreams(families);
  CollectReasons(families);
  CollectHandshakes(families);
  CollectTotals(families);
  if (options_.worker_objects) CollectObjects(families);
  CollectStatus(families);
  return families;
}

void MetricsCollector::CollectRoutes(Families& out) const {
  std::map<size_t, RouteSum> sums;
  RouteSum unrouted;
  HistogramSum latency;
  for (const auto& worker : workers_) {
    worker->tables_->routes.ForEach([&sums](size_t index, const RouteCounters& counters) {
      if (!AllZero(counters.requests)) sums[index].Add(counters);
    });
    unrouted.Add(worker->tables_->unrouted);
    latency.Add(worker->tables_->latency);
  }

  auto requests = CounterFamily("portico_requests_total",
                                "Finished requests by route and class of status code");
  auto received = CounterFamily("portico_request_bytes_total", "Bytes of request bodies by route");
  auto sent = CounterFamily("portico_response_bytes_total", "Bytes of response bodies by route");
  const auto add = [&](std::string_view name, const RouteSum& sum) {
    AddClasses(requests, "route", name, sum.requests);
    AddCounter(received, {{"route", std::string(name)}}, static_cast<double>(sum.request_bytes));
    AddCounter(sent, {{"route", std::string(name)}}, static_cast<double>(sum.response_bytes));
  };
  const std::vector<std::string> names = ids_.RouteNames();
  for (const auto& [index, sum] : sums) {
    if (const std::string_view name = NameAt(names, index); !name.empty()) add(name, sum);
  }
  if (unrouted.requests != ClassCounts{}) add(kNoRoute, unrouted);

  auto duration = HistogramFamily("portico_request_duration_seconds",
                                  "First byte of a request to the last byte of its response");
  AddHistogram(duration, {}, latency);
  out.push_back(std::move(requests));
  out.push_back(std::move(received));
  out.push_back(std::move(sent));
  out.push_back(std::move(duration));
}

void MetricsCollector::CollectGrpc(Families& out) const {
  using Classes = std::array<uint64_t, kGrpcClasses.size()>;
  std::map<size_t, Classes> sums;
  Classes unrouted{};
  std::array<uint64_t, kGrpcStatuses.size()> statuses{};
  const auto add_to = [](Classes& sum, const GrpcCounters& counters) {
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += counters.responses[i].value();
  };
  for (const auto& worker : workers_) {
    worker->tables_->grpc_routes.ForEach([&](size_t index, const GrpcCounters& counters) {
      Classes sum{};
      add_to(sum, counters);
      if (sum != Classes{}) add_to(sums[index], counters);
    });
    add_to(unrouted, worker->tables_->grpc_unrouted);
    for (size_t i = 0; i < statuses.size(); ++i) {
      statuses[i] += worker->tables_->grpc_statuses[i].value();
    }
  }
  auto by_route = CounterFamily("portico_grpc_requests_total",
                                "Finished gRPC requests by route and class of grpc-status");
  const auto add = [&by_route](std::string_view route, const Classes& sum) {
    for (size_t i = 0; i < sum.size(); ++i) {
      if (sum[i] == 0) continue;
      AddCounter(by_route,
                 {{"route", std::string(route)}, {"status_class", std::string(kGrpcClasses[i])}},
                 static_cast<double>(sum[i]));
    }
  };
  const std::vector<std::string> names = ids_.RouteNames();
  for (const auto& [index, sum] : sums) {
    if (const std::string_view name = NameAt(names, index); !name.empty()) add(name, sum);
  }
  if (unrouted != Classes{}) add(kNoRoute, unrouted);

  auto by_status =
      CounterFamily("portico_grpc_responses_total", "Finished gRPC requests by grpc-status");
  for (size_t i = 0; i < statuses.size(); ++i) {
    if (statuses[i] == 0) continue;
    AddCounter(by_status, {{"grpc_status", std::string(kGrpcStatuses[i])}},
               static_cast<double>(statuses[i]));
  }
  out.push_back(std::move(by_route));
  out.push_back(std::move(by_status));
}

void MetricsCollector::CollectUpstreams(Families& out) const {
  std::map<size_t, UpstreamSum> sums;
  for (const auto& worker : workers_) {
    worker->tables_->upstreams.ForEach([&sums](size_t index, const UpstreamCounters& counters) {
      if (AllZero(counters.requests)) return;
      UpstreamSum& sum = sums[index];
      for (size_t i = 0; i < sum.requests.size(); ++i) {
        sum.requests[i] += counters.requests[i].value();
      }
      sum.latency.Add(counters.latency);
    });
  }

  auto requests = CounterFamily("portico_upstream_requests_total",
                                "Requests by upstream and class of its status code");
  auto duration = HistogramFamily("portico_upstream_request_duration_seconds",
                                  "Request sent to the head of the response received, by upstream");
  const std::vector<std::string> names = ids_.UpstreamNames();
  for (const auto& [index, sum] : sums) {
    const std::string_view name = NameAt(names, index);
    if (name.empty()) continue;
    AddClasses(requests, "upstream", name, sum.requests);
    if (!sum.latency.empty())
      AddHistogram(duration, {{"upstream", std::string(name)}}, sum.latency);
  }
  out.push_back(std::move(requests));
  out.push_back(std::move(duration));
}

void MetricsCollector::CollectReasons(Families& out) const {
  std::map<std::string, uint64_t, std::less<>> replies, errors;
  const auto into = [](std::map<std::string, uint64_t, std::less<>>& sums) {
    return [&sums](std::string_view reason, uint64_t count) { sums[std::string(reason)] += count; };
  };
  for (const auto& worker : workers_) {
    worker->tables_->reasons.ForEach(into(replies));
    worker->tables_->protocol_errors.ForEach(into(errors));
  }
  auto local = CounterFamily("portico_local_replies_total",
                             "Exchanges that the proxy itself answered or gave up, by reason");
  for (const auto& [reason, count] : replies) {
    AddCounter(local, {{"reason", reason}}, static_cast<double>(count));
  }
  auto protocol = CounterFamily("portico_protocol_errors_total",
                                "Requests and connections that broke the protocol, by reason");
  for (const auto& [reason, count] : errors) {
    AddCounter(protocol, {{"reason", reason}}, static_cast<double>(count));
  }
  out.push_back(std::move(local));
  out.push_back(std::move(protocol));
}

void MetricsCollector::CollectHandshakes(Families& out) const {
  constexpr std::string_view kVersions[] = {"TLSv1.2", "TLSv1.3"};
  auto handshakes = CounterFamily("portico_tls_handshakes_total",
                                  "TLS handshakes with clients that ended well, by version and "
                                  "whether a session was resumed");
  std::map<std::string, uint64_t, std::less<>> failed;
  for (size_t version = 0; version < 2; ++version) {
    for (size_t resumed = 0; resumed < 2; ++resumed) {
      uint64_t count = 0;
      for (const auto& worker : workers_) count += worker->handshakes_[version][resumed].value();
      if (count == 0) continue;
      AddCounter(handshakes,
                 {{"version", std::string(kVersions[version])},
                  {"resumed", resumed == 1 ? "true" : "false"}},
                 static_cast<double>(count));
    }
  }
  for (const auto& worker : workers_) {
    worker->tables_->handshake_failures.ForEach([&failed](std::string_view reason, uint64_t count) {
      failed[std::string(reason)] += count;
    });
  }
  auto failures = CounterFamily("portico_tls_handshake_failures_total",
                                "TLS handshakes with clients that failed, by reason");
  for (const auto& [reason, count] : failed) {
    AddCounter(failures, {{"reason", reason}}, static_cast<double>(count));
  }
  out.push_back(std::move(handshakes));
  out.push_back(std::move(failures));
  if (!options_.certificates) return;
  auto expiry = GaugeFamily("portico_certificate_not_after_seconds",
                            "When a certificate that listeners show expires, in Unix time");
  for (const auto& [name, not_after] : options_.certificates()) {
    AddGauge(expiry, {{"certificate", name}}, static_cast<double>(not_after));
  }
  out.push_back(std::move(expiry));
}

void MetricsCollector::CollectTotals(Families& out) const {
  const auto sum = [this](Counter WorkerMetrics::*counter) {
    uint64_t total = 0;
    for (const auto& worker : workers_) total += ((*worker).*counter).value();
    return total;
  };
  // The end is read before the start: so the difference of two counters that move
  // meanwhile is never negative by more than reordering allows.
  const auto active = [&sum](Counter WorkerMetrics::*started, Counter WorkerMetrics::*ended) {
    const uint64_t over = sum(ended);
    const uint64_t begun = sum(started);
    return begun > over ? static_cast<double>(begun - over) : 0.0;
  };
  const auto counter = [&](std::string_view name, std::string_view help,
                           Counter WorkerMetrics::*member) {
    out.push_back(OneCounter(name, help, static_cast<double>(sum(member))));
  };
  using W = WorkerMetrics;
  counter("portico_downstream_connections_total", "Connections accepted from clients",
          &W::downstream_connections_total);
  out.push_back(
      OneGauge("portico_downstream_connections_active", "Open connections from clients",
               active(&W::downstream_connections_total, &W::downstream_connections_closed_total)));
  counter("portico_connections_handed_over_total",
          "Connections that the accepting worker gave to one with fewer",
          &W::connections_handed_over_total);
  auto live =
      GaugeFamily("portico_worker_connections_active", "Open connections from clients, by worker");
  for (size_t i = 0; i < workers_.size(); ++i) {
    const uint64_t over = workers_[i]->downstream_connections_closed_total.value();
    const uint64_t begun = workers_[i]->downstream_connections_total.value();
    AddGauge(live, {{"worker", std::to_string(i)}},
             begun > over ? static_cast<double>(begun - over) : 0.0);
  }
  out.push_back(std::move(live));
  counter("portico_upstream_connections_total", "Connections opened to upstreams",
          &W::upstream_connections_total);
  out.push_back(
      OneGauge("portico_upstream_connections_active", "Open connections to upstreams",
               active(&W::upstream_connections_total, &W::upstream_connections_closed_total)));
  counter("portico_upstream_connect_failures_total", "Connections to upstreams that failed to open",
          &W::upstream_connect_failures_total);
  counter("portico_upstream_http2_connections_total",
          "Connections opened to upstreams that speak HTTP/2",
          &W::upstream_http2_connections_total);
  counter("portico_upstream_tls_connections_total", "Connections opened to upstreams with TLS",
          &W::upstream_tls_connections_total);
  counter("portico_upstream_tls_handshake_failures_total",
          "TLS handshakes with upstreams that failed", &W::upstream_tls_handshake_failures_total);
  counter("portico_upstream_goaways_total", "GOAWAY frames from HTTP/2 upstreams",
          &W::upstream_goaways_total);
  counter("portico_upstream_stream_resets_total", "RST_STREAM frames from HTTP/2 upstreams",
          &W::upstream_stream_resets_total);
  counter("portico_upstream_connections_given_up_total",
          "Connections to upstreams given up so that another worker could open one",
          &W::upstream_connections_given_up_total);
  auto endpoints = GaugeFamily("portico_worker_upstream_endpoints",
                               "Endpoints of upstreams that a worker balances over, by worker");
  for (size_t i = 0; i < workers_.size(); ++i) {
    AddGauge(endpoints, {{"worker", std::to_string(i)}},
             static_cast<double>(workers_[i]->upstream_endpoints.value()));
  }
  out.push_back(std::move(endpoints));
  out.push_back(OneGauge("portico_requests_active", "Requests being served",
                         active(&W::requests_active_started, &W::requests_active_finished)));
  counter("portico_tunnels_total", "Tunnels opened: WebSocket and other upgrades that got a 101",
          &W::tunnels_total);
  out.push_back(OneGauge("portico_tunnels_open", "Open tunnels",
                         active(&W::tunnels_total, &W::tunnels_closed_total)));
  counter("portico_overload_shrinks_total", "Free buffers given back for lack of memory",
          &W::overload_shrinks_total);
  counter("portico_overload_closes_total",
          "Requests whose connection was not kept for lack of memory", &W::overload_closes_total);
  counter("portico_retries_total", "Requests sent to an upstream once more", &W::retries_total);
  counter("portico_retries_refused_total", "Retries that the retry budget did not allow",
          &W::retries_refused_total);
  counter("portico_outlier_ejections_total", "Endpoints taken out for consecutive failures",
          &W::outlier_ejections_total);
  counter("portico_jwt_cache_hits_total", "Tokens found in the cache of verified tokens",
          &W::jwt_cache_hits_total);
  counter("portico_jwt_cache_misses_total", "Tokens that had to be verified",
          &W::jwt_cache_misses_total);
  const uint64_t dropped = options_.access_log_dropped ? options_.access_log_dropped() : 0;
  out.push_back(OneCounter("portico_access_log_dropped_total",
                           "Access log records lost because a ring was full or a write failed",
                           static_cast<double>(dropped)));
  if (options_.rate_limit_table_full) {
    out.push_back(
        OneCounter("portico_rate_limit_table_full_total",
                   "Rate limit keys that lost their counter to another key: the table was full",
                   static_cast<double>(options_.rate_limit_table_full())));
  }
  out.push_back(
      OneGauge("portico_workers", "Worker threads", static_cast<double>(workers_.size())));
}

void MetricsCollector::CollectObjects(Families& out) const {
  const WorkerObjects objects = options_.worker_objects();
  auto held = GaugeFamily("portico_worker_objects", "What the workers hold now, by kind");
  const auto add = [&held](const char* kind, uint64_t value) {
    AddGauge(held, {{"kind", kind}}, static_cast<double>(value));
  };
  add("downstream_buffers", objects.downstream_buffers);
  add("upstream_buffers", objects.upstream_buffers);
  add("coroutine_frames", objects.frames);
  add("timers", objects.timers);
  auto bytes = GaugeFamily("portico_buffer_bytes", "Memory of the workers' buffers, by state");
  AddGauge(bytes, {{"state", "in_use"}}, static_cast<double>(objects.buffer_bytes));
  AddGauge(bytes, {{"state", "idle"}}, static_cast<double>(objects.idle_buffer_bytes));
  AddGauge(bytes, {{"state", "lent"}}, static_cast<double>(objects.lent_buffer_bytes));
  out.push_back(std::move(held));
  out.push_back(std::move(bytes));
}

void MetricsCollector::CollectStatus(Families& out) const {
  const auto gauge = [&out](std::string_view name, std::string_view help, auto value) {
    out.push_back(OneGauge(name, help, static_cast<double>(value)));
  };
  gauge("portico_config_revision", "The revision live on all workers, 0 for none",
        status_.config_revision.load());
  const base::UnixNanos applied = status_.config_applied_at.load();
  const double age = applied == 0 ? 0 : static_cast<double>(clock_.Unix() - applied) / 1e9;
  gauge("portico_config_age_seconds", "Time since the live revision became live",
        age < 0 ? 0 : age);
  gauge("portico_config_from_cache",
        "1 while the live revision is from disk and not confirmed by the control plane",
        status_.config_from_cache.load());
  gauge("portico_config_routes", "Routes in the live revision", status_.routes.load());
  gauge("portico_config_upstreams", "Upstreams in the live revision", status_.upstreams.load());
  out.push_back(OneCounter("portico_config_applied_total", "Revisions that became live",
                           static_cast<double>(status_.config_applied_total.value())));
  out.push_back(OneCounter("portico_config_rejected_total", "Revisions that were refused",
                           static_cast<double>(status_.config_rejected_total.value())));
  auto propagation =
      HistogramFamily("portico_config_propagation_seconds",
                      "The control plane accepting a revision to all workers serving it");
  HistogramSum sum;
  sum.Add(status_.config_propagation);
  AddHistogram(propagation, {}, sum);
  out.push_back(std::move(propagation));
  gauge("portico_control_plane_connected", "1 while the stream to the control plane is up",
        status_.control_plane_connected.load());
  out.push_back(OneCounter("portico_control_plane_connects_total",
                           "Streams to the control plane opened",
                           static_cast<double>(status_.control_plane_connects_total.value())));
  out.push_back(OneCounter("portico_control_plane_resyncs_total",
                           "Change sets that could not be assembled and were asked for anew",
                           static_cast<double>(status_.control_plane_resyncs_total.value())));
  gauge("portico_ready", "1 while the proxy takes new traffic", status_.ready.load());
  gauge("portico_draining", "1 once the proxy has begun to drain", status_.draining.load());

  auto build = GaugeFamily("portico_build_info", "Always 1; the labels say what runs");
  AddGauge(build, {{"version", options_.version}, {"node_id", options_.node_id}}, 1);
  out.push_back(std::move(build));
}

}  // namespace portico::observe
