#include "dataplane/proxy/memory_guard.h"

#include "dataplane/base/buffer.h"
#include "dataplane/http/h2_memory.h"

namespace portico::proxy {

uint64_t AccountedBytes(event::Loop& loop, const observe::WorkerMetrics& metrics) {
  const base::BufferPool& downstream = loop.downstream_buffers();
  const base::BufferPool& upstream = loop.upstream_buffers();
  const uint64_t connections = metrics.downstream_connections_total.value() -
                               metrics.downstream_connections_closed_total.value() +
                               metrics.upstream_connections_total.value() -
                               metrics.upstream_connections_closed_total.value();
  return downstream.live_bytes() + downstream.idle_bytes() + upstream.live_bytes() +
         upstream.idle_bytes() + connections * MemoryGuard::kConnectionBytes +
         http::H2HeldBytes();
}

uint64_t MemoryUsed(MemoryGuard& guard, event::Loop& loop, observe::WorkerMetrics& metrics) {
  if (guard.share == 0) return 0;
  const auto above = [&](uint64_t percent, uint64_t bytes) {
    return bytes * 100 >= guard.share * percent;
  };
  uint64_t bytes = AccountedBytes(loop, metrics);
  if (!above(MemoryGuard::kShrink, bytes)) [[likely]] {
    guard.shrunk = guard.no_keep_alive = false;
    return 0;
  }
  // Once on the way up, and whenever it would cost requests.
  const uint64_t idle =
      loop.downstream_buffers().idle_bytes() + loop.upstream_buffers().idle_bytes();
  if (idle > 0 && (!guard.shrunk || above(MemoryGuard::kNoKeepAlive, bytes))) {
    loop.downstream_buffers().FreeIdle();
    loop.upstream_buffers().FreeIdle();
    metrics.overload_shrinks_total.Add();
    bytes -= idle;
  }
  guard.shrunk = true;
  guard.no_keep_alive = above(MemoryGuard::kNoKeepAlive, bytes);
  if (guard.no_keep_alive) metrics.overload_closes_total.Add();
  return bytes * 100 / guard.share;
}

}  // namespace portico::proxy
