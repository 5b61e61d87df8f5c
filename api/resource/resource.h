// Resources outside of their protobuf clothes: keys, hashes, whole sets.
#ifndef API_RESOURCE_RESOURCE_H_
#define API_RESOURCE_RESOURCE_H_

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "api/portico/v1/resource.pb.h"

namespace portico::api {

// Names one resource. Ordered by kind, then name, in byte order.
struct ResourceKey {
  std::string kind;
  std::string name;
  auto operator<=>(const ResourceKey&) const = default;
};

// "Route/users", as shown to people.
std::string ToString(const ResourceKey& key);

// SHA-256.
using Digest = std::array<uint8_t, 32>;
Digest Sha256(std::string_view bytes);
std::string ToHex(const Digest& digest);

// The kind of a resource as text ("Route"); empty when no spec is set.
std::string_view KindOf(const v1::Resource& resource);
ResourceKey KeyOf(const v1::Resource& resource);

// One resource with its wire form. Immutable, shared between revisions.
struct StoredResource {
  v1::Resource resource;
  std::string content;  // The serialized form that was hashed.
  Digest hash;          // Sha256(content)
  // Bloom filters over what ties it to others (facts.h), with which ValidateChange() passes by
  // nearly everything that a change does not touch. All ones when nobody worked them out.
  uint64_t reference_filter = ~uint64_t{0};
  uint64_t claim_filter = ~uint64_t{0};
};
using StoredResourcePtr = std::shared_ptr<const StoredResource>;

// Serializes deterministically and hashes.
StoredResourcePtr MakeStored(v1::Resource resource);
// From wire or store bytes. Errors: InvalidArgument when they do not parse, or
// hold no spec or another key than `key`.
absl::StatusOr<StoredResourcePtr> ParseStored(const ResourceKey& key, std::string content);

// Every resource of one revision.
using ResourceSet = std::map<ResourceKey, StoredResourcePtr>;

// The checksum of DiscoveryService's Chunk.checksum.
Digest ChecksumOf(const ResourceSet& set);

}  // namespace portico::api

#endif  // API_RESOURCE_RESOURCE_H_
