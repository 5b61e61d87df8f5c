#include "dataplane/discovery/cache_key.h"

#include <fcntl.h>
#include <openssl/digest.h>
#include <openssl/hkdf.h>
#include <openssl/mem.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "dataplane/discovery/small_file.h"

namespace portico::discovery_client {
namespace {

constexpr size_t kMaxKeyFileBytes = 64 * 1024;

absl::Status Invalid(const std::string& path, std::string_view problem) {
  return absl::InvalidArgumentError(
      absl::StrCat("cache key file \"", path, "\" ", std::string(problem)));
}

absl::Status Create(const std::string& path) {
  CacheKey key;
  RAND_bytes(key.data(), key.size());
  const std::string text(reinterpret_cast<const char*>(key.data()), key.size());
  return WriteFileAtomically(path, text);
}

}  // namespace

absl::StatusOr<CacheKey> ReadCacheKey(const std::string& path, bool create) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) {
    if (errno != ENOENT || !create) {
      return Invalid(path, absl::StrCat(errno == ENOENT ? "does not exist" : "cannot be read",
                                        ": give a file of 32 random bytes, for example from "
                                        "`head -c 32 /dev/urandom`"));
    }
    if (absl::Status created = Create(path); !created.ok()) {
      return Invalid(path, absl::StrCat("cannot be created: ", created.message()));
    }
  } else if ((status.st_mode & S_IRWXO) != 0) {
    return Invalid(path, "may be read by everybody: chmod 600 it, and make a new key");
  }
  absl::StatusOr<std::string> text = ReadWholeFile(path, kMaxKeyFileBytes);
  if (!text.ok()) return Invalid(path, absl::StrCat("cannot be read: ", text.status().message()));
  CacheKey key;
  if (text->size() == key.size()) {
    std::copy(text->begin(), text->end(), reinterpret_cast<char*>(key.data()));
    OPENSSL_cleanse(text->data(), text->size());
    return key;
  }
  const absl::string_view hex = absl::StripAsciiWhitespace(*text);
  const bool is_hex =
      hex.size() == 2 * key.size() && std::all_of(hex.begin(), hex.end(), [](char c) {
        return absl::ascii_isxdigit(static_cast<unsigned char>(c));
      });
  if (!is_hex) {
    return Invalid(path, absl::StrCat("holds ", text->size(),
                                      " bytes: it must hold 32 random bytes or 64 hexadecimal "
                                      "digits"));
  }
  const std::string bytes = absl::HexStringToBytes(hex);
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(key.data()));
  return key;
}

absl::StatusOr<CacheKey> DeriveCacheKey(const std::string& tls_key_path) {
  absl::StatusOr<std::string> text = ReadWholeFile(tls_key_path, kMaxKeyFileBytes);
  if (!text.ok() || text->empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "key file \"", tls_key_path,
        "\" cannot be read or is empty: the cache's key is derived from it; give a PEM "
        "file, or a cache key file"));
  }
  constexpr std::string_view kSalt = "portico last good revision";
  constexpr std::string_view kInfo = "aes-256-gcm key, version 1";
  CacheKey key;
  HKDF(key.data(), key.size(), EVP_sha256(), reinterpret_cast<const uint8_t*>(text->data()),
       text->size(), reinterpret_cast<const uint8_t*>(kSalt.data()), kSalt.size(),
       reinterpret_cast<const uint8_t*>(kInfo.data()), kInfo.size());
  OPENSSL_cleanse(text->data(), text->size());
  return key;
}

}  // namespace portico::discovery_client
