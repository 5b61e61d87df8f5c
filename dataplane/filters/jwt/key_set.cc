#include "dataplane/filters/jwt/key_set.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/resource/jwks.h"
#include "openssl/bn.h"
#include "openssl/ecdsa.h"
#include "openssl/hmac.h"
#include "openssl/mem.h"
#include "openssl/nid.h"
#include "openssl/sha.h"

namespace portico::filters {
namespace {

// Of r and s in a JWS ES256 signature (RFC 7518 section 3.4).
constexpr size_t kEs256Half = 32;

const uint8_t* Bytes(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

bssl::UniquePtr<BIGNUM> Number(std::string_view big_endian) {
  return bssl::UniquePtr<BIGNUM>(BN_bin2bn(Bytes(big_endian), big_endian.size(), nullptr));
}

bssl::UniquePtr<RSA> MakeRsa(const api::JsonWebKey& key) {
  bssl::UniquePtr<RSA> rsa(RSA_new());
  bssl::UniquePtr<BIGNUM> n = Number(key.n), e = Number(key.e);
  if (rsa == nullptr || n == nullptr || e == nullptr || !RSA_set0_key(rsa.get(), n.get(), e.get(), nullptr)) {
    return nullptr;
  }
  // owned: by `rsa` from here on.
  static_cast<void>(n.release());
  static_cast<void>(e.release());
  return rsa;
}

bssl::UniquePtr<EC_KEY> MakeEc(const api::JsonWebKey& key) {
  bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  bssl::UniquePtr<BIGNUM> x = Number(key.x), y = Number(key.y);
  if (ec == nullptr || x == nullptr || y == nullptr ||
      !EC_KEY_set_public_key_affine_coordinates(ec.get(), x.get(), y.get())) {
    return nullptr;
  }
  return ec;
}

void Sha256Of(std::string_view text, uint8_t (&digest)[SHA256_DIGEST_LENGTH]) {
  SHA256(Bytes(text), text.size(), digest);
}

bool VerifyRsa(RSA* rsa, std::string_view signed_text, std::string_view signature) {
  uint8_t digest[SHA256_DIGEST_LENGTH];
  Sha256Of(signed_text, digest);
  return RSA_verify(NID_sha256, digest, sizeof(digest), Bytes(signature), signature.size(), rsa) == 1;
}

bool VerifyEc(const EC_KEY* ec, std::string_view signed_text, std::string_view signature) {
  if (signature.size() != 2 * kEs256Half) return false;
  bssl::UniquePtr<ECDSA_SIG> parts(ECDSA_SIG_new());
  bssl::UniquePtr<BIGNUM> r = Number(signature.substr(0, kEs256Half)), s = Number(signature.substr(kEs256Half));
  if (parts == nullptr || r == nullptr || s == nullptr || !ECDSA_SIG_set0(parts.get(), r.get(), s.get())) {
    return false;
  }
  // owned: by `parts` from here on.
  static_cast<void>(r.release());
  static_cast<void>(s.release());
  uint8_t digest[SHA256_DIGEST_LENGTH];
  Sha256Of(signed_text, digest);
  return ECDSA_do_verify(digest, sizeof(digest), parts.get(), ec) == 1;
}

bool VerifyHmac(std::string_view secret, std::string_view signed_text, std::string_view signature) {
  uint8_t expected[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (HMAC(EVP_sha256(), secret.data(), secret.size(), Bytes(signed_text), signed_text.size(), expected, &size) ==
      nullptr) {
    return false;
  }
  return signature.size() == size && CRYPTO_memcmp(signature.data(), expected, size) == 0;
}

}  // namespace

std::optional<JwtAlgorithm> ParseJwtAlgorithm(std::string_view name) {
  if (name == "RS256") return JwtAlgorithm::kRs256;
  if (name == "ES256") return JwtAlgorithm::kEs256;
  if (name == "HS256") return JwtAlgorithm::kHs256;
  return std::nullopt;
}

absl::StatusOr<std::shared_ptr<const KeySet>> KeySet::Parse(std::string_view jwks) {
  absl::StatusOr<std::vector<api::JsonWebKey>> parsed = api::ParseJwks(jwks);
  if (!parsed.ok()) return parsed.status();
  auto set = std::make_shared<KeySet>();
  for (api::JsonWebKey& from : *parsed) {
    const std::optional<JwtAlgorithm> algorithm = ParseJwtAlgorithm(from.alg);
    if (!algorithm.has_value()) continue;
    Key key{from.kid, *algorithm, nullptr, nullptr, ""};
    switch (*algorithm) {
      case JwtAlgorithm::kRs256:
        key.rsa = MakeRsa(from);
        break;
      case JwtAlgorithm::kEs256:
        key.ec = MakeEc(from);
        break;
      case JwtAlgorithm::kHs256:
        key.secret = std::move(from.k);
        break;
    }
    if (key.rsa == nullptr && key.ec == nullptr && key.secret.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("spec.jwks: the key \"", from.kid, "\" cannot be used; export it again"));
    }
    set->keys_.push_back(std::move(key));
  }
  return std::shared_ptr<const KeySet>(std::move(set));
}

bool KeySet::VerifyOne(const Key& key, std::string_view signed_text, std::string_view signature) {
  switch (key.algorithm) {
    case JwtAlgorithm::kRs256:
      return VerifyRsa(key.rsa.get(), signed_text, signature);
    case JwtAlgorithm::kEs256:
      return VerifyEc(key.ec.get(), signed_text, signature);
    case JwtAlgorithm::kHs256:
      return VerifyHmac(key.secret, signed_text, signature);
  }
  return false;
}

KeySet::Outcome KeySet::Verify(JwtAlgorithm algorithm, std::optional<std::string_view> kid,
                               std::string_view signed_text, std::string_view signature) const {
  if (kid.has_value()) {
    const auto key = std::find_if(keys_.begin(), keys_.end(), [&](const Key& k) { return k.kid == *kid; });
    if (key == keys_.end()) return Outcome::kUnknownKid;
    if (key->algorithm != algorithm) return Outcome::kWrongAlgorithm;
    return VerifyOne(*key, signed_text, signature) ? Outcome::kGood : Outcome::kBadSignature;
  }
  size_t tries = 0;
  for (const Key& key : keys_) {
    if (key.algorithm != algorithm) continue;
    if (VerifyOne(key, signed_text, signature)) return Outcome::kGood;
    if (++tries == kMaxTries) break;
  }
  return tries == 0 ? Outcome::kWrongAlgorithm : Outcome::kBadSignature;
}

bool KeySet::ServesPublic(JwtAlgorithm algorithm) const {
  return algorithm != JwtAlgorithm::kHs256 &&
         std::any_of(keys_.begin(), keys_.end(), [&](const Key& key) { return key.algorithm == algorithm; });
}

}  // namespace portico::filters
