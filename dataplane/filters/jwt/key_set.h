// The keys of an issuer, ready to verify with.
#ifndef DATAPLANE_FILTERS_JWT_KEY_SET_H_
#define DATAPLANE_FILTERS_JWT_KEY_SET_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "openssl/base.h"
#include "openssl/ec_key.h"
#include "openssl/rsa.h"

namespace portico::filters {

// RFC 7518 section 3.1.
enum class JwtAlgorithm : uint8_t { kRs256, kEs256, kHs256 };
// nullopt for everything else, "none" included. Case counts.
std::optional<JwtAlgorithm> ParseJwtAlgorithm(std::string_view name);

// Immutable, shared by workers.
class KeySet {
 public:
  // With a token that names no key, at most so many keys are tried.
  static constexpr size_t kMaxTries = 8;

  enum class Outcome : uint8_t { kGood, kBadSignature, kUnknownKid, kWrongAlgorithm };

  // Errors: InvalidArgument, as api::ParseJwks says it.
  static absl::StatusOr<std::shared_ptr<const KeySet>> Parse(std::string_view jwks);

  // `kid` nullopt: the token names no key, and all that fit the algorithm are tried.
  Outcome Verify(JwtAlgorithm algorithm, std::optional<std::string_view> kid, std::string_view signed_text,
                 std::string_view signature) const;

  // Whether a public key of the set serves the algorithm.
  bool ServesPublic(JwtAlgorithm algorithm) const;

 private:
  struct Key {
    std::string kid;
    JwtAlgorithm algorithm;
    bssl::UniquePtr<RSA> rsa;
    bssl::UniquePtr<EC_KEY> ec;
    std::string secret;
  };
  static bool VerifyOne(const Key& key, std::string_view signed_text, std::string_view signature);

  std::vector<Key> keys_;
};

}  // namespace portico::filters

#endif  // DATAPLANE_FILTERS_JWT_KEY_SET_H_
