// The files of a proxy process.
#ifndef DATAPLANE_SERVER_FILES_H_
#define DATAPLANE_SERVER_FILES_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "api/resource/resource.h"

namespace portico::server {

// Reads resources from a YAML or JSON file. Errors: InvalidArgument: the file
// cannot be read (path and errno), is no valid text (every fault with its line), or
// holds a resource twice.
absl::StatusOr<api::ResourceSet> LoadResources(const std::string& path);

// Replaces `path` by a file with this content, never half-written: readers see the
// old or the new one. Errors: Unavailable with path and errno.
absl::Status WriteFileAtomically(const std::string& path, std::string_view content);

}  // namespace portico::server

#endif  // DATAPLANE_SERVER_FILES_H_
