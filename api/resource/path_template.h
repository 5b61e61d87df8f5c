// The paths that routes are written with: canonical form and templates.
#ifndef API_RESOURCE_PATH_TEMPLATE_H_
#define API_RESOURCE_PATH_TEMPLATE_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace portico::api {

struct TemplateSegment {
  enum class Kind {
    kLiteral,   // `text` is the segment itself.
    kVariable,  // {name}: one segment that is not empty. `text` is the name.
    kRest,      // {name=**}: what is left, may be empty; last. `text` is the name.
  };
  Kind kind = Kind::kLiteral;
  std::string text;
  bool operator==(const TemplateSegment&) const = default;
};

// Splits "/users/{id}/files/{rest=**}" into its segments, those between slashes: users, {id},
// files, {rest=**}. "/users/{rest=**}" matches "/users", "/users/" and "/users/a/b". A template has
// at least one variable, at most 64 segments and 1024 bytes; names are letters, digits and "_",
// starting with a letter, and are unique. Errors: InvalidArgument, "reason; fix".
absl::StatusOr<std::vector<TemplateSegment>> ParsePathTemplate(std::string_view text);

// Whether a path in an exact or prefix match can ever equal a canonical request path: starts with
// "/", holds no "?", "#", space, control or non-ASCII byte, no dot segments, no malformed
// percent-encoding, and no percent-encoded unreserved character (RFC 3986 section 6.2.2.2);
// hexadecimal digits are upper case. At most 1024 bytes. Errors: InvalidArgument, "reason; fix".
absl::Status CheckCanonicalPath(std::string_view path);

}  // namespace portico::api

#endif  // API_RESOURCE_PATH_TEMPLATE_H_
