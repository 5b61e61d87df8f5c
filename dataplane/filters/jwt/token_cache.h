// Tokens that one worker has verified already.
#ifndef DATAPLANE_FILTERS_JWT_TOKEN_CACHE_H_
#define DATAPLANE_FILTERS_JWT_TOKEN_CACHE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/resource/resource.h"
#include "dataplane/base/sip_hash.h"
#include "dataplane/filters/jwt/provider.h"
#include "dataplane/snapshot/policy.h"

namespace portico::filters {

// Bounded in bytes. A hit compares the whole token and the provider's fingerprint,
// so hash collisions cannot mix tokens up; it neither allocates nor locks. A
// provider whose fingerprint changes finds none of its tokens; they are pushed
// out by newer ones. Sets of eight ways, the least recently used one goes. Owned
// by one worker.
class TokenCache final : public snapshot::PolicyWorkerState {
 public:
  explicit TokenCache(size_t max_bytes);

  // nullptr if absent. Valid until the next Insert() or Erase().
  const VerifiedToken* Find(const api::Digest& fingerprint, std::string_view token);
  void Insert(const api::Digest& fingerprint, std::string_view token, VerifiedToken verified);
  void Erase(const api::Digest& fingerprint, std::string_view token);

  size_t bytes() const { return bytes_; }
  size_t entries() const { return entries_; }
  uint64_t hits() const { return hits_; }
  uint64_t misses() const { return misses_; }

 private:
  static constexpr size_t kWays = 8;
  struct Entry {
    api::Digest fingerprint;
    std::string token;
    VerifiedToken verified;
    size_t bytes() const;
  };
  struct Way {
    uint32_t tag = 0;
    uint32_t used = 0;
    std::unique_ptr<Entry> entry;
  };
  using Set = std::array<Way, kWays>;

  uint64_t HashOf(std::string_view token) const;
  Way* FindWay(const api::Digest& fingerprint, std::string_view token);
  void Drop(Way& way);
  // Drops the least recently used entry of the next set that has any.
  void Shrink();

  const size_t max_bytes_;
  base::TableHash::Secret secret_;  // Of the hash; random.
  std::vector<Set> sets_;
  size_t hand_ = 0;
  size_t bytes_ = 0, entries_ = 0;
  uint32_t clock_ = 0;
  uint64_t hits_ = 0, misses_ = 0;
};

}  // namespace portico::filters

#endif  // DATAPLANE_FILTERS_JWT_TOKEN_CACHE_H_
