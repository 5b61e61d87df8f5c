// Why an Apply was refused, on its way to the caller.
#ifndef CONTROLPLANE_MANAGEMENT_APPLY_ERROR_H_
#define CONTROLPLANE_MANAGEMENT_APPLY_ERROR_H_

#include <grpcpp/support/status.h>

#include <cstddef>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "api/portico/v1/resource.pb.h"

namespace portico::control {

// A client that can take more than this of status message and details together says so in the
// request metadata kDetailBytesKey, as a decimal number up to kMaxDetailBytes. The default fits the
// 8 KiB of trailing metadata that gRPC clients accept by default.
inline constexpr size_t kDefaultDetailBytes = 6000;
inline constexpr size_t kMaxDetailBytes = 4 << 20;
inline constexpr char kDetailBytesKey[] = "portico-detail-bytes";

// InvalidArgument that carries the violations as a payload. Not for an empty list.
absl::Status ViolationsError(const std::vector<v1::Violation>& violations);

// The gRPC form: for a status with violations, the message lists the first of them in readable form
// and the details hold an ApplyError (status_details.proto), both cut to fit `max_bytes`; the
// message always says how many violations there are.
grpc::Status ToGrpcWithDetails(const absl::Status& status, size_t max_bytes = kDefaultDetailBytes);

// The value of kDetailBytesKey as a number within the bounds; the default if there is none.
size_t DetailBytes(std::string_view metadata);

}  // namespace portico::control

#endif  // CONTROLPLANE_MANAGEMENT_APPLY_ERROR_H_
