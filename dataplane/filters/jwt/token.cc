#include "dataplane/filters/jwt/token.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/numbers.h"
#include "api/resource/jwks.h"

namespace portico::filters {
namespace {

constexpr double kMaxSeconds = 1e15;

// False: there, but not a number.
bool ReadDate(const FlatJson& claims, std::string_view name, std::optional<int64_t>& out) {
  if (!claims.HasMember(name)) return true;
  const FlatValue* value = claims.Find(name);
  if (value == nullptr) return false;
  if (value->type != FlatValue::Type::kInteger && value->type != FlatValue::Type::kFloat) return false;
  double seconds = 0;
  if (!absl::SimpleAtod(value->text, &seconds) || !std::isfinite(seconds)) return false;
  out = static_cast<int64_t>(std::floor(std::clamp(seconds, -kMaxSeconds, kMaxSeconds)));
  return true;
}

bool ReadHeader(const FlatJson& header, Token& token, std::string_view& error) {
  if (header.HasMember("crit")) {
    error = "the token demands an extension (\"crit\") that is not supported";
    return false;
  }
  const FlatValue* algorithm = header.Find("alg");
  if (algorithm == nullptr || algorithm->type != FlatValue::Type::kString) {
    error = "the token's header names no algorithm";
    return false;
  }
  token.algorithm = ParseJwtAlgorithm(algorithm->text);
  if (!header.HasMember("kid")) return true;
  const FlatValue* kid = header.Find("kid");
  if (kid == nullptr || kid->type != FlatValue::Type::kString) {
    error = "the token's \"kid\" is no text";
    return false;
  }
  token.kid = kid->text;
  return true;
}

bool ReadClaims(Token& token, std::string_view& error) {
  if (token.claims.HasMember("iss")) {
    const FlatValue* issuer = token.claims.Find("iss");
    if (issuer == nullptr || issuer->type != FlatValue::Type::kString) {
      error = "the token's \"iss\" is no text";
      return false;
    }
    token.issuer = issuer->text;
  }
  if (token.claims.HasMember("aud")) {
    const FlatValue* audience = token.claims.Find("aud");
    if (audience != nullptr && audience->type == FlatValue::Type::kString) {
      token.audiences = {audience->text};
    } else if (audience != nullptr && audience->type == FlatValue::Type::kStrings) {
      token.audiences = audience->items;
    } else {
      error = "the token's \"aud\" is neither text nor a list of texts";
      return false;
    }
  }
  if (!ReadDate(token.claims, "exp", token.expires) || !ReadDate(token.claims, "nbf", token.not_before) ||
      !ReadDate(token.claims, "iat", token.issued)) {
    error = "one of the token's \"exp\", \"nbf\" and \"iat\" is no number";
    return false;
  }
  return true;
}

}  // namespace

std::optional<Token> ParseToken(std::string_view text, std::string_view& error) {
  if (text.size() > kMaxTokenBytes) {
    error = "the token is longer than 8192 bytes";
    return std::nullopt;
  }
  const size_t first = text.find('.');
  const size_t second = first == std::string_view::npos ? first : text.find('.', first + 1);
  if (second == std::string_view::npos || text.find('.', second + 1) != std::string_view::npos) {
    error = "the token has not three parts";
    return std::nullopt;
  }
  absl::StatusOr<std::string> header = api::DecodeBase64Url(text.substr(0, first));
  absl::StatusOr<std::string> claims = api::DecodeBase64Url(text.substr(first + 1, second - first - 1));
  absl::StatusOr<std::string> signature = api::DecodeBase64Url(text.substr(second + 1));
  if (!header.ok() || !claims.ok() || !signature.ok()) {
    error = "a part of the token is not base64url";
    return std::nullopt;
  }
  std::optional<FlatJson> header_json = FlattenJson(*header);
  std::optional<FlatJson> claims_json = FlattenJson(*claims);
  if (!header_json.has_value() || !claims_json.has_value()) {
    error = "the token's header or claims are no valid JSON object";
    return std::nullopt;
  }
  Token token;
  token.signed_text = text.substr(0, second);
  token.signature = *std::move(signature);
  if (!ReadHeader(*header_json, token, error)) return std::nullopt;
  token.claims = *std::move(claims_json);
  if (!ReadClaims(token, error)) return std::nullopt;
  return token;
}

}  // namespace portico::filters
