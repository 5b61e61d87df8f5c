// Resources as people write them: YAML and JSON.
#ifndef API_RESOURCE_TEXT_H_
#define API_RESOURCE_TEXT_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "api/portico/v1/resource.pb.h"
#include "api/resource/secrets.h"

namespace portico::api {

// Reads any number of YAML documents (JSON is YAML), each one resource or a list
// of resources: {kind, name, labels, description, spec}. Enum values may be
// written without their prefix and in any case ("round_robin"), durations as
// "15s", "100ms", "5m", "1h", bytes in base64. Unknown fields are errors that name the nearest
// known field. `source` names the text in errors ("quickstart.yaml:12: ...").
// Bounds: 64 MiB of text, 200000 resources, nesting 64, no YAML aliases that
// grow the text (alias expansion counts against the bounds).
// Errors: InvalidArgument, all messages joined with newlines.
absl::StatusOr<std::vector<v1::Resource>> ParseResources(std::string_view text,
                                                         std::string_view source);

// One YAML document, starting with "kind:", no "---".
std::string ToYaml(const v1::Resource& resource);
// One JSON object of the same shape, indented by two spaces if `pretty`.
std::string ToJson(const v1::Resource& resource, bool pretty);

}  // namespace portico::api

#endif  // API_RESOURCE_TEXT_H_
