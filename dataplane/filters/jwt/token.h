// JSON Web Tokens in compact form (RFC 7515 section 3.1, RFC 7519), not yet verified.
#ifndef DATAPLANE_FILTERS_JWT_TOKEN_H_
#define DATAPLANE_FILTERS_JWT_TOKEN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/filters/jwt/flat_json.h"
#include "dataplane/filters/jwt/key_set.h"

namespace portico::filters {

inline constexpr size_t kMaxTokenBytes = 8192;

struct Token {
  // nullopt: none that we know; "none" is one of these.
  std::optional<JwtAlgorithm> algorithm;
  std::optional<std::string> kid;
  std::string_view signed_text;  // Of the token itself.
  std::string signature;

  FlatJson claims;
  std::optional<std::string> issuer;
  std::vector<std::string> audiences;
  // Seconds since 1970, fractions dropped, within about 30 million years.
  std::optional<int64_t> expires, not_before, issued;
};

// `error` says what is wrong, for people; it never quotes the token. Refused are:
// more than kMaxTokenBytes, anything but three parts in base64url without padding,
// headers or claims that are no JSON object or name something twice, a "crit"
// header (RFC 7515 section 4.1.11: we implement no extension), and registered
// claims of a wrong type.
std::optional<Token> ParseToken(std::string_view text, std::string_view& error);

}  // namespace portico::filters

#endif  // DATAPLANE_FILTERS_JWT_TOKEN_H_
