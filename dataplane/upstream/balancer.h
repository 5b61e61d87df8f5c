// Chooses the endpoint of a request.
#ifndef DATAPLANE_UPSTREAM_BALANCER_H_
#define DATAPLANE_UPSTREAM_BALANCER_H_

#include <memory>
#include <vector>

#include "dataplane/base/clock.h"
#include "dataplane/upstream/host.h"
#include "dataplane/upstream/random.h"

namespace portico::upstream {

// One worker's; not thread-safe. Made anew when the list of hosts changes.
class Balancer {
 public:
  virtual ~Balancer() = default;
  // An available host, by preference not `avoid` (the one that just failed; may be
  // nullptr). nullptr when none is available. Does not allocate.
  virtual Host* Pick(base::MonotonicNanos now, const Host* avoid) = 0;
};

// Takes turns in proportion to the weights, starting at a random place, so that
// workers do not all begin with the same host. `hosts` and `random` outlive it.
std::unique_ptr<Balancer> MakeRoundRobin(std::vector<Host*> hosts, Random& random);

// Draws two at random, in proportion to the weights, and takes the one with
// fewer active requests (Mitzenmacher, "The Power of Two Choices", 2001).
std::unique_ptr<Balancer> MakeLeastRequest(std::vector<Host*> hosts, Random& random);

}  // namespace portico::upstream

#endif  // DATAPLANE_UPSTREAM_BALANCER_H_
