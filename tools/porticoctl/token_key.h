// Keys that sign JSON Web Tokens. BoringSSL stays behind this header.
#ifndef TOOLS_PORTICOCTL_TOKEN_KEY_H_
#define TOOLS_PORTICOCTL_TOKEN_KEY_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace portico::ctl {

// A private key, or a secret, for one algorithm (RFC 7518).
class TokenKey {
 public:
  virtual ~TokenKey() = default;

  // Reads a key file: a PEM private key (EC on P-256: ES256; RSA of at least 2048
  // bits: RS256), or a line of base64url, at least 32 bytes (HS256). Errors:
  // NotFound when there is no such file, InvalidArgument when it holds no such
  // key; one line each.
  static absl::StatusOr<std::unique_ptr<TokenKey>> Load(const std::string& path);

  // Makes a key for "ES256", "RS256" or "HS256" and writes it to `path`, readable
  // only by the owner. Errors: InvalidArgument when it cannot be written.
  static absl::Status Create(const std::string& path, const std::string& algorithm);

  virtual std::string algorithm() const = 0;
  // The signature as it stands in a token, before base64url.
  virtual absl::StatusOr<std::string> Sign(const std::string& input) const = 0;
  // The members of the public JWK that its thumbprint is made of (RFC 7638), as
  // JSON in that order; for HS256 they hold the secret.
  virtual std::string Jwk() const = 0;

  // Base64url of the SHA-256 of Jwk().
  std::string Thumbprint() const;
};

}  // namespace portico::ctl

#endif  // TOOLS_PORTICOCTL_TOKEN_KEY_H_
