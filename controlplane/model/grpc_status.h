// Statuses on their way into gRPC.
#ifndef CONTROLPLANE_MODEL_GRPC_STATUS_H_
#define CONTROLPLANE_MODEL_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"

namespace portico::control {

// The codes are the same by definition.
inline grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

}  // namespace portico::control

#endif  // CONTROLPLANE_MODEL_GRPC_STATUS_H_
