// Keys and tokens for tests.
#ifndef DATAPLANE_FILTERS_JWT_TOKEN_SIGNER_H_
#define DATAPLANE_FILTERS_JWT_TOKEN_SIGNER_H_

#include <string>
#include <string_view>

#include "openssl/base.h"
#include "openssl/ec_key.h"
#include "openssl/rsa.h"

namespace portico::filters {

// A new key of its own; not for production.
class TokenSigner {
 public:
  // `algorithm`: "RS256", "ES256" or "HS256".
  TokenSigner(std::string algorithm, std::string kid);

  // One member of "keys" in a JWKS.
  std::string jwk() const;
  // The set of this key only.
  std::string jwks() const { return "{\"keys\":[" + jwk() + "]}"; }

  // Header {"alg":..., "kid":...}, or the one given.
  std::string Sign(std::string_view claims) const;
  std::string Sign(std::string_view header, std::string_view claims) const;
  // A raw signature of `text`.
  std::string SignatureOf(std::string_view text) const;

 private:
  std::string algorithm_, kid_, secret_;
  bssl::UniquePtr<RSA> rsa_;
  bssl::UniquePtr<EC_KEY> ec_;
};

}  // namespace portico::filters

#endif  // DATAPLANE_FILTERS_JWT_TOKEN_SIGNER_H_
