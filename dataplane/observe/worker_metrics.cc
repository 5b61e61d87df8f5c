#include "dataplane/observe/worker_metrics.h"

#include "dataplane/observe/worker_tables.h"

namespace portico::observe {
namespace {

// Index into kCodeClasses.
size_t CodeClassOf(int status) {
  if (status < 100 || status > 599) return 0;
  return static_cast<size_t>(status / 100);
}

}  // namespace

WorkerMetrics::WorkerMetrics() : tables_(std::make_unique<Tables>()) {}
WorkerMetrics::~WorkerMetrics() = default;

void WorkerMetrics::Expect(RouteId route) { __builtin_prefetch(&tables_->CountersOf(route), 1); }

void WorkerMetrics::Record(const ExchangeRecord& exchange) {
  Tables& tables = *tables_;
  const size_t code_class = CodeClassOf(exchange.status);
  RouteCounters& route = exchange.has_route ? tables.CountersOf(exchange.route) : tables.unrouted;
  route.requests[code_class].Add();
  route.request_bytes.Add(exchange.request_bytes);
  route.response_bytes.Add(exchange.response_bytes);
  tables.latency.Observe(exchange.duration_nanos);

  // A request that no backend answered has no code of the upstream: it shows under
  // its reason and in the route's counters.
  if (exchange.has_upstream) {
    UpstreamCounters& upstream =
        tables.upstreams.At(exchange.upstream.index <= kMaxUpstreams ? exchange.upstream.index : 0);
    upstream.requests[exchange.reason.empty() ? code_class : 0].Add();
    if (exchange.upstream_duration_nanos > 0) {
      upstream.latency.Observe(exchange.upstream_duration_nanos);
    }
  }
  if (!exchange.reason.empty()) tables.reasons.Add(exchange.reason);
}

void WorkerMetrics::HandshakeFailed(std::string_view reason) {
  tables_->handshake_failures.Add(reason);
}

void WorkerMetrics::ProtocolError(std::string_view reason) { tables_->protocol_errors.Add(reason); }

}  // namespace portico::observe
