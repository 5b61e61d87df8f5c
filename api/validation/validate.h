// Decides whether a set of resources may be served. Pure: no I/O, no clock.
#ifndef API_VALIDATION_VALIDATE_H_
#define API_VALIDATION_VALIDATE_H_

#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "api/portico/v1/resource.pb.h"
#include "api/resource/resource.h"

namespace portico::api {

// Every violation of the whole set, in (kind, name, field) order; empty when it
// may be served.
std::vector<v1::Violation> Validate(const ResourceSet& set);

// What a call of ValidateChange() had to do.
struct ChangeCost {
  size_t passes = 0;    // Over all entries, reading one word of each.
  size_t examined = 0;  // Resources that were looked into beyond that word.
};

// The same answer as Validate(after) for a set of which Validate(before) was
// empty and `changed` names every key that differs, at a cost that grows with
// `changed` and with what refers to it, not with the size of the set (apart from
// cheap passes over keys).
std::vector<v1::Violation> ValidateChange(const ResourceSet& before, const ResourceSet& after,
                                          const std::set<ResourceKey>& changed,
                                          ChangeCost* cost = nullptr);

// What is hardly meant in a resource that is accepted: a certificate that has expired, or is not
// valid yet. A set that was good once stays acceptable, so that a rollback is never refused for it.
std::vector<v1::Violation> WarningsAbout(const v1::Resource& resource, absl::Time now);

// "Route/users spec.match.path.regex: \"(\": missing ) -- close the group"
std::string ToString(const v1::Violation& violation);

}  // namespace portico::api

#endif  // API_VALIDATION_VALIDATE_H_
