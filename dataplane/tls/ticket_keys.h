// What session tickets are encrypted with.
#ifndef DATAPLANE_TLS_TICKET_KEYS_H_
#define DATAPLANE_TLS_TICKET_KEYS_H_

#include <openssl/cipher.h>
#include <openssl/hmac.h>

#include <cstdint>
#include <string>
#include <vector>

namespace portico::tls {

// Derived from the secrets that the fleet shares (HKDF, RFC 5869), and from what a session was
// granted under: its certificates and client authentication. So a ticket is as good on every
// proxy, and good for nothing where one of these is another. Immutable.
class TicketKeys {
 public:
  // 32 bytes each, the newest first.
  explicit TicketKeys(const std::vector<std::string>& secrets);
  bool empty() const { return keys_.empty(); }

  // As SSL_CTX_set_tlsext_ticket_key_cb() wants it: 1, 2 if the session is to be given a new
  // ticket, 0 if the ticket is not one of ours, or -1. `binding`: any text.
  int Encrypt(const std::string& binding, uint8_t* key_name, uint8_t* iv, EVP_CIPHER_CTX* cipher,
              HMAC_CTX* hmac) const;
  int Decrypt(const std::string& binding, const uint8_t* key_name, const uint8_t* iv,
              EVP_CIPHER_CTX* cipher, HMAC_CTX* hmac) const;

 private:
  static constexpr size_t kName = 16;
  static constexpr size_t kKey = 32;
  struct Key {
    uint8_t name[kName];
    uint8_t secret[kKey];  // From which the binding makes the keys.
  };
  struct Pair {
    uint8_t encryption[kKey];
    uint8_t authentication[kKey];
  };
  static bool Derive(const Key& key, const std::string& binding, Pair& out);

  std::vector<Key> keys_;
};

}  // namespace portico::tls

#endif  // DATAPLANE_TLS_TICKET_KEYS_H_
