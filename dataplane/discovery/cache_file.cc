#include "dataplane/discovery/cache_file.h"

#include <openssl/aead.h>
#include <openssl/mem.h>
#include <openssl/rand.h>

#include <array>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace portico::discovery_client {
namespace {

constexpr std::string_view kMagic = "PORTICOC";
constexpr uint32_t kVersion = 1;
constexpr size_t kNonceBytes = 12, kTagBytes = 16;

// Numbers are little-endian.
//   magic 8 | version 4 | revision 8 | saved_at 8 | nonce 12 | sealed: to the end
constexpr size_t kNonceAt = 8 + 4 + 8 + 8;
constexpr size_t kSealedAt = kNonceAt + kNonceBytes;

template <typename Number>
void PutNumber(Number number, std::string& out) {
  for (size_t i = 0; i < sizeof(number); ++i) {
    out += static_cast<char>(static_cast<uint64_t>(number) >> (8 * i));
  }
}

uint64_t GetNumber(std::string_view bytes) {
  uint64_t number = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    number |= uint64_t{static_cast<uint8_t>(bytes[i])} << (8 * i);
  }
  return number;
}

void PutText(std::string_view text, std::string& out) {
  PutNumber(static_cast<uint32_t>(text.size()), out);
  out += text;
}

// Takes a text from the front. False when there is none.
bool TakeText(std::string_view& bytes, std::string_view& text) {
  if (bytes.size() < 4) return false;
  const uint64_t size = GetNumber(bytes.substr(0, 4));
  bytes.remove_prefix(4);
  if (bytes.size() < size) return false;
  text = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return true;
}

absl::Status Lost(std::string_view what) { return absl::DataLossError(std::string(what)); }

// AEAD context of one use.
class Aead {
 public:
  explicit Aead(const CacheKey& key) {
    ok_ = EVP_AEAD_CTX_init(context_.get(), EVP_aead_aes_256_gcm(), key.data(), key.size(),
                            kTagBytes, nullptr) == 1;
  }
  const EVP_AEAD_CTX* get() const { return ok_ ? context_.get() : nullptr; }

 private:
  bssl::ScopedEVP_AEAD_CTX context_;
  bool ok_;
};

uint8_t* Bytes(std::string& text, size_t at) {
  return reinterpret_cast<uint8_t*>(text.data()) + at;
}

// What is authenticated but not encrypted.
std::string Associated(std::string_view file, std::string_view node_id) {
  std::string text(file.substr(0, kNonceAt));
  text += node_id;
  return text;
}

}  // namespace

std::string EncodeResources(const api::ResourceSet& set) {
  size_t size = sizeof(api::Digest) + 4;
  for (const auto& [key, stored] : set) {
    size += 12 + key.kind.size() + key.name.size() + stored->content.size();
  }
  std::string out;
  out.reserve(size);
  PutNumber(static_cast<uint32_t>(set.size()), out);
  for (const auto& [key, stored] : set) {
    PutText(key.kind, out);
    PutText(key.name, out);
    PutText(stored->content, out);
  }
  const api::Digest checksum = api::ChecksumOf(set);
  out.append(reinterpret_cast<const char*>(checksum.data()), checksum.size());
  return out;
}

absl::StatusOr<api::ResourceSet> DecodeResources(std::string_view bytes) {
  if (bytes.size() < 4) return Lost("the content is cut short");
  const uint64_t count = GetNumber(bytes.substr(0, 4));
  bytes.remove_prefix(4);
  api::ResourceSet set;
  for (uint64_t i = 0; i < count; ++i) {
    std::string_view kind, name, content;
    if (!TakeText(bytes, kind) || !TakeText(bytes, name) || !TakeText(bytes, content)) {
      return Lost("the content is cut short");
    }
    api::ResourceKey key{std::string(kind), std::string(name)};
    absl::StatusOr<api::StoredResourcePtr> stored = api::ParseStored(key, std::string(content));
    if (!stored.ok())
      return Lost(absl::StrCat("the content is wrong: ", stored.status().message()));
    // They were written in order; anything else was not written by us.
    if (!set.empty() && !(set.rbegin()->first < key)) return Lost("the content is out of order");
    set.emplace_hint(set.end(), std::move(key), *std::move(stored));
  }
  const api::Digest checksum = api::ChecksumOf(set);
  if (bytes != std::string_view(reinterpret_cast<const char*>(checksum.data()), checksum.size())) {
    return Lost("the checksum of the content is wrong");
  }
  return set;
}

std::string EncodeCache(uint64_t revision, base::UnixNanos saved_at, const api::ResourceSet& set,
                        std::string_view node_id, const CacheKey& key) {
  std::string plain = EncodeResources(set);
  std::string out;
  out.reserve(kSealedAt + plain.size() + kTagBytes);
  out += kMagic;
  PutNumber(kVersion, out);
  PutNumber(revision, out);
  PutNumber(saved_at, out);
  out.resize(kSealedAt + plain.size() + kTagBytes);
  RAND_bytes(Bytes(out, kNonceAt), kNonceBytes);
  const std::string associated = Associated(out, node_id);
  const Aead aead(key);
  size_t sealed = 0;
  if (aead.get() == nullptr ||
      EVP_AEAD_CTX_seal(aead.get(), Bytes(out, kSealedAt), &sealed, out.size() - kSealedAt,
                        Bytes(out, kNonceAt), kNonceBytes, Bytes(plain, 0), plain.size(),
                        reinterpret_cast<const uint8_t*>(associated.data()),
                        associated.size()) != 1) {
    out.clear();  // Decodes as "no cache"; only without memory.
  }
  OPENSSL_cleanse(plain.data(), plain.size());
  return out;
}

absl::StatusOr<CachedRevision> DecodeCache(std::string bytes, std::string_view node_id,
                                           const CacheKey& key) {
  const std::string_view view = bytes;
  if (!view.starts_with(kMagic)) return Lost("it is no cache of the proxy");
  if (view.size() < kSealedAt + kTagBytes) return Lost("it is cut short");
  if (const uint64_t version = GetNumber(view.substr(8, 4)); version != kVersion) {
    return Lost(
        absl::StrCat("it has format version ", version, ", this proxy reads version ", kVersion));
  }
  CachedRevision cached;
  cached.revision = GetNumber(view.substr(12, 8));
  cached.saved_at = static_cast<base::UnixNanos>(GetNumber(view.substr(20, 8)));

  const std::string associated = Associated(view, node_id);
  const Aead aead(key);
  size_t size = 0;
  if (aead.get() == nullptr ||
      EVP_AEAD_CTX_open(
          aead.get(), Bytes(bytes, kSealedAt), &size, bytes.size() - kSealedAt,
          Bytes(bytes, kNonceAt), kNonceBytes, Bytes(bytes, kSealedAt), bytes.size() - kSealedAt,
          reinterpret_cast<const uint8_t*>(associated.data()), associated.size()) != 1) {
    return Lost("it was changed or cut, or made with another key or node id");
  }
  absl::StatusOr<api::ResourceSet> set = DecodeResources(view.substr(kSealedAt, size));
  OPENSSL_cleanse(bytes.data(), bytes.size());
  if (!set.ok()) return set.status();
  cached.resources = *std::move(set);
  return cached;
}

}  // namespace portico::discovery_client
