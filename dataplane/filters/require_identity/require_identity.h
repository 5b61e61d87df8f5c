// Refuses requests that nobody answers for.
#ifndef DATAPLANE_FILTERS_REQUIRE_IDENTITY_REQUIRE_IDENTITY_H_
#define DATAPLANE_FILTERS_REQUIRE_IDENTITY_REQUIRE_IDENTITY_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "dataplane/snapshot/policy.h"

namespace portico::filters {

// 401, reason credentials_missing, when neither a token nor a key identified the
// caller; `challenge` is the WWW-Authenticate field, `message` says what to send.
class RequireIdentityPolicy final : public snapshot::Policy {
 public:
  RequireIdentityPolicy(std::string challenge, std::string message)
      : challenge_(std::move(challenge)), message_(std::move(message)) {}

  std::optional<snapshot::LocalReply> OnRequest(snapshot::PolicyContext& context) const override;

 private:
  const std::string challenge_, message_;
};

// For routes with an authentication that is not optional.
class RequireIdentityBuilder final : public snapshot::PolicyBuilder {
 public:
  snapshot::PolicyKind kind() const override { return snapshot::PolicyKind::kRequireIdentity; }
  absl::Status BeginSnapshot(const api::ResourceSet&) override { return absl::OkStatus(); }
  absl::StatusOr<std::shared_ptr<const snapshot::Policy>> Build(const api::StoredResource& route) override;
  bool Affected(const api::StoredResource&) const override { return false; }

 private:
  // By challenge.
  std::map<std::string, std::weak_ptr<const snapshot::Policy>> policies_;
};

}  // namespace portico::filters

#endif  // DATAPLANE_FILTERS_REQUIRE_IDENTITY_REQUIRE_IDENTITY_H_
