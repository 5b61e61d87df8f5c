// The last good revision on disk, to start from without a control plane.
#ifndef DATAPLANE_DISCOVERY_LAST_GOOD_CACHE_H_
#define DATAPLANE_DISCOVERY_LAST_GOOD_CACHE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "api/resource/resource.h"
#include "dataplane/base/clock.h"
#include "dataplane/discovery/cache_file.h"
#include "dataplane/discovery/cache_key.h"

namespace portico::discovery_client {

struct LastGoodCacheOptions {
  // A folder; made (mode 0700) if it does not exist. Required.
  std::string folder = {};
  // Whose revision it is; part of the file's name and of what is authenticated.
  std::string node_id = {};
  CacheKey key{};
  // Least time between two writes; what comes meanwhile replaces what waits, and the
  // last one is always written. Default: 1 s.
  int64_t min_interval_nanos = base::kNanosPerSecond;
};

// One file, replaced atomically by a thread of its own. Thread-safe.
class LastGoodCache {
 public:
  // Errors: InvalidArgument naming the folder and the fix when it cannot be made or
  // written to. `clock` must outlive the cache.
  static absl::StatusOr<std::unique_ptr<LastGoodCache>> Open(LastGoodCacheOptions options,
                                                             const base::Clock& clock);
  // Writes what waits.
  virtual ~LastGoodCache() = default;

  // What is on disk. Errors: NotFound when there is nothing. DataLoss when it cannot
  // be used: the file is then set aside under its name with ".corrupt" behind.
  virtual absl::StatusOr<CachedRevision> Load() = 0;

  // Returns at once; the write follows. Failures are logged, counted, and leave the
  // old file.
  virtual void Store(uint64_t revision, std::shared_ptr<const api::ResourceSet> set) = 0;
  // Returns when what was stored before is on disk, or has failed.
  virtual void Flush() = 0;

  virtual uint64_t writes() const = 0;
  virtual uint64_t failures() const = 0;
  virtual const std::string& path() const = 0;
};

}  // namespace portico::discovery_client

#endif  // DATAPLANE_DISCOVERY_LAST_GOOD_CACHE_H_
