// Claims of a verified token in one block of memory, so that an exchange can have
// its own copy for the price of a memcpy.
#ifndef DATAPLANE_FILTERS_JWT_CLAIMS_H_
#define DATAPLANE_FILTERS_JWT_CLAIMS_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/arena.h"
#include "dataplane/filters/jwt/flat_json.h"
#include "dataplane/snapshot/policy.h"

namespace portico::filters {

// Where two values have the same path ("a.b" as a name, and "b" inside "a"), the
// one with the shorter way down counts.
std::string PackClaims(const std::vector<FlatValue>& claims);

// The value in a packed block; points into it.
std::optional<std::string_view> FindClaim(std::string_view packed, std::string_view claim);

// A copy of the block that lives in the arena.
const snapshot::ClaimSource* CopyClaims(std::string_view packed, base::Arena& arena);

}  // namespace portico::filters

#endif  // DATAPLANE_FILTERS_JWT_CLAIMS_H_
