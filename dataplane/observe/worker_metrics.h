// Counters of one worker: plain arrays, written by one thread.
#ifndef DATAPLANE_OBSERVE_WORKER_METRICS_H_
#define DATAPLANE_OBSERVE_WORKER_METRICS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "dataplane/observe/metric_ids.h"

namespace portico::observe {

// A counter that one thread adds to and others read: a relaxed load and store, no
// locked instruction.
class Counter {
 public:
  void Add(uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void Subtract(uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) - n, std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// One finished exchange.
struct ExchangeRecord {
  RouteId route;  // {0} without a route
  bool has_route = false;
  UpstreamId upstream;  // {0} without an upstream
  bool has_upstream = false;
  int status = 0;                       // 0: the client left before a response
  // Of a gRPC request, what grpc-status its response told: 0 to 16, -1 for none.
  bool grpc = false;
  int grpc_status = -1;
  std::string_view reason;              // Local replies and failures; empty for a proxied response
  int64_t duration_nanos = 0;           // First byte of the head to the last of the response
  int64_t upstream_duration_nanos = 0;  // Sent to response head; 0 without
  uint64_t request_bytes = 0, response_bytes = 0;  // Bodies
};

// Per worker. The writer functions are for the worker's thread; the readers
// belong to the collector and may run on any thread. Chunks for route and
// upstream places are allocated on first use and published atomically: a worker
// pays 64 bytes for each route and 256 for each upstream that has seen traffic, 32 for each
// route that has seen gRPC, rounded up to chunks (worker_tables.h), and 40 KiB for the rest.
class WorkerMetrics {
 public:
  WorkerMetrics();
  ~WorkerMetrics();
  WorkerMetrics(const WorkerMetrics&) = delete;
  WorkerMetrics& operator=(const WorkerMetrics&) = delete;

  // Counts one finished exchange. Places beyond kMaxRoutes or kMaxUpstreams
  // count as overflow. No lock, no system call; no allocation but for the first
  // exchange of a chunk.
  void Record(const ExchangeRecord& exchange);
  // Record() will be called for this route: among very many, its counters come from
  // memory, and are there by then.
  void Expect(RouteId route);
  // Counts a request that was no HTTP, or an abuse of the protocol, by a short
  // fixed name ("bad_chunk_size"). See ReasonTable for the bound.
  void ProtocolError(std::string_view reason);

  // TLS handshakes with clients that ended well.
  void Handshake(bool tls13, bool resumed) { handshakes_[tls13 ? 1 : 0][resumed ? 1 : 0].Add(); }
  // And those that did not, by a short fixed name.
  void HandshakeFailed(std::string_view reason);

  Counter downstream_connections_total, downstream_connections_closed_total;
  // Accepted here and given to a worker with fewer connections.
  Counter connections_handed_over_total;
  Counter upstream_connections_total, upstream_connections_closed_total,
      upstream_connect_failures_total;
  // Closed so that another worker could open one.
  Counter upstream_connections_given_up_total;
  // Of them, those that speak HTTP/2 and those with TLS; handshakes that failed.
  Counter upstream_http2_connections_total, upstream_tls_connections_total,
      upstream_tls_handshake_failures_total;
  // Frames of HTTP/2 upstreams: GOAWAY, RST_STREAM.
  Counter upstream_goaways_total, upstream_stream_resets_total;
  // A gauge: endpoints of all upstreams that the worker balances over.
  Counter upstream_endpoints;
  Counter requests_active_started, requests_active_finished;
  // Tunnels (101) that were opened, and of them those that have ended.
  Counter tunnels_total, tunnels_closed_total;
  // Short of memory: free buffers given back, and requests whose connection closes for it.
  Counter overload_shrinks_total, overload_closes_total;
  Counter retries_total, retries_refused_total;
  Counter outlier_ejections_total;
  Counter jwt_cache_hits_total, jwt_cache_misses_total;

 private:
  friend class MetricsCollector;
  struct Tables;
  Counter handshakes_[2][2];        // By version, and whether a session was resumed.
  std::unique_ptr<Tables> tables_;  // Never null.
};

}  // namespace portico::observe

#endif  // DATAPLANE_OBSERVE_WORKER_METRICS_H_
