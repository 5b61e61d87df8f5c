// What ties a resource to others: the resources it refers to, and what it claims for itself alone.
#ifndef API_RESOURCE_FACTS_H_
#define API_RESOURCE_FACTS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "api/portico/v1/resource.pb.h"

namespace portico::api {

struct Reference {
  std::string_view kind;  // Of what is referred to.
  std::string name;
  std::string field;  // "spec.upstreams[1].name".
};

// In field order; empty names are left out. Header fields that carry API keys count as references
// to a resource of kind kApiKeyField, which no operator can write.
inline constexpr std::string_view kApiKeyField = "#ApiKeyField";
std::vector<Reference> ReferencesOf(const v1::Resource& resource);

struct Claim {
  std::string value;
  std::string field;
};

// What a gRPC condition says as a path: "/pkg.Service/Method", or as a prefix "/pkg.Service".
std::string GrpcPath(const v1::GrpcMatch& match);

// Two resources with an equal claim value are in each other's way: listeners by address, consumers
// by API key, routes by each host with path, conditions and whether methods are named. For routes
// this is necessary only: listeners and methods decide (api/validation/conflicts.cc). Sorted by
// value.
std::vector<Claim> ClaimsOf(const v1::Resource& resource);

// Bits of a Bloom filter. A resource that has a fact has all bits of it in its own filter.
uint64_t FilterBits(std::string_view fact);
uint64_t FilterBits(std::string_view kind, std::string_view name);
uint64_t ReferenceFilter(const v1::Resource& resource);
uint64_t ClaimFilter(const v1::Resource& resource);

}  // namespace portico::api

#endif  // API_RESOURCE_FACTS_H_
