#include "tools/porticoctl/token_key.h"

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace portico::ctl {
namespace {

constexpr size_t kCoordinateBytes = 32;
constexpr size_t kMinSecretBytes = 32;
constexpr unsigned kMinRsaBits = 2048;

std::string Base64(const std::string& bytes) { return absl::WebSafeBase64Escape(bytes); }

std::string Sha256(const std::string& bytes) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(),
         reinterpret_cast<uint8_t*>(digest.data()));
  return digest;
}

// Big-endian, at least `width` bytes.
std::string NumberBytes(const BIGNUM* number, size_t width) {
  std::string bytes(std::max<size_t>(width, BN_num_bytes(number)), '\0');
  BN_bn2bin_padded(reinterpret_cast<uint8_t*>(bytes.data()), bytes.size(), number);
  return bytes;
}

class EcKey : public TokenKey {
 public:
  explicit EcKey(bssl::UniquePtr<EVP_PKEY> key) : key_(std::move(key)) {}

  std::string algorithm() const override { return "ES256"; }

  absl::StatusOr<std::string> Sign(const std::string& input) const override {
    const std::string digest = Sha256(input);
    bssl::UniquePtr<ECDSA_SIG> signature(
        ECDSA_do_sign(reinterpret_cast<const uint8_t*>(digest.data()), digest.size(),
                      EVP_PKEY_get0_EC_KEY(key_.get())));
    if (!signature) return absl::InternalError("signing with ES256 failed");
    return NumberBytes(ECDSA_SIG_get0_r(signature.get()), kCoordinateBytes) +
           NumberBytes(ECDSA_SIG_get0_s(signature.get()), kCoordinateBytes);
  }

  std::string Jwk() const override {
    const EC_KEY* key = EVP_PKEY_get0_EC_KEY(key_.get());
    bssl::UniquePtr<BIGNUM> x(BN_new());
    bssl::UniquePtr<BIGNUM> y(BN_new());
    EC_POINT_get_affine_coordinates_GFp(EC_KEY_get0_group(key), EC_KEY_get0_public_key(key),
                                        x.get(), y.get(), nullptr);
    return absl::StrCat(R"({"crv":"P-256","kty":"EC","x":")",
                        Base64(NumberBytes(x.get(), kCoordinateBytes)), R"(","y":")",
                        Base64(NumberBytes(y.get(), kCoordinateBytes)), "\"}");
  }

 private:
  const bssl::UniquePtr<EVP_PKEY> key_;
};

class RsaKey : public TokenKey {
 public:
  explicit RsaKey(bssl::UniquePtr<EVP_PKEY> key) : key_(std::move(key)) {}

  std::string algorithm() const override { return "RS256"; }

  absl::StatusOr<std::string> Sign(const std::string& input) const override {
    bssl::ScopedEVP_MD_CTX context;
    std::string signature(EVP_PKEY_size(key_.get()), '\0');
    size_t length = signature.size();
    if (EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()) != 1 ||
        EVP_DigestSign(context.get(), reinterpret_cast<uint8_t*>(signature.data()), &length,
                       reinterpret_cast<const uint8_t*>(input.data()), input.size()) != 1) {
      return absl::InternalError("signing with RS256 failed");
    }
    signature.resize(length);
    return signature;
  }

  std::string Jwk() const override {
    const RSA* key = EVP_PKEY_get0_RSA(key_.get());
    return absl::StrCat(R"({"e":")", Base64(NumberBytes(RSA_get0_e(key), 0)),
                        R"(","kty":"RSA","n":")", Base64(NumberBytes(RSA_get0_n(key), 0)), "\"}");
  }

 private:
  const bssl::UniquePtr<EVP_PKEY> key_;
};

class SecretKey : public TokenKey {
 public:
  explicit SecretKey(std::string secret) : secret_(std::move(secret)) {}

  std::string algorithm() const override { return "HS256"; }

  absl::StatusOr<std::string> Sign(const std::string& input) const override {
    std::string mac(SHA256_DIGEST_LENGTH, '\0');
    unsigned length = 0;
    if (HMAC(EVP_sha256(), secret_.data(), secret_.size(),
             reinterpret_cast<const uint8_t*>(input.data()), input.size(),
             reinterpret_cast<uint8_t*>(mac.data()), &length) == nullptr) {
      return absl::InternalError("signing with HS256 failed");
    }
    return mac;
  }

