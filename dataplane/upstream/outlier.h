// Leaves endpoints alone that keep failing.
#ifndef DATAPLANE_UPSTREAM_OUTLIER_H_
#define DATAPLANE_UPSTREAM_OUTLIER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/base/clock.h"
#include "dataplane/upstream/host.h"

namespace portico::upstream {

// See portico.v1.OutlierDetection.
struct OutlierOptions {
  bool enabled = true;
  uint32_t consecutive_failures = 5;
  int64_t base_ejection_nanos = 30 * base::kNanosPerSecond;
  uint32_t max_percent = 10;
};

// An ejection never lasts longer.
inline constexpr int64_t kMaxEjectionNanos = 300 * base::kNanosPerSecond;

inline void ReportSuccess(Host& host) { host.consecutive_failures = 0; }

// Counts a 5xx response, a reset or a failed connect. Returns true if the host is
// ejected because of it; `hosts` are all hosts of the upstream, of which a limited
// share may be out at a time, and never the last.
bool ReportFailure(Host& host, const std::vector<std::unique_ptr<Host>>& hosts,
                   const OutlierOptions& options, base::MonotonicNanos now);

}  // namespace portico::upstream

#endif  // DATAPLANE_UPSTREAM_OUTLIER_H_
