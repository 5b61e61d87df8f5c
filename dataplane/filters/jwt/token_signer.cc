#include "dataplane/filters/jwt/token_signer.h"

#include <array>
#include <utility>
#include <vector>

#include "api/resource/jwks.h"
#include "dataplane/base/check.h"
#include "openssl/bn.h"
#include "openssl/ec.h"
#include "openssl/ec_key.h"
#include "openssl/ecdsa.h"
#include "openssl/hmac.h"
#include "openssl/nid.h"
#include "openssl/rsa.h"
#include "openssl/sha.h"

namespace portico::filters {
namespace {

constexpr size_t kHalf = 32;

const uint8_t* Bytes(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

std::string Padded(const BIGNUM* number, size_t size) {
  std::string bytes(size, '\0');
  PORTICO_CHECK(BN_bn2bin_padded(reinterpret_cast<uint8_t*>(bytes.data()), size, number));
  return bytes;
}

std::string Number(const BIGNUM* number) { return api::EncodeBase64Url(Padded(number, BN_num_bytes(number))); }

}  // namespace

TokenSigner::TokenSigner(std::string algorithm, std::string kid)
    : algorithm_(std::move(algorithm)), kid_(std::move(kid)) {
  if (algorithm_ == "RS256") {
    rsa_.reset(RSA_new());
    bssl::UniquePtr<BIGNUM> e(BN_new());
    PORTICO_CHECK(BN_set_word(e.get(), RSA_F4) && RSA_generate_key_ex(rsa_.get(), 2048, e.get(), nullptr));
  } else if (algorithm_ == "ES256") {
    ec_.reset(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
    PORTICO_CHECK(EC_KEY_generate_key(ec_.get()));
  } else {
    secret_ = "a secret of this test, long enough for HS256: " + kid_;
  }
}

std::string TokenSigner::jwk() const {
  std::string out = "{\"alg\":\"" + algorithm_ + "\"";
  if (!kid_.empty()) out += ",\"kid\":\"" + kid_ + "\"";
  if (rsa_ != nullptr) {
    return out + ",\"kty\":\"RSA\",\"n\":\"" + Number(RSA_get0_n(rsa_.get())) + "\",\"e\":\"" +
           Number(RSA_get0_e(rsa_.get())) + "\"}";
  }
  if (ec_ == nullptr) return out + ",\"kty\":\"oct\",\"k\":\"" + api::EncodeBase64Url(secret_) + "\"}";
  bssl::UniquePtr<BIGNUM> x(BN_new()), y(BN_new());
  PORTICO_CHECK(EC_POINT_get_affine_coordinates_GFp(EC_KEY_get0_group(ec_.get()), EC_KEY_get0_public_key(ec_.get()),
                                                    x.get(), y.get(), nullptr));
  return out + ",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" + api::EncodeBase64Url(Padded(x.get(), kHalf)) +
         "\",\"y\":\"" + api::EncodeBase64Url(Padded(y.get(), kHalf)) + "\"}";
}

std::string TokenSigner::SignatureOf(std::string_view text) const {
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(Bytes(text), text.size(), digest);
  if (rsa_ != nullptr) {
    std::string signature(RSA_size(rsa_.get()), '\0');
    unsigned size = 0;
    PORTICO_CHECK(RSA_sign(NID_sha256, digest, sizeof(digest), reinterpret_cast<uint8_t*>(signature.data()), &size,
                           rsa_.get()));
    return signature.substr(0, size);
  }
  if (ec_ != nullptr) {
    bssl::UniquePtr<ECDSA_SIG> parts(ECDSA_do_sign(digest, sizeof(digest), ec_.get()));
    PORTICO_CHECK(parts != nullptr);
    const BIGNUM* r = nullptr;
    const BIGNUM* s = nullptr;
    ECDSA_SIG_get0(parts.get(), &r, &s);
    return Padded(r, kHalf) + Padded(s, kHalf);
  }
  std::array<uint8_t, EVP_MAX_MD_SIZE> mac;
  unsigned size = 0;
  PORTICO_CHECK(HMAC(EVP_sha256(), secret_.data(), secret_.size(), Bytes(text), text.size(), mac.data(), &size));
  return {reinterpret_cast<const char*>(mac.data()), size};
}

std::string TokenSigner::Sign(std::string_view header, std::string_view claims) const {
  const std::string text = api::EncodeBase64Url(header) + "." + api::EncodeBase64Url(claims);
  return text + "." + api::EncodeBase64Url(SignatureOf(text));
}

std::string TokenSigner::Sign(std::string_view claims) const {
  const std::string kid = kid_.empty() ? "" : ",\"kid\":\"" + kid_ + "\"";
  return Sign("{\"alg\":\"" + algorithm_ + "\"" + kid + "}", claims);
}

}  // namespace portico::filters
