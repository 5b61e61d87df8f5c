// HeaderTransform resources as policies.
#ifndef DATAPLANE_FILTERS_HEADER_TRANSFORM_HEADER_TRANSFORM_H_
#define DATAPLANE_FILTERS_HEADER_TRANSFORM_HEADER_TRANSFORM_H_

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/filters/header_transform/header_edits.h"
#include "dataplane/snapshot/policy.h"

namespace portico::filters {

// One HeaderTransform. Immutable, shared by routes.
struct Transform {
  HeaderEdits request, response;
};

// Errors: InvalidArgument naming the field: bad variables, names that are no
// tokens, and those that frame a message or that Portico sets itself.
absl::StatusOr<std::shared_ptr<const Transform>> MakeTransform(const v1::HeaderTransform& spec);

// Those of a route: in their order for the request, in reverse for the response.
class HeaderTransformPolicy final : public snapshot::Policy {
 public:
  explicit HeaderTransformPolicy(std::vector<std::shared_ptr<const Transform>> transforms)
      : transforms_(std::move(transforms)) {}

  std::optional<snapshot::LocalReply> OnRequest(snapshot::PolicyContext& context) const override;
  void OnResponse(snapshot::PolicyContext& context, http::ResponseHead& head) const override;

 private:
  const std::vector<std::shared_ptr<const Transform>> transforms_;
};

class HeaderTransformBuilder final : public snapshot::PolicyBuilder {
 public:
  snapshot::PolicyKind kind() const override { return snapshot::PolicyKind::kHeaderTransform; }
  absl::Status BeginSnapshot(const api::ResourceSet& resources) override;
  absl::StatusOr<std::shared_ptr<const snapshot::Policy>> Build(const api::StoredResource& route) override;
  bool Affected(const api::StoredResource& route) const override;

 private:
  struct Known {
    api::Digest hash;
    std::shared_ptr<const Transform> transform;
  };
  std::map<std::string, Known, std::less<>> transforms_;
  std::set<std::string, std::less<>> changed_;
  // By names of transforms; routes that say the same share one policy.
  std::map<std::vector<std::string>, std::shared_ptr<const snapshot::Policy>> policies_;
};

}  // namespace portico::filters

#endif  // DATAPLANE_FILTERS_HEADER_TRANSFORM_HEADER_TRANSFORM_H_
