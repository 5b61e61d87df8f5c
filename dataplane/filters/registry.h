// All kinds of policies that Portico has.
#ifndef DATAPLANE_FILTERS_REGISTRY_H_
#define DATAPLANE_FILTERS_REGISTRY_H_

#include <cstddef>
#include <cstdint>
#include <functional>

#include "dataplane/snapshot/policy.h"

namespace portico::filters {

struct PolicyOptions {
  // Memory for verified tokens, of each worker. Default: 4 MiB.
  size_t jwt_cache_bytes = 4 << 20;
  // Rate limit keys that are counted at one time, of the whole process; 16 bytes
  // each, rounded up to a power of two. Default: 1048576 (16 MiB).
  size_t rate_limit_keys = 1 << 20;
};

// What policies count besides what they reply. May be called from any thread, as
// long as the policy builders live.
struct PolicyCounters {
  // Rate limit keys that gave up their counter to another key because the table
  // was full: their burst was available again early.
  std::function<uint64_t()> rate_limit_table_full = [] { return uint64_t{0}; };
};

// One builder for each PolicyKind, in their order. `counters` may be nullptr.
snapshot::PolicyBuilders MakePolicyBuilders(const PolicyOptions& options = {}, PolicyCounters* counters = nullptr);

}  // namespace portico::filters

#endif  // DATAPLANE_FILTERS_REGISTRY_H_
