// Durations as people write them and as protobuf carries them.
#ifndef API_RESOURCE_DURATION_H_
#define API_RESOURCE_DURATION_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"

namespace portico::api {

// "15s", "100ms", "5m", "1h", "1h30m", "1.5s". A unit is required, a sign is not accepted. Exact to
// the nanosecond; at most 10000 years, as in protobuf.
// Errors: InvalidArgument, "reason; fix".
absl::StatusOr<google::protobuf::Duration> ParseDuration(std::string_view text);

// The shortest of "1h", "5m", "15s", "100ms", "20us", "7ns" that is a whole number of units.
std::string FormatDuration(const google::protobuf::Duration& duration);

absl::Duration ToAbslDuration(const google::protobuf::Duration& duration);
google::protobuf::Duration FromAbslDuration(absl::Duration duration);

// The field of a message if it is set, else its default:
//   DurationOr(route.has_timeout(), route.timeout(), absl::Seconds(15))
absl::Duration DurationOr(bool has, const google::protobuf::Duration& field,
                          absl::Duration otherwise);

}  // namespace portico::api

#endif  // API_RESOURCE_DURATION_H_
