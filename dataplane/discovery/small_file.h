// Reading and replacing whole files.
#ifndef DATAPLANE_DISCOVERY_SMALL_FILE_H_
#define DATAPLANE_DISCOVERY_SMALL_FILE_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace portico::discovery_client {

// Errors: NotFound; InvalidArgument for what is no regular file or has more than
// `max_bytes`; what the system says. Messages do not repeat the path.
absl::StatusOr<std::string> ReadWholeFile(const std::string& path, size_t max_bytes);

// After it returns OK, a reader sees the new content, even after a power cut; at
// any time it sees the old or the new one, whole. Mode 0600.
absl::Status WriteFileAtomically(const std::string& path, std::string_view content);

}  // namespace portico::discovery_client

#endif  // DATAPLANE_DISCOVERY_SMALL_FILE_H_
