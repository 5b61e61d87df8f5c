#include "dataplane/tls/ticket_keys.h"

#include <openssl/digest.h>
#include <openssl/hkdf.h>
#include <openssl/mem.h>
#include <openssl/rand.h>

#include <cstring>
#include <string_view>

#include "dataplane/base/check.h"

namespace portico::tls {
namespace {

const uint8_t* Bytes(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

}  // namespace

TicketKeys::TicketKeys(const std::vector<std::string>& secrets) {
  constexpr std::string_view kUse = "portico session tickets";
  for (const std::string& secret : secrets) {
    Key key;
    size_t size = 0;
    uint8_t name[kKey];
    PORTICO_CHECK(HKDF_extract(key.secret, &size, EVP_sha256(), Bytes(secret), secret.size(),
                               Bytes(kUse), kUse.size()));
    PORTICO_CHECK(HKDF_expand(name, kKey, EVP_sha256(), key.secret, kKey, Bytes("name"), 4));
    std::memcpy(key.name, name, kName);
    keys_.push_back(key);
  }
}

bool TicketKeys::Derive(const Key& key, const std::string& binding, Pair& out) {
  uint8_t both[2 * kKey];
  const bool ok = HKDF_expand(both, sizeof(both), EVP_sha256(), key.secret, kKey, Bytes(binding),
                              binding.size()) == 1;
  std::memcpy(out.encryption, both, kKey);
  std::memcpy(out.authentication, both + kKey, kKey);
  OPENSSL_cleanse(both, sizeof(both));
  return ok;
}

int TicketKeys::Encrypt(const std::string& binding, uint8_t* key_name, uint8_t* iv,
                        EVP_CIPHER_CTX* cipher, HMAC_CTX* hmac) const {
  if (keys_.empty()) return -1;
  Pair pair;
  std::memcpy(key_name, keys_.front().name, kName);
  const bool ok = Derive(keys_.front(), binding, pair) &&
                  RAND_bytes(iv, EVP_CIPHER_iv_length(EVP_aes_256_cbc())) &&
                  EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, pair.encryption, iv) &&
                  HMAC_Init_ex(hmac, pair.authentication, kKey, EVP_sha256(), nullptr);
  OPENSSL_cleanse(&pair, sizeof(pair));
  return ok ? 1 : -1;
}

int TicketKeys::Decrypt(const std::string& binding, const uint8_t* key_name, const uint8_t* iv,
                        EVP_CIPHER_CTX* cipher, HMAC_CTX* hmac) const {
  for (const Key& key : keys_) {
    if (std::memcmp(key.name, key_name, kName) != 0) continue;
    Pair pair;
    const bool ok = Derive(key, binding, pair) &&
                    EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, pair.encryption, iv) &&
                    HMAC_Init_ex(hmac, pair.authentication, kKey, EVP_sha256(), nullptr);
    OPENSSL_cleanse(&pair, sizeof(pair));
    if (!ok) return -1;
    return &key == &keys_.front() ? 1 : 2;
  }
  return 0;
}

}  // namespace portico::tls
