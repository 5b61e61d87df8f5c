#include <nlohmann/json.hpp>
#include <ostream>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tools/porticoctl/commands.h"
#include "tools/porticoctl/token_key.h"

namespace portico::ctl {
namespace {

// Errors: one line.
absl::StatusOr<std::unique_ptr<TokenKey>> OpenKey(const TokenOptions& options) {
  absl::StatusOr<std::unique_ptr<TokenKey>> key = TokenKey::Load(options.key_file);
  if (key.status().code() == absl::StatusCode::kNotFound && options.create_key) {
    const absl::Status created =
        TokenKey::Create(options.key_file, options.algorithm.empty() ? "ES256" : options.algorithm);
    if (!created.ok()) return created;
    key = TokenKey::Load(options.key_file);
  }
  if (key.ok() && !options.algorithm.empty() && options.algorithm != (*key)->algorithm()) {
    return absl::InvalidArgumentError(
        absl::StrCat("key file ", options.key_file, " is for ", (*key)->algorithm(), ", not for ",
                     options.algorithm, "; name another --key-file or leave --alg out"));
  }
  return key;
}

Json Claims(const TokenOptions& options, int64_t issued, int64_t expires) {
  Json claims = Json::object();
  if (!options.issuer.empty()) claims["iss"] = options.issuer;
  if (options.audiences.size() == 1) claims["aud"] = options.audiences.front();
  if (options.audiences.size() > 1) claims["aud"] = options.audiences;
  if (!options.subject.empty()) claims["sub"] = options.subject;
  claims["iat"] = issued;
  claims["exp"] = expires;
  for (const std::string& claim : options.claims) {
    const size_t equals = claim.find('=');
    const std::string text = claim.substr(equals + 1);
    Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    claims[claim.substr(0, equals)] = value.is_discarded() ? Json(text) : std::move(value);
  }
  return claims;
}

std::string Encode(const Json& json) {
  return absl::WebSafeBase64Escape(json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Json KeySet(const TokenKey& key, const std::string& kid) {
  Json jwk = Json::parse(key.Jwk(), nullptr, /*allow_exceptions=*/false);
  jwk["kid"] = kid;
  jwk["alg"] = key.algorithm();
  jwk["use"] = "sig";
  return {{"keys", Json::array({std::move(jwk)})}};
}

}  // namespace

int RunToken(const Arguments& arguments, absl::Time now, Console& console) {
  const TokenOptions& options = arguments.token;
  const OutputFormat format = FormatOf(arguments);
  const absl::StatusOr<std::unique_ptr<TokenKey>> key = OpenKey(options);
  if (!key.ok()) {
    console.err << "porticoctl: " << key.status().message() << "\n";
    return kExitUsage;
  }
  const std::string kid = options.kid.empty() ? (*key)->Thumbprint() : options.kid;
  if (options.jwks) {
    const Json keys = KeySet(**key, kid);
    if (format == OutputFormat::kTable) {
      console.out << keys.dump() << "\n";
    } else {
      Print(keys, format, console.out);
    }
    return kExitOk;
  }
  const int64_t expires = absl::ToUnixSeconds(now + options.expires_in);
  const std::string input =
      absl::StrCat(Encode({{"alg", (*key)->algorithm()}, {"typ", "JWT"}, {"kid", kid}}), ".",
                   Encode(Claims(options, absl::ToUnixSeconds(now), expires)));
  const absl::StatusOr<std::string> signature = (*key)->Sign(input);
  if (!signature.ok()) {
    console.err << "porticoctl: " << signature.status().message() << "\n";
    return kExitRefused;
  }
  const std::string token = absl::StrCat(input, ".", absl::WebSafeBase64Escape(*signature));
  if (format == OutputFormat::kTable) {
    console.out << token << "\n";
  } else {
    Print({{"token", token}, {"expires_at", FormatTime(expires)}}, format, console.out);
  }
  return kExitOk;
}

}  // namespace portico::ctl
