// What must not be seen: private keys and shared secrets inside of resources.
#ifndef API_RESOURCE_SECRETS_H_
#define API_RESOURCE_SECRETS_H_

#include <string_view>

#include "api/portico/v1/resource.pb.h"

namespace portico::api {

// What stands in place of a secret.
inline constexpr std::string_view kRedacted = "(redacted)";

// Replaces every secret (private keys, secrets of session tickets, JWKS with oct keys), for dumps
// and logs.
v1::Resource Redacted(v1::Resource resource);

// Replaces those that nobody has a reason to read back: private keys and secrets of session
// tickets.
void RedactKeys(v1::Resource& resource);

// Whether something in it is kRedacted, as in what was read from a control plane.
bool HasRedacted(const v1::Resource& resource);

// Puts back what `stored`, of the same kind and name, has in its place.
void RestoreRedacted(const v1::Resource& stored, v1::Resource& resource);

}  // namespace portico::api

#endif  // API_RESOURCE_SECRETS_H_
