// Identifies callers by JSON Web Tokens.
#ifndef DATAPLANE_FILTERS_JWT_JWT_POLICY_H_
#define DATAPLANE_FILTERS_JWT_JWT_POLICY_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/filters/consumers.h"
#include "dataplane/filters/jwt/provider.h"
#include "dataplane/filters/jwt/token_cache.h"
#include "dataplane/filters/lookalikes.h"
#include "dataplane/snapshot/policy.h"

namespace portico::filters {

// Reads "Authorization: Bearer"; no such field, or another scheme: nobody is
// identified and nothing is refused. Request fields that claims are copied to are
// removed first, always. Replies: 401 with WWW-Authenticate (RFC 6750 section 3)
// and jwt_malformed, jwt_algorithm, jwt_unknown_kid, jwt_bad_signature,
// jwt_issuer, jwt_missing_exp, jwt_expired, jwt_not_yet_valid; 403 with
// jwt_audience.
class JwtPolicy final : public snapshot::Policy {
 public:
  JwtPolicy(std::vector<std::shared_ptr<const Provider>> providers,
            std::shared_ptr<const ConsumerPlans> plans);

  std::optional<snapshot::LocalReply> OnRequest(snapshot::PolicyContext& context) const override;

 private:
  std::optional<snapshot::LocalReply> CheckToken(snapshot::PolicyContext& context, std::string_view token) const;
  // Gives the request what a good token says.
  void Accept(snapshot::PolicyContext& context, const Provider& provider, const VerifiedToken& verified) const;

  const std::vector<std::shared_ptr<const Provider>> providers_;
  const std::shared_ptr<const ConsumerPlans> plans_;
  // The fields that claims are copied to.
  FieldNames claim_fields_;
};

}  // namespace portico::filters

#endif  // DATAPLANE_FILTERS_JWT_JWT_POLICY_H_