  std::string Jwk() const override {
    return absl::StrCat(R"({"k":")", Base64(secret_), R"(","kty":"oct"})");
  }

 private:
  const std::string secret_;
};

absl::StatusOr<std::unique_ptr<TokenKey>> ReadPem(const std::string& path,
                                                  const std::string& text) {
  bssl::UniquePtr<BIO> bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  // An empty passphrase, so that nobody is asked on the terminal.
  bssl::UniquePtr<EVP_PKEY> key(
      PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, const_cast<char*>("")));
  if (!key) {
    return absl::InvalidArgumentError(
        absl::StrCat("key file ", path, " holds no PEM private key without passphrase"));
  }
  if (EVP_PKEY_id(key.get()) == EVP_PKEY_EC &&
      EC_GROUP_get_curve_name(EC_KEY_get0_group(EVP_PKEY_get0_EC_KEY(key.get()))) ==
          NID_X9_62_prime256v1) {
    return std::make_unique<EcKey>(std::move(key));
  }
  if (EVP_PKEY_id(key.get()) == EVP_PKEY_RSA &&
      static_cast<unsigned>(EVP_PKEY_bits(key.get())) >= kMinRsaBits) {
    return std::make_unique<RsaKey>(std::move(key));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "key file ", path, " must hold an EC key on P-256 or an RSA key of at least 2048 bits"));
}

// A new key as the text of its file; empty when the library fails.
std::string MakeKeyText(const std::string& algorithm) {
  if (algorithm == "HS256") {
    std::string secret(kMinSecretBytes, '\0');
    RAND_bytes(reinterpret_cast<uint8_t*>(secret.data()), secret.size());
    return Base64(secret) + "\n";
  }
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  if (algorithm == "RS256") {
    bssl::UniquePtr<RSA> rsa(RSA_new());
    bssl::UniquePtr<BIGNUM> exponent(BN_new());
    if (BN_set_word(exponent.get(), RSA_F4) != 1 ||
        RSA_generate_key_ex(rsa.get(), kMinRsaBits, exponent.get(), nullptr) != 1 ||
        EVP_PKEY_set1_RSA(key.get(), rsa.get()) != 1) {
      return "";
    }
  } else {
    bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
    if (EC_KEY_generate_key(ec.get()) != 1 || EVP_PKEY_set1_EC_KEY(key.get(), ec.get()) != 1) {
      return "";
    }
  }
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) !=
      1) {
    return "";
  }
  const uint8_t* data = nullptr;
  size_t size = 0;
  BIO_mem_contents(bio.get(), &data, &size);
  return std::string(reinterpret_cast<const char*>(data), size);
}

}  // namespace

absl::StatusOr<std::unique_ptr<TokenKey>> TokenKey::Load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::NotFoundError(absl::StrCat("cannot read key file ", path, ": ",
                                            std::strerror(errno), "; --create-key makes one"));
  }
  std::ostringstream stream;
  stream << file.rdbuf();
  const std::string text = stream.str();
  if (text.size() > (1u << 20)) {
    return absl::InvalidArgumentError(absl::StrCat("key file ", path, " is larger than 1 MiB"));
  }
  if (text.find("-----BEGIN") != std::string::npos) return ReadPem(path, text);
  std::string secret;
  if (!absl::WebSafeBase64Unescape(absl::StripAsciiWhitespace(text), &secret) ||
      secret.size() < kMinSecretBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("key file ", path,
                     " must hold a PEM private key, or at least 32 bytes in base64url for HS256"));
  }
  return std::make_unique<SecretKey>(std::move(secret));
}

absl::Status TokenKey::Create(const std::string& path, const std::string& algorithm) {
  const std::string text = MakeKeyText(algorithm);
  if (text.empty()) return absl::InternalError(absl::StrCat("cannot make a key for ", algorithm));
  // O_EXCL: an existing key is never overwritten.
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
  const bool written =
      fd >= 0 && write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int error = errno;
  if (fd >= 0) close(fd);
  if (written) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("cannot write key file ", path, ": ", std::strerror(error)));
}

std::string TokenKey::Thumbprint() const { return Base64(Sha256(Jwk())); }

}  // namespace portico::ctl
