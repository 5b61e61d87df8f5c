// One direction of the TLS record layer behind the handshake: RFC 8446 section 5, and RFC 5246
// section 6.2 for the AEAD suites of TLS 1.2.
//
// BoringSSL's own takes memory for each record and copies each byte twice. This one works in the
// buffers of the caller, and needs none of what BoringSSL keeps for a connection.
#ifndef DATAPLANE_TLS_RECORD_H_
#define DATAPLANE_TLS_RECORD_H_

#include <openssl/aead.h>
#include <openssl/ssl.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace portico::tls {

enum class RecordType : uint8_t {
  kChangeCipherSpec = 20,
  kAlert = 21,
  kHandshake = 22,
  kApplicationData = 23,
};

class RecordKeys {
 public:
  static constexpr size_t kMaxPlaintext = 16 * 1024;
  static constexpr size_t kHeader = 5;
  // AES-GCM is safe for 2^24.5 records under one key (RFC 8446 section 5.5).
  static constexpr uint64_t kMaxRecords = uint64_t{1} << 24;

  RecordKeys() = default;
  RecordKeys(const RecordKeys&) = delete;
  RecordKeys& operator=(const RecordKeys&) = delete;
  ~RecordKeys();

  // `sequence`: of the next record. False: BoringSSL refuses.
  bool InitTls13(const SSL_CIPHER* cipher, bssl::Span<const uint8_t> secret, uint64_t sequence);
  // `iv`: 4 bytes with AES-GCM, 12 with ChaCha20-Poly1305 (RFC 5288, RFC 7905).
  bool InitTls12(const SSL_CIPHER* cipher, bssl::Span<const uint8_t> key,
                 bssl::Span<const uint8_t> iv, uint64_t sequence);

  bool tls13() const { return digest_ != nullptr; }
  // The keys after a KeyUpdate (RFC 8446 section 7.2). Only TLS 1.3.
  bool Update();
  // TLS 1.3: it is time for a KeyUpdate of our own.
  bool WornOut() const { return tls13() && sequence_ >= kMaxRecords; }

  // Before the ciphertext of a record.
  size_t prefix() const { return kHeader + explicit_nonce_; }
  // What a record has more than its plaintext.
  size_t overhead() const { return prefix() + kTag + (tls13() ? 1 : 0); }

  // Writes one record to `out`, which has room for it: its size. The plaintext (at most
  // kMaxPlaintext) lies at out + prefix(), or apart from all that is written. 0: BoringSSL refuses.
  size_t Seal(RecordType type, const char* plaintext, size_t size, char* out);

  // Bytes that Open() writes for a record of `size` bytes, header included: a little more than its
  // plaintext.
  size_t OpenRoom(size_t size) const { return size - prefix() - kTag; }
  enum class Opened : uint8_t { kDone, kBadHeader, kBadMac, kTooLarge };
  // A whole record, as RecordSize() told. The plaintext goes to `out`, which has OpenRoom() bytes
  // and is record + prefix() or lies apart.
  Opened Open(char* record, size_t size, char* out, RecordType& type, size_t& plaintext);

  // The size of the record that begins `bytes`: 0 if its header is not whole, 1 if it cannot be
  // one.
  size_t RecordSize(std::string_view bytes) const;

 private:
  static constexpr size_t kTag = 16;
  static constexpr size_t kNonce = 12;
  static constexpr size_t kMaxSecret = 48;

  bool SetKey(bssl::Span<const uint8_t> key);
  // From secret_.
  bool DeriveKeys();
  // The nonce of the next record; with TLS 1.2 also the additional data for `size` bytes.
  void MakeNonce(uint8_t* nonce) const;
  size_t MakeData12(uint8_t type, size_t size, uint8_t* data) const;

  bssl::ScopedEVP_AEAD_CTX aead_;
  const EVP_AEAD* method_ = nullptr;
  const EVP_MD* digest_ = nullptr;  // TLS 1.3
  uint64_t sequence_ = 0;
  uint8_t explicit_nonce_ = 0;
  uint8_t secret_size_ = 0;
  uint8_t iv_[kNonce] = {};
  uint8_t secret_[kMaxSecret] = {};
};

}  // namespace portico::tls

#endif  // DATAPLANE_TLS_RECORD_H_
