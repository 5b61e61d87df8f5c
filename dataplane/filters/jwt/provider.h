// A JwtProvider, compiled, and the decision about one token.
#ifndef DATAPLANE_FILTERS_JWT_PROVIDER_H_
#define DATAPLANE_FILTERS_JWT_PROVIDER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "api/resource/resource.h"
#include "dataplane/base/arena.h"
#include "dataplane/base/clock.h"
#include "dataplane/filters/jwt/key_set.h"
#include "dataplane/filters/jwt/token.h"
#include "dataplane/filters/lookalikes.h"
#include "dataplane/snapshot/policy.h"

namespace portico::filters {

// Immutable, shared by the policies of all routes that name it.
struct Provider {
  std::string name;
  std::string issuer;
  std::vector<std::string> audiences;
  std::vector<JwtAlgorithm> algorithms;
  int64_t skew_seconds = 60;
  bool forward = false;
  struct ClaimToHeader {
    std::string claim;
    FieldName header;  // In lower case.
    // Another one before it names the same field, which this one then replaces.
    bool repeated;
  };
  std::vector<ClaimToHeader> claims_to_headers;
  std::string consumer_claim;
  std::shared_ptr<const KeySet> keys;
  // SHA-256 of all that decides whether a token is good: the key set, the issuer,
  // the audiences, the algorithms. What is cached under it stays right for ever,
  // but for time.
  api::Digest fingerprint{};
};

// Errors: InvalidArgument naming the field.
// `previous`, the provider of the same name before, lends its keys if they are the same.
absl::StatusOr<std::shared_ptr<const Provider>> MakeProvider(const api::StoredResource& stored,
                                                             const Provider* previous);

// What a good token says.
struct VerifiedToken {
  std::string claims;  // See PackClaims().
  // Seconds since 1970.
  int64_t expires = 0;
  int64_t not_before = INT64_MIN;  // The later of nbf and iat.
};

// nullopt if now is within the token's time.
std::optional<snapshot::LocalReply> CheckTime(const VerifiedToken& token, const Provider& provider,
                                              base::UnixNanos now, base::Arena& arena);

// The provider among `providers` that a token is for, by its unverified issuer;
// with one provider it is that one; nullptr if there is none.
const Provider* ChooseProvider(const std::vector<std::shared_ptr<const Provider>>& providers, const Token& token);

// Algorithm, signature, issuer, audience; not time. Replies: 401 with
// jwt_algorithm, jwt_unknown_kid, jwt_bad_signature, jwt_issuer,
// jwt_missing_exp; 403 with jwt_audience.
std::variant<VerifiedToken, snapshot::LocalReply> VerifyToken(const Provider& provider, const Token& token);

}  // namespace portico::filters

#endif  // DATAPLANE_FILTERS_JWT_PROVIDER_H_
