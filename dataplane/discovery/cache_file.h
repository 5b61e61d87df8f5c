// What the cache file holds. No I/O.
#ifndef DATAPLANE_DISCOVERY_CACHE_FILE_H_
#define DATAPLANE_DISCOVERY_CACHE_FILE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "api/resource/resource.h"
#include "dataplane/base/clock.h"
#include "dataplane/discovery/cache_key.h"

namespace portico::discovery_client {

struct CachedRevision {
  uint64_t revision = 0;
  base::UnixNanos saved_at = 0;
  api::ResourceSet resources;
};

// Encrypts with AES-256-GCM under a random nonce; header and node id are
// authenticated with it (docs/last-good-cache.md has the layout).
std::string EncodeCache(uint64_t revision, base::UnixNanos saved_at, const api::ResourceSet& set,
                        std::string_view node_id, const CacheKey& key);

// `bytes` is decrypted in place. Errors: DataLoss, saying whether the file is no
// cache, of another version, cut short, or not made with this key and node id, or
// whether its content is wrong.
absl::StatusOr<CachedRevision> DecodeCache(std::string bytes, std::string_view node_id,
                                           const CacheKey& key);

// The encrypted part alone; for tests.
std::string EncodeResources(const api::ResourceSet& set);
absl::StatusOr<api::ResourceSet> DecodeResources(std::string_view bytes);

}  // namespace portico::discovery_client

#endif  // DATAPLANE_DISCOVERY_CACHE_FILE_H_
