// Who the callers known by name are: shared by the filters that identify them.
#ifndef DATAPLANE_FILTERS_CONSUMERS_H_
#define DATAPLANE_FILTERS_CONSUMERS_H_

#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "api/resource/resource.h"
#include "dataplane/base/clock.h"

namespace portico::filters {

// A string_view or a string finds its way without a copy.
struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

// Consumer names and their plans. Immutable.
using ConsumerPlans = std::unordered_map<std::string, std::string, TextHash, std::equal_to<>>;
std::shared_ptr<const ConsumerPlans> MakeConsumerPlans(const api::ResourceSet& resources);

// What an API key opens.
struct KeyOwner {
  std::string consumer;
  std::string plan;
  base::UnixNanos expires_at = std::numeric_limits<base::UnixNanos>::max();
  bool operator==(const KeyOwner&) const = default;
};

// A digest is as good a hash as any: its first bytes serve.
struct DigestHash {
  size_t operator()(const api::Digest& digest) const {
    size_t hash = 0;
    std::memcpy(&hash, digest.data(), sizeof(hash));
    return hash;
  }
};

// SHA-256 of keys and their owners. Immutable.
using KeyOwners = std::unordered_map<api::Digest, KeyOwner, DigestHash>;
// Digests that are not 64 hexadecimal digits are left out; validation excludes them.
std::shared_ptr<const KeyOwners> MakeKeyOwners(const api::ResourceSet& resources);

}  // namespace portico::filters

#endif  // DATAPLANE_FILTERS_CONSUMERS_H_
