// Configuration of API keys to policies.
#ifndef DATAPLANE_FILTERS_API_KEY_API_KEY_BUILDER_H_
#define DATAPLANE_FILTERS_API_KEY_API_KEY_BUILDER_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/filters/consumers.h"
#include "dataplane/snapshot/policy.h"

namespace portico::filters {

class ApiKeyBuilder final : public snapshot::PolicyBuilder {
 public:
  snapshot::PolicyKind kind() const override { return snapshot::PolicyKind::kApiKey; }
  absl::Status BeginSnapshot(const api::ResourceSet& resources) override;
  absl::StatusOr<std::shared_ptr<const snapshot::Policy>> Build(const api::StoredResource& route) override;
  bool Affected(const api::StoredResource& route) const override;

 private:
  std::shared_ptr<const KeyOwners> owners_;
  bool changed_ = true;
  // By header names; routes that say the same share one policy.
  std::map<std::vector<std::string>, std::shared_ptr<const snapshot::Policy>> policies_;
};

}  // namespace portico::filters

#endif  // DATAPLANE_FILTERS_API_KEY_API_KEY_BUILDER_H_
