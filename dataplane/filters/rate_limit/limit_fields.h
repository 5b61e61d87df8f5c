// RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10).
#ifndef DATAPLANE_FILTERS_RATE_LIMIT_LIMIT_FIELDS_H_
#define DATAPLANE_FILTERS_RATE_LIMIT_LIMIT_FIELDS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/filters/rate_limit/gcra.h"
#include "dataplane/filters/rate_limit/rate_limit_policy.h"

namespace portico::filters {

inline int64_t CeilSeconds(int64_t nanos) { return (nanos + base::kNanosPerSecond - 1) / base::kNanosPerSecond; }

// What the decision says when the request it admits is not made after all.
void ReturnToDecision(GcraDecision& decision, const GcraRate& rate);

// Sets both fields of the response, one list member for each limit:
//   RateLimit-Policy: "per-user";q=100;w=60
//   RateLimit: "per-user";r=42;t=18
// q: requests in a window of w seconds. r: how many more would be admitted now.
// t: seconds until the whole quota is available again. Texts are in the arena or in the rates.
void AddLimitFields(snapshot::PolicyContext& context, const std::vector<std::shared_ptr<const Limit>>& limits,
                    const LimitRate* const* rates, const GcraDecision* decisions, size_t count);

}  // namespace portico::filters

#endif  // DATAPLANE_FILTERS_RATE_LIMIT_LIMIT_FIELDS_H_
