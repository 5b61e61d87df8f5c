#include "dataplane/upstream/outlier.h"

#include <algorithm>

namespace portico::upstream {

bool ReportFailure(Host& host, const std::vector<std::unique_ptr<Host>>& hosts,
                   const OutlierOptions& options, base::MonotonicNanos now) {
  ++host.consecutive_failures;
  if (!options.enabled || host.consecutive_failures < options.consecutive_failures) return false;
  if (!host.Available(now)) return false;  // Requests that were under way when it was ejected.

  size_t listed = 0, out = 0;
  for (const auto& other : hosts) {
    if (!other->listed) continue;
    ++listed;
    if (!other->Available(now)) ++out;
  }
  const size_t allowed = std::max<size_t>(1, listed * options.max_percent / 100);
  if (out + 1 > allowed || out + 1 >= listed) return false;

  ++host.ejections;
  host.consecutive_failures = 0;
  host.ejected_until =
      now + std::min<int64_t>(kMaxEjectionNanos,
                              options.base_ejection_nanos * static_cast<int64_t>(host.ejections));
  return true;
}

}  // namespace portico::upstream
