// One endpoint of an upstream, as one worker sees it.
#ifndef DATAPLANE_UPSTREAM_HOST_H_
#define DATAPLANE_UPSTREAM_HOST_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/base/clock.h"
#include "dataplane/net/address.h"

namespace portico::upstream {

class PooledConnection;
struct Opening;

// Owned by a Cluster; its worker's thread only. Survives revisions as long as the
// upstream lists the address.
struct Host {
  net::SocketAddress address;
  std::string address_text;
  // As listed.
  uint32_t listed_weight = 1;
  // In this worker's balancer: the part of it that this worker has (Subset).
  uint32_t weight = 1;
  // Subset's.
  uint64_t ring_key = 0;

  // Requests that hold one of its connections, or wait for one to open.
  uint32_t active_requests = 0;
  // Open connections that can take one more exchange, the most recently used
  // last. Their cluster owns them.
  std::vector<PooledConnection*> available;
  // A connection that is being opened and that others wait for, as it will take many
  // requests; nullptr: none.
  std::shared_ptr<Opening> opening;
  // Where it was to choose, the endpoint chose HTTP/1.1 last time.
  bool speaks_http1 = false;

  // Outlier detection.
  uint32_t consecutive_failures = 0;
  uint32_t ejections = 0;
  base::MonotonicNanos ejected_until = 0;
  // False once the upstream no longer lists it: connections close when done.
  bool listed = true;

  bool Available(base::MonotonicNanos now) const { return now >= ejected_until; }
};

}  // namespace portico::upstream

#endif  // DATAPLANE_UPSTREAM_HOST_H_
