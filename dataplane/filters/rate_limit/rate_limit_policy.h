// Bounds how often each key may pass.
#ifndef DATAPLANE_FILTERS_RATE_LIMIT_RATE_LIMIT_POLICY_H_
#define DATAPLANE_FILTERS_RATE_LIMIT_RATE_LIMIT_POLICY_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/filters/rate_limit/cell_table.h"
#include "dataplane/snapshot/policy.h"

namespace portico::filters {

struct LimitRate {
  GcraRate gcra;
  // As announced in RateLimit-Policy: so many requests in so many seconds.
  uint64_t quota = 0;
  uint64_t window_seconds = 0;
  // Its list member of RateLimit-Policy, complete.
  std::string announced;
};

// A RateLimitPolicy with what plans make of it. Immutable, shared by routes.
struct Limit {
  enum class Part : uint8_t { kClientAddress, kConsumer, kRoute, kHeader, kClaim, kClientCertificate };
  struct KeyPart {
    Part part;
    std::string name;  // Of kHeader (lower case) and kClaim.
  };
  static constexpr size_t kMaxParts = 8;

  std::string name;
  // What its list member of RateLimit begins with, up to the number of requests left.
  std::string state_start;
  LimitRate rate;
  std::vector<KeyPart> key;
  // By plan name, sorted.
  std::vector<std::pair<std::string, LimitRate>> plans;
  // No key of this policy owes more than this, whatever its plan. Nanoseconds.
  int64_t ceiling = 0;

  const LimitRate& RateFor(std::string_view plan) const;
};

// All limits of a route; a request takes one from each of them, or nothing from
// any. Replies 429, reason rate_limited, with Retry-After; RateLimit and
// RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers) go onto every response.
class RateLimitPolicy final : public snapshot::Policy {
 public:
  static constexpr size_t kMaxLimits = 16;

  // At most kMaxLimits. `table` outlives the policy by being shared.
  RateLimitPolicy(std::vector<std::shared_ptr<const Limit>> limits, std::shared_ptr<CellTable> table);

  std::optional<snapshot::LocalReply> OnRequest(snapshot::PolicyContext& context) const override;

 private:
  // Takes from the only limit; from several.
  std::optional<snapshot::LocalReply> TakeOne(snapshot::PolicyContext& context) const;
  std::optional<snapshot::LocalReply> TakeAll(snapshot::PolicyContext& context) const;
  // Of limits_[place].
  CellKey KeyOf(size_t place, const snapshot::PolicyContext& context) const;

  const std::vector<std::shared_ptr<const Limit>> limits_;
  const std::shared_ptr<CellTable> table_;
  std::vector<CellKey> names_;  // Hashed.
};

}  // namespace portico::filters

#endif  // DATAPLANE_FILTERS_RATE_LIMIT_RATE_LIMIT_POLICY_H_
