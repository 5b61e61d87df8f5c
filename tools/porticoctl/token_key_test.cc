#include "tools/porticoctl/token_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/nid.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"

namespace portico::ctl {
namespace {

using testing::HasSubstr;

std::string FreshPath(const std::string& name) {
  const std::string path = testing::TempDir() + "/" + name;
  unlink(path.c_str());
  return path;
}

const uint8_t* Bytes(const std::string& text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

bssl::UniquePtr<BIGNUM> Number(const std::string& base64) {
  std::string bytes;
  EXPECT_TRUE(absl::WebSafeBase64Unescape(base64, &bytes));
  return bssl::UniquePtr<BIGNUM>(BN_bin2bn(Bytes(bytes), bytes.size(), nullptr));
}

// Checks a signature with nothing but the published key.
bool Verify(const nlohmann::json& jwk, const std::string& input, const std::string& signature) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(Bytes(input), input.size(), reinterpret_cast<uint8_t*>(digest.data()));
  if (jwk["kty"] == "EC") {
    if (signature.size() != 64) return false;
    bssl::UniquePtr<EC_KEY> key(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
    EC_KEY_set_public_key_affine_coordinates(key.get(), Number(jwk["x"]).get(),
                                             Number(jwk["y"]).get());
    bssl::UniquePtr<ECDSA_SIG> parts(ECDSA_SIG_new());
    ECDSA_SIG_set0(parts.get(), BN_bin2bn(Bytes(signature), 32, nullptr),
                   BN_bin2bn(Bytes(signature) + 32, 32, nullptr));
    return ECDSA_do_verify(Bytes(digest), digest.size(), parts.get(), key.get()) == 1;
  }
  if (jwk["kty"] == "RSA") {
    bssl::UniquePtr<RSA> key(RSA_new());
    RSA_set0_key(key.get(), Number(jwk["n"]).release(), Number(jwk["e"]).release(), nullptr);
    return RSA_verify(NID_sha256, Bytes(digest), digest.size(), Bytes(signature), signature.size(),
                      key.get()) == 1;
  }
  std::string secret;
  EXPECT_TRUE(absl::WebSafeBase64Unescape(jwk["k"].get<std::string>(), &secret));
  std::string mac(SHA256_DIGEST_LENGTH, '\0');
  unsigned length = 0;
  HMAC(EVP_sha256(), secret.data(), secret.size(), Bytes(input), input.size(),
       reinterpret_cast<uint8_t*>(mac.data()), &length);
  return mac == signature;
}

class TokenKeyTest : public testing::TestWithParam<const char*> {};

TEST_P(TokenKeyTest, SignsWhatItsJwkVerifies) {
  const std::string path = FreshPath(std::string("key-") + GetParam());
  ASSERT_TRUE(TokenKey::Create(path, GetParam()).ok());
  struct stat info = {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);

  const auto key = TokenKey::Load(path);
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ((*key)->algorithm(), GetParam());
  const nlohmann::json jwk = nlohmann::json::parse((*key)->Jwk());
  for (int i = 0; i < 20; ++i) {  // Numbers with leading zeros turn up now and then.
    const std::string input = "head.claims" + std::to_string(i);
    const auto signature = (*key)->Sign(input);
    ASSERT_TRUE(signature.ok());
    EXPECT_TRUE(Verify(jwk, input, *signature));
    EXPECT_FALSE(Verify(jwk, input + "x", *signature));
  }
  // The same file gives the same key id.
  EXPECT_EQ((*TokenKey::Load(path))->Thumbprint(), (*key)->Thumbprint());
  EXPECT_EQ((*key)->Thumbprint().size(), 43u);
}

INSTANTIATE_TEST_SUITE_P(All, TokenKeyTest, testing::Values("ES256", "RS256", "HS256"));

TEST(TokenKeyFileTest, NeverOverwrites) {
  const std::string path = FreshPath("precious");
  std::ofstream(path) << "mine";
  EXPECT_THAT(std::string(TokenKey::Create(path, "ES256").message()), HasSubstr("File exists"));
}

TEST(TokenKeyFileTest, RefusesWhatIsNoKey) {
  EXPECT_EQ(TokenKey::Load(FreshPath("none")).status().code(), absl::StatusCode::kNotFound);
  for (const char* text : {"", "c2hvcnQ", "not base64!",
                           "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                           "-----BEGIN CERTIFICATE-----"}) {
    const std::string path = FreshPath("bad");
    std::ofstream(path) << text;
    EXPECT_EQ(TokenKey::Load(path).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace portico::ctl
