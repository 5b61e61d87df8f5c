// The key that the last good revision is encrypted with.
#ifndef DATAPLANE_DISCOVERY_CACHE_KEY_H_
#define DATAPLANE_DISCOVERY_CACHE_KEY_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace portico::discovery_client {

using CacheKey = std::array<uint8_t, 32>;

// A key file: 32 bytes, or 64 hexadecimal digits with or without a newline. With
// `create`, a missing file is made from random bytes, mode 0600.
// Errors: InvalidArgument naming the file and the fix; also for a file that others
// than its owner and group may read.
absl::StatusOr<CacheKey> ReadCacheKey(const std::string& path, bool create);

// Derived from the private key that the proxy shows to the control plane (HKDF with
// SHA-256, RFC 5869, over the file's bytes): a new TLS key means a new cache.
// Errors: InvalidArgument when the file cannot be read or is empty.
absl::StatusOr<CacheKey> DeriveCacheKey(const std::string& tls_key_path);

}  // namespace portico::discovery_client

#endif  // DATAPLANE_DISCOVERY_CACHE_KEY_H_
