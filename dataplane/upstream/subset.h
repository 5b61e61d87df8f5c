// Which endpoints of a large upstream one worker balances over.
#ifndef DATAPLANE_UPSTREAM_SUBSET_H_
#define DATAPLANE_UPSTREAM_SUBSET_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "dataplane/base/clock.h"
#include "dataplane/upstream/host.h"

namespace portico::upstream {

struct SubsetOptions {
  // This worker and how many there are.
  uint32_t worker = 0;
  uint32_t workers = 1;
  // All workers have all endpoints as long as that makes no more pairs of a
  // worker and an endpoint than this, and otherwise as few as it takes. More pairs than
  // this only so that every endpoint has a worker, and every worker kMinSubset endpoints.
  uint32_t max_pairs = 512;
};

// A subset has at least so many endpoints, so that one that fails is one of many.
inline constexpr uint32_t kMinSubset = 8;

// A place on the ring of endpoints that depends on nothing but the address and the seed,
// which differs from process to process: so which endpoints share a worker does too, and
// a busy worker of each process does not burden the same ones.
uint64_t RingKey(std::string_view address, uint64_t seed);

// The endpoints lie on a ring, in the order of their keys, each as long as its weight.
// The ring is cut into as many arcs as there are workers, each of the same weight, and a
// worker has `coverage` arcs in a row, beginning with its own. So every endpoint is covered
// `coverage` times, every worker has the same weight, and all workers together send each
// endpoint its share exactly: an endpoint that a cut goes through counts on either side
// with the part of its weight that lies there. With equal weights cuts are moved to the
// next endpoint. An endpoint that comes or goes moves each cut by less than one endpoint.
//
// One worker's; not thread-safe.
class Subset {
 public:
  // Takes another list; sorts it. The hosts outlive it.
  void Reset(std::vector<Host*> hosts, const SubsetOptions& options);
  // The worker does not have all.
  bool partial() const { return coverage_ < options_.workers; }
  // How many workers have each endpoint.
  uint32_t coverage() const { return coverage_; }

  // This worker's endpoints; sets their `weight`. Those that are ejected stay, and as many
  // others, the next ones on the ring, stand in for them.
  std::vector<Host*> Choose(base::MonotonicNanos now);
  // When the last Choose() is out of date because an ejection ends.
  base::MonotonicNanos stale_at() const { return stale_at_; }

 private:
  struct Arc {
    uint64_t begin = 0, length = 0;  // In units of the ring.
  };
  uint32_t FindCoverage() const;
  // The smallest number of endpoints that a worker has with this coverage.
  size_t Smallest(uint32_t coverage) const;
  Arc ArcOf(uint32_t worker, uint32_t coverage) const;
  // The endpoint that lies at a place of the ring.
  size_t At(uint64_t place) const;
  // How much of an endpoint lies in the arc.
  uint64_t PartOf(const Arc& arc, size_t index) const;
  void SetWeight(Host& host, uint64_t part) const;

  SubsetOptions options_;
  std::vector<Host*> ring_;
  // By index, and one more for the whole ring: the sum of the lengths before. The length of
  // an endpoint is its weight times the number of workers; with equal weights, 1.
  std::vector<uint64_t> sums_;
  bool equal_ = true;
  uint32_t coverage_ = 1;
  // Weights are divided by it to fit a balancer's 32 bits.
  uint64_t scale_ = 1;
  base::MonotonicNanos stale_at_ = std::numeric_limits<base::MonotonicNanos>::max();
};

}  // namespace portico::upstream

#endif  // DATAPLANE_UPSTREAM_SUBSET_H_
