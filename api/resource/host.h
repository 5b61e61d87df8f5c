// Host names as routes are written with.
#ifndef API_RESOURCE_HOST_H_
#define API_RESOURCE_HOST_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace portico::api {

struct HostPattern {
  // "*.example.com": any name with at least one more label in front of `name`.
  bool wildcard = false;
  // In lower case, without "*.". An IPv6 address keeps its brackets: "[::1]".
  std::string name;
  bool operator==(const HostPattern&) const = default;
};

// Reads "api.example.com", "*.example.com", "localhost", "10.0.0.1" or "[::1]". Labels are 1 to 63
// letters, digits, "-" and "_", not starting or ending with "-"; 253 bytes in all. No port, no
// final dot; names in other scripts in their ASCII form ("xn--..."). Errors: InvalidArgument,
// "reason; fix".
absl::StatusOr<HostPattern> ParseHostPattern(std::string_view text);

}  // namespace portico::api

#endif  // API_RESOURCE_HOST_H_
