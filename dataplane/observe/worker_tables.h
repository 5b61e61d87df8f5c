// The arrays behind WorkerMetrics; for worker_metrics.cc and the collector only.
#ifndef DATAPLANE_OBSERVE_WORKER_TABLES_H_
#define DATAPLANE_OBSERVE_WORKER_TABLES_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "dataplane/observe/histogram.h"
#include "dataplane/observe/metric_ids.h"
#include "dataplane/observe/reason_table.h"
#include "dataplane/observe/worker_metrics.h"

namespace portico::observe {

// Label values of code_class. The first is for exchanges without a response: the
// client left.
inline constexpr std::array<std::string_view, 6> kCodeClasses = {"none", "1xx", "2xx",
                                                                 "3xx",  "4xx", "5xx"};

// One cache line.
struct alignas(64) RouteCounters {
  std::array<Counter, kCodeClasses.size()> requests;
  Counter request_bytes, response_bytes;
};

// Label values of status_class. The first is for exchanges without a grpc-status.
inline constexpr std::array<std::string_view, 4> kGrpcClasses = {"none", "ok", "client_error",
                                                                 "server_error"};
// Names of the codes from 0 on.
inline constexpr std::array<std::string_view, 17> kGrpcStatuses = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

struct GrpcCounters {
  std::array<Counter, kGrpcClasses.size()> responses;
};

struct alignas(64) UpstreamCounters {
  std::array<Counter, kCodeClasses.size()> requests;
  LatencyHistogram latency;
};

// An array of kChunks * kChunkSize places whose chunks come into being when one of
// their places is first written. One thread writes, any thread reads.
template <typename Place, size_t kChunkSize, size_t kChunks>
class ChunkedArray {
 public:
  static constexpr size_t kPlaces = kChunkSize * kChunks;

  ChunkedArray() = default;
  ~ChunkedArray() {
    for (auto& chunk : chunks_) std::unique_ptr<Chunk>(chunk.load(std::memory_order_relaxed));
  }
  ChunkedArray(const ChunkedArray&) = delete;
  ChunkedArray& operator=(const ChunkedArray&) = delete;

  // For the writer. REQUIRES: index < kPlaces.
  Place& At(size_t index) {
    std::atomic<Chunk*>& chunk = chunks_[index / kChunkSize];
    Chunk* places = chunk.load(std::memory_order_relaxed);
    if (places == nullptr) {
      places = std::make_unique<Chunk>().release();  // owned: by chunks_, see the destructor.
      chunk.store(places, std::memory_order_release);
    }
    return (*places)[index % kChunkSize];
  }

  // Calls visit(size_t index, const Place&) for each place of each chunk.
  template <typename Visitor>
  void ForEach(Visitor&& visit) const {
    for (size_t c = 0; c < kChunks; ++c) {
      const Chunk* places = chunks_[c].load(std::memory_order_acquire);
      if (places == nullptr) continue;
      for (size_t i = 0; i < kChunkSize; ++i) visit(c * kChunkSize + i, (*places)[i]);
    }
  }

 private:
  using Chunk = std::array<Place, kChunkSize>;
  std::array<std::atomic<Chunk*>, kChunks> chunks_{};
};

struct WorkerMetrics::Tables {
  // Chunks of 8 KiB, 4 KiB and 4 KiB.
  ChunkedArray<RouteCounters, 128, (kMaxRoutes + 1) / 128> routes;
  ChunkedArray<UpstreamCounters, 16, (kMaxUpstreams + 1) / 16> upstreams;
  ChunkedArray<GrpcCounters, 128, (kMaxRoutes + 1) / 128> grpc_routes;
  // Requests that matched no route.
  RouteCounters unrouted;
  GrpcCounters grpc_unrouted;
  std::array<Counter, kGrpcStatuses.size()> grpc_statuses;
  LatencyHistogram latency;
  ReasonTable reasons;
  ReasonTable protocol_errors;
  ReasonTable handshake_failures;

  RouteCounters& CountersOf(RouteId route) {
    return routes.At(route.index <= kMaxRoutes ? route.index : 0);
  }
  GrpcCounters& GrpcCountersOf(RouteId route) {
    return grpc_routes.At(route.index <= kMaxRoutes ? route.index : 0);
  }
};

}  // namespace portico::observe

#endif  // DATAPLANE_OBSERVE_WORKER_TABLES_H_
