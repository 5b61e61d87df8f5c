// Configuration of rate limits to policies.
#ifndef DATAPLANE_FILTERS_RATE_LIMIT_RATE_LIMIT_BUILDER_H_
#define DATAPLANE_FILTERS_RATE_LIMIT_RATE_LIMIT_BUILDER_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/filters/rate_limit/rate_limit_policy.h"
#include "dataplane/snapshot/policy.h"

namespace portico::filters {

// Counters live in the table and are found by the policy's name, so that they go
// on when a revision changes a rate: what a key owes stays the same in seconds,
// but never more than the new rate's whole burst.
class RateLimitBuilder final : public snapshot::PolicyBuilder {
 public:
  explicit RateLimitBuilder(std::shared_ptr<CellTable> table) : table_(std::move(table)) {}

  snapshot::PolicyKind kind() const override { return snapshot::PolicyKind::kRateLimit; }
  absl::Status BeginSnapshot(const api::ResourceSet& resources) override;
  absl::StatusOr<std::shared_ptr<const snapshot::Policy>> Build(const api::StoredResource& route) override;
  bool Affected(const api::StoredResource& route) const override;

 private:
  const std::shared_ptr<CellTable> table_;
  std::map<std::string, std::shared_ptr<const Limit>, std::less<>> limits_;
  std::set<std::string, std::less<>> changed_;
  // By names of limits; routes that say the same share one policy.
  std::map<std::vector<std::string>, std::shared_ptr<const snapshot::Policy>> policies_;
};

}  // namespace portico::filters

#endif  // DATAPLANE_FILTERS_RATE_LIMIT_RATE_LIMIT_BUILDER_H_
