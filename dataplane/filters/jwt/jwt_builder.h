// Configuration of tokens to policies.
#ifndef DATAPLANE_FILTERS_JWT_JWT_BUILDER_H_
#define DATAPLANE_FILTERS_JWT_JWT_BUILDER_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/filters/consumers.h"
#include "dataplane/filters/jwt/provider.h"
#include "dataplane/snapshot/policy.h"

namespace portico::filters {

class JwtBuilder final : public snapshot::PolicyBuilder {
 public:
  // `cache_bytes`: for verified tokens, of each worker.
  explicit JwtBuilder(size_t cache_bytes) : cache_bytes_(cache_bytes) {}

  snapshot::PolicyKind kind() const override { return snapshot::PolicyKind::kJwt; }
  absl::Status BeginSnapshot(const api::ResourceSet& resources) override;
  absl::StatusOr<std::shared_ptr<const snapshot::Policy>> Build(const api::StoredResource& route) override;
  bool Affected(const api::StoredResource& route) const override;
  std::unique_ptr<snapshot::PolicyWorkerState> MakeWorkerState() override;

 private:
  struct Known {
    api::Digest hash;
    std::shared_ptr<const Provider> provider;
  };
  const size_t cache_bytes_;
  std::map<std::string, Known, std::less<>> providers_;
  std::set<std::string, std::less<>> changed_;
  std::shared_ptr<const ConsumerPlans> plans_;
  bool plans_changed_ = true;
  // By provider names; routes that say the same share one policy.
  std::map<std::vector<std::string>, std::shared_ptr<const snapshot::Policy>> policies_;
};

}  // namespace portico::filters

#endif  // DATAPLANE_FILTERS_JWT_JWT_BUILDER_H_
