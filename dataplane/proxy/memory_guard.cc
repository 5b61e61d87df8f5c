#include "dataplane/proxy/memory_guard.h"

#include "dataplane/base/buffer.h"

namespace portico::proxy {

uint64_t AccountedBytes(event::Loop& loop, const observe::WorkerMetrics& metrics) {
  const base::BufferPool& downstream = loop.downstream_buffers();
  const base::BufferPool& upstream = loop.upstream_buffers();
  const uint64_t connections = metrics.downstream_connections_total.value() -
                               metrics.downstream_connections_closed_total.value() +
                               metrics.upstream_connections_total.value() -
                               metrics.upstream_connections_closed_total.value();
  return downstream.live_bytes() + downstream.idle_bytes() + upstream.live_bytes() +
         upstream.idle_bytes() + connections * MemoryGuard::kConnectionBytes;
}

bool HasMemory(MemoryGuard& guard, event::Loop& loop, observe::WorkerMetrics& metrics) {
  if (guard.share == 0) return true;
  const auto percent = [&] { return AccountedBytes(loop, metrics) * 100 / guard.share; };
  uint64_t used = percent();
  if (used >= MemoryGuard::kShrink) {
    // Once on the way up, and whenever it would cost requests.
    if (!guard.shrunk || used >= MemoryGuard::kNoKeepAlive) {
      loop.downstream_buffers().FreeIdle();
      loop.upstream_buffers().FreeIdle();
      metrics.overload_shrinks_total.Add();
      used = percent();
    }
    guard.shrunk = true;
  } else {
    guard.shrunk = false;
  }
  guard.no_keep_alive = used >= MemoryGuard::kNoKeepAlive;
  if (guard.no_keep_alive) metrics.overload_closes_total.Add();
  return used < MemoryGuard::kShed;
}

}  // namespace portico::proxy
