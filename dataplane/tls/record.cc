#include "dataplane/tls/record.h"

#include <openssl/digest.h>
#include <openssl/err.h>
#include <openssl/hkdf.h>
#include <openssl/mem.h>
#include <openssl/nid.h>

#include <cstring>

namespace portico::tls {
namespace {

constexpr size_t kMaxKey = 32;
// What a ciphertext may be longer than its plaintext (RFC 8446 section 5.2, RFC 5246
// section 6.2.3).
constexpr size_t kMaxExpansion13 = 256;
constexpr size_t kMaxExpansion12 = 2048;

void PutUint64(uint64_t value, uint8_t* out) {
  for (int i = 0; i < 8; ++i) out[i] = static_cast<uint8_t>(value >> (56 - 8 * i));
}

const EVP_AEAD* AeadOf(const SSL_CIPHER* cipher) {
  switch (SSL_CIPHER_get_cipher_nid(cipher)) {
    case NID_aes_128_gcm:
      return EVP_aead_aes_128_gcm();
    case NID_aes_256_gcm:
      return EVP_aead_aes_256_gcm();
    case NID_chacha20_poly1305:
      return EVP_aead_chacha20_poly1305();
    default:
      return nullptr;
  }
}

// HKDF-Expand-Label of RFC 8446 section 7.1, without a context.
bool ExpandLabel(const EVP_MD* digest, const uint8_t* secret, size_t secret_size,
                 std::string_view label, uint8_t* out, size_t size) {
  constexpr std::string_view kPrefix = "tls13 ";
  uint8_t info[32];
  size_t at = 0;
  info[at++] = static_cast<uint8_t>(size >> 8);
  info[at++] = static_cast<uint8_t>(size);
  info[at++] = static_cast<uint8_t>(kPrefix.size() + label.size());
  std::memcpy(info + at, kPrefix.data(), kPrefix.size());
  at += kPrefix.size();
  std::memcpy(info + at, label.data(), label.size());
  at += label.size();
  info[at++] = 0;
  return HKDF_expand(out, size, digest, secret, secret_size, info, at) == 1;
}

}  // namespace

RecordKeys::~RecordKeys() {
  OPENSSL_cleanse(iv_, sizeof(iv_));
  OPENSSL_cleanse(secret_, sizeof(secret_));
}

bool RecordKeys::SetKey(bssl::Span<const uint8_t> key) {
  aead_.Reset();
  return EVP_AEAD_CTX_init(aead_.get(), method_, key.data(), key.size(), kTag, nullptr) == 1;
}

bool RecordKeys::InitTls13(const SSL_CIPHER* cipher, bssl::Span<const uint8_t> secret,
                           uint64_t sequence) {
  method_ = AeadOf(cipher);
  if (method_ == nullptr || secret.size() > kMaxSecret) return false;
  digest_ = SSL_CIPHER_get_prf_nid(cipher) == NID_sha384 ? EVP_sha384() : EVP_sha256();
  secret_size_ = static_cast<uint8_t>(secret.size());
  std::memcpy(secret_, secret.data(), secret.size());
  if (!DeriveKeys()) return false;
  sequence_ = sequence;
  return true;
}

bool RecordKeys::DeriveKeys() {
  uint8_t key[kMaxKey];
  const size_t size = EVP_AEAD_key_length(method_);
  const bool ok = ExpandLabel(digest_, secret_, secret_size_, "key", key, size) &&
                  ExpandLabel(digest_, secret_, secret_size_, "iv", iv_, kNonce) &&
                  SetKey(bssl::Span<const uint8_t>(key, size));
  OPENSSL_cleanse(key, sizeof(key));
  sequence_ = 0;
  return ok;
}

bool RecordKeys::Update() {
  uint8_t next[kMaxSecret];
  if (!tls13() || !ExpandLabel(digest_, secret_, secret_size_, "traffic upd", next, secret_size_))
    return false;
  std::memcpy(secret_, next, secret_size_);
  OPENSSL_cleanse(next, sizeof(next));
  return DeriveKeys();
}

bool RecordKeys::InitTls12(const SSL_CIPHER* cipher, bssl::Span<const uint8_t> key,
                           bssl::Span<const uint8_t> iv, uint64_t sequence) {
  method_ = AeadOf(cipher);
  if (method_ == nullptr || iv.size() > kNonce) return false;
  explicit_nonce_ = static_cast<uint8_t>(kNonce - iv.size());
  std::memcpy(iv_, iv.data(), iv.size());
  sequence_ = sequence;
  return SetKey(key);
}

void RecordKeys::MakeNonce(uint8_t* nonce) const {
  std::memcpy(nonce, iv_, kNonce);
  uint8_t sequence[8];
  PutUint64(sequence_, sequence);
  if (explicit_nonce_ != 0) {
    std::memcpy(nonce + kNonce - sizeof(sequence), sequence, sizeof(sequence));
  } else {
    for (size_t i = 0; i < sizeof(sequence); ++i)
      nonce[kNonce - sizeof(sequence) + i] ^= sequence[i];
  }
}

size_t RecordKeys::MakeData12(uint8_t type, size_t size, uint8_t* data) const {
  PutUint64(sequence_, data);
  data[8] = type;
  data[9] = 3;
  data[10] = 3;
  data[11] = static_cast<uint8_t>(size >> 8);
  data[12] = static_cast<uint8_t>(size);
  return 13;
}

size_t RecordKeys::Seal(RecordType type, const char* plaintext, size_t size, char* out) {
  auto* const bytes = reinterpret_cast<uint8_t*>(out);
  const auto inner = static_cast<uint8_t>(type);
  const size_t body = explicit_nonce_ + size + (tls13() ? 1 : 0) + kTag;
  bytes[0] = tls13() ? static_cast<uint8_t>(RecordType::kApplicationData) : inner;
  bytes[1] = 3;
  bytes[2] = 3;
  bytes[3] = static_cast<uint8_t>(body >> 8);
  bytes[4] = static_cast<uint8_t>(body);
  uint8_t nonce[kNonce];
  MakeNonce(nonce);
  std::memcpy(bytes + kHeader, nonce + kNonce - explicit_nonce_, explicit_nonce_);
  uint8_t data12[13];
  const uint8_t* data = bytes;
  size_t data_size = kHeader;
  if (!tls13()) {
    data = data12;
    data_size = MakeData12(inner, size, data12);
  }
  uint8_t* const ciphertext = bytes + prefix();
  size_t tag = 0;
  if (sequence_ == UINT64_MAX ||
      !EVP_AEAD_CTX_seal_scatter(aead_.get(), ciphertext, ciphertext + size, &tag, kTag + 1, nonce,
                                 kNonce, reinterpret_cast<const uint8_t*>(plaintext), size, &inner,
                                 tls13() ? 1 : 0, data, data_size)) {
    ERR_clear_error();
    return 0;
  }
  ++sequence_;
  return prefix() + size + tag;
}

size_t RecordKeys::RecordSize(std::string_view bytes) const {
  if (bytes.size() < kHeader) return 0;
  const auto* const header = reinterpret_cast<const uint8_t*>(bytes.data());
  const size_t body = static_cast<size_t>(header[3]) << 8 | header[4];
  const size_t least = explicit_nonce_ + kTag + (tls13() ? 1 : 0);
  const size_t most = kMaxPlaintext + (tls13() ? kMaxExpansion13 : kMaxExpansion12);
  if (header[1] != 3 || header[2] != 3 || body < least || body > most) return 1;
  return kHeader + body;
}

RecordKeys::Opened RecordKeys::Open(char* record, size_t size, char* out, RecordType& type,
                                    size_t& plaintext) {
  auto* const bytes = reinterpret_cast<uint8_t*>(record);
  if (tls13() && bytes[0] != static_cast<uint8_t>(RecordType::kApplicationData))
    return Opened::kBadHeader;
  const size_t room = OpenRoom(size);
  uint8_t nonce[kNonce];
  MakeNonce(nonce);
  // Any that the peer chose.
  if (explicit_nonce_ != 0)
    std::memcpy(nonce + kNonce - explicit_nonce_, bytes + kHeader, explicit_nonce_);
  uint8_t data12[13];
  const uint8_t* data = bytes;
  size_t data_size = kHeader;
  if (!tls13()) {
    data = data12;
    data_size = MakeData12(bytes[0], room, data12);
  }
  const uint8_t* const ciphertext = bytes + prefix();
  auto* const clear = reinterpret_cast<uint8_t*>(out);
  if (sequence_ == UINT64_MAX ||
      !EVP_AEAD_CTX_open_gather(aead_.get(), clear, nonce, kNonce, ciphertext, room,
                                ciphertext + room, kTag, data, data_size)) {
    ERR_clear_error();
    return Opened::kBadMac;
  }
  ++sequence_;
  size_t length = room;
  uint8_t inner = bytes[0];
  if (tls13()) {
    if (room > kMaxPlaintext + 1) return Opened::kTooLarge;
    // The type is the last byte that is not zero; the zeros are padding.
    do {
      if (length == 0) return Opened::kBadHeader;
      inner = clear[--length];
    } while (inner == 0);
  }
  if (length > kMaxPlaintext) return Opened::kTooLarge;
  type = static_cast<RecordType>(inner);
  plaintext = length;
  return Opened::kDone;
}

}  // namespace portico::tls
