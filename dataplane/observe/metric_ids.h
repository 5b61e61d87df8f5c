// Places in the workers' metric arrays.
#ifndef DATAPLANE_OBSERVE_METRIC_IDS_H_
#define DATAPLANE_OBSERVE_METRIC_IDS_H_

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace portico::observe {

// How many names the workers' tables can hold.
inline constexpr uint32_t kMaxRoutes = (1u << 18) - 1;
inline constexpr uint32_t kMaxUpstreams = (1u << 14) - 1;

// 0 is the overflow place: what came after the cap is counted together, under the
// label value "_overflow".
struct RouteId {
  uint32_t index = 0;
};
struct UpstreamId {
  uint32_t index = 0;
};

// Names get places for ever: a route that goes and comes back continues its
// counters. Thread-safe; used when snapshots are built and when metrics are
// scraped, never for a request.
class MetricIds {
 public:
  // At most so many names each; RouteId index < max_routes + 1. Both are capped
  // by kMaxRoutes and kMaxUpstreams, the size of the workers' tables.
  MetricIds(uint32_t max_routes, uint32_t max_upstreams);

  RouteId Route(std::string_view name);
  UpstreamId Upstream(std::string_view name);
  std::vector<std::string> RouteNames() const;     // by index; [0] is "_overflow"
  std::vector<std::string> UpstreamNames() const;  // by index; [0] is "_overflow"

 private:
  struct Table {
    std::vector<std::string> names;
    absl::flat_hash_map<std::string, uint32_t> index;
  };
  static uint32_t Get(Table& table, std::string_view name, uint32_t max);

  const uint32_t max_routes_, max_upstreams_;

  mutable std::mutex mutex_;  // Guards what follows.
  Table routes_;
  Table upstreams_;
};

}  // namespace portico::observe

#endif  // DATAPLANE_OBSERVE_METRIC_IDS_H_
