// What the proxy as a whole is doing: written by the server and by discovery, read
// by whoever scrapes.
#ifndef DATAPLANE_OBSERVE_PROXY_STATUS_H_
#define DATAPLANE_OBSERVE_PROXY_STATUS_H_

#include <atomic>
#include <cstdint>

#include "dataplane/base/clock.h"
#include "dataplane/observe/histogram.h"

namespace portico::observe {

// Every member may be read by any thread. Who writes it stands beside it.
struct ProxyStatus {
  // Written by whoever applies revisions (one thread).
  std::atomic<uint64_t> config_revision{0};           // 0: none is live
  std::atomic<base::UnixNanos> config_applied_at{0};  // When it became live; 0: never
  Counter config_applied_total;
  Counter config_rejected_total;
  // True while the live revision is from disk and no control plane confirmed it. Set
  // at start, cleared by discovery.
  std::atomic<bool> config_from_cache{false};
  std::atomic<uint64_t> routes{0};  // In the live revision
  std::atomic<uint64_t> upstreams{0};

  // Written by discovery.
  // From the control plane accepting a revision to all workers serving it. Not for
  // revisions that are older than the stream; needs synchronised clocks.
  LatencyHistogram config_propagation;
  std::atomic<bool> control_plane_connected{false};
  Counter control_plane_connects_total;  // Streams opened, first one included
  Counter control_plane_resyncs_total;   // Change sets that could not be assembled

  // Written by the server.
  std::atomic<bool> ready{false};
  std::atomic<bool> draining{false};
};

}  // namespace portico::observe

#endif  // DATAPLANE_OBSERVE_PROXY_STATUS_H_
