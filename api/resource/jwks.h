// JSON Web Key Sets (RFC 7517) as plain data: syntax and shape only, no signatures.
#ifndef API_RESOURCE_JWKS_H_
#define API_RESOURCE_JWKS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace portico::api {

// base64url without padding (RFC 4648 section 5, RFC 7515 section 2). Strict: no padding, no
// white space, and unused bits must be zero, so that one value has one spelling.
// Errors: InvalidArgument.
absl::StatusOr<std::string> DecodeBase64Url(std::string_view text);
std::string EncodeBase64Url(std::string_view bytes);

// One key that signatures can be verified with. Numbers are decoded: big-endian bytes, without
// leading zeros for `n` and `e`, exactly 32 bytes for `x` and `y`.
struct JsonWebKey {
  std::string kid;  // May be empty. Unique in the set when not.
  std::string kty;  // "RSA", "EC" or "oct".
  std::string alg;  // "RS256", "ES256" or "HS256": from `kty`, and from "alg" if given.
  std::string n;    // RSA modulus, 2048 to 8192 bits.
  std::string e;    // RSA public exponent, odd, 3 to 2^32 - 1.
  std::string x;    // EC point on P-256.
  std::string y;
  std::string k;  // Secret of an oct key, 32 to 1024 bytes.
};

// One reason why a key set is not accepted.
struct JwksProblem {
  std::string member;  // "keys[1].crv"; empty for the text as a whole.
  std::string value;   // What stands there; never key material.
  std::string reason;
  std::string fix;
};

struct JwksInspection {
  std::vector<JsonWebKey> keys;       // The keys without a problem.
  std::vector<JwksProblem> problems;  // Empty when the set is accepted.
  bool has_secret = false;            // An oct or a private key, or text that is no key set.
};

// Reads a key set and says everything that is wrong with it. Keys that are not meant for signatures
// ("use": "enc", or "key_ops" without "verify") are left out without a problem (RFC 7517
// sections 4.2 and 4.3). Bounds: 256 KiB of text, 100 keys.
JwksInspection InspectJwks(std::string_view text);

// The same for who only needs the keys. Errors: InvalidArgument with the first problem.
absl::StatusOr<std::vector<JsonWebKey>> ParseJwks(std::string_view text);

}  // namespace portico::api

#endif  // API_RESOURCE_JWKS_H_
