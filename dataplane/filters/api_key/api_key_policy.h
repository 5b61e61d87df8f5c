// Identifies consumers by API keys.
#ifndef DATAPLANE_FILTERS_API_KEY_API_KEY_POLICY_H_
#define DATAPLANE_FILTERS_API_KEY_API_KEY_POLICY_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/filters/consumers.h"
#include "dataplane/snapshot/policy.h"

namespace portico::filters {

// Looks for a key in each of `headers`; removes the fields from the request. A
// caller whom a token identified already keeps that identity, but a wrong key is
// refused all the same. Reasons, all 401: api_key_unknown, api_key_expired,
// api_key_malformed (several fields, an empty one, or more than 1024 bytes).
class ApiKeyPolicy final : public snapshot::Policy {
 public:
  static constexpr size_t kMaxKeyBytes = 1024;

  // `headers`: lower case.
  ApiKeyPolicy(std::vector<std::string> headers, std::shared_ptr<const KeyOwners> owners)
      : headers_(std::move(headers)), owners_(std::move(owners)) {}

  std::optional<snapshot::LocalReply> OnRequest(snapshot::PolicyContext& context) const override;

 private:
  std::optional<snapshot::LocalReply> Check(snapshot::PolicyContext& context, const std::string& header) const;

  const std::vector<std::string> headers_;
  const std::shared_ptr<const KeyOwners> owners_;
};

}  // namespace portico::filters

#endif  // DATAPLANE_FILTERS_API_KEY_API_KEY_POLICY_H_
