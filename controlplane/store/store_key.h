// The key that a store is encrypted with, in a file of its own.
#ifndef CONTROLPLANE_STORE_STORE_KEY_H_
#define CONTROLPLANE_STORE_STORE_KEY_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace portico::control {

using StoreKey = std::array<uint8_t, 32>;

// The file holds 32 bytes, or 64 hexadecimal digits with or without a newline. With `create` a
// missing one is made from random bytes, mode 0600, and is on the disk before this returns.
// Errors, with the path and what to do: NotFound when it is missing and not to be made;
// FailedPrecondition for another content, or when others than its owner and group may read it;
// Unavailable when it cannot be read or made.
absl::StatusOr<StoreKey> ReadStoreKey(const std::string& path, bool create);

}  // namespace portico::control

#endif  // CONTROLPLANE_STORE_STORE_KEY_H_
