#include "dataplane/observe/worker_metrics.h"

#include "dataplane/observe/worker_tables.h"

namespace portico::observe {
namespace {

// Index into kCodeClasses.
size_t CodeClassOf(int status) {
  if (status < 100 || status > 599) return 0;
  return static_cast<size_t>(status / 100);
}

// Index into kGrpcClasses: who is to look.
size_t GrpcClassOf(int status) {
  switch (status) {
    case 0:  // OK
      return 1;
    case 2:   // UNKNOWN
    case 4:   // DEADLINE_EXCEEDED
    case 12:  // UNIMPLEMENTED
    case 13:  // INTERNAL
    case 14:  // UNAVAILABLE
    case 15:  // DATA_LOSS
      return 3;
    default:
      return status < 0 ? 0 : 2;
  }
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
  if (exchange.grpc) [[unlikely]] {
    const bool known = exchange.grpc_status < static_cast<int>(kGrpcStatuses.size());
    const int status = known ? exchange.grpc_status : 2;
    GrpcCounters& of_route =
        exchange.has_route ? tables.GrpcCountersOf(exchange.route) : tables.grpc_unrouted;
    of_route.responses[GrpcClassOf(status)].Add();
    if (status >= 0) tables.grpc_statuses[static_cast<size_t>(status)].Add();
  }
}

void WorkerMetrics::HandshakeFailed(std::string_view reason) {
  tables_->handshake_failures.Add(reason);
}

void WorkerMetrics::ProtocolError(std::string_view reason) { tables_->protocol_errors.Add(reason); }

}  // namespace portico::observe
