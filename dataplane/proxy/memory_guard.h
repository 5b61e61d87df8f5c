// What a worker does as its memory fills.
#ifndef DATAPLANE_PROXY_MEMORY_GUARD_H_
#define DATAPLANE_PROXY_MEMORY_GUARD_H_

#include <cstdint>

#include "dataplane/event/loop.h"
#include "dataplane/observe/worker_metrics.h"

namespace portico::proxy {

// Looked at when a request begins, so that it costs idle workers nothing and recovers by
// itself. Owned by the worker.
struct MemoryGuard {
  // Of the share, in percent: from there on free buffers are given back; responses say
  // that their connection closes; all requests are refused, the others of
  // RouteEntry::shed_percent having been refused before.
  static constexpr uint64_t kShrink = 70, kNoKeepAlive = 80, kShedAll = 95;
  // What a connection and what belongs to it take beside buffers: objects, frames, the
  // arena of an exchange, and its parts in the kernel. Bytes. What one of HTTP/2 takes beyond
  // that counts as it comes (http/h2_memory.h).
  static constexpr uint64_t kConnectionBytes = 8 * 1024;

  // Bytes that the worker may hold; 0: no limit.
  uint64_t share = 0;
  // Read by connections at every response.
  bool no_keep_alive = false;
  // From kShrink on. Read by HTTP/2 connections, whose windows then are small.
  bool shrunk = false;
};

// Buffers, in use and free, connections of both sides, and what HTTP/2 holds for its own. Bytes.
// On the worker's thread.
uint64_t AccountedBytes(event::Loop& loop, const observe::WorkerMetrics& metrics);

// Looks anew: how much of the share is used, in percent; 0 where that need not interest the request
// that begins, which is below kShrink.
uint64_t MemoryUsed(MemoryGuard& guard, event::Loop& loop, observe::WorkerMetrics& metrics);

}  // namespace portico::proxy

#endif  // DATAPLANE_PROXY_MEMORY_GUARD_H_
