// Who may connect.
#ifndef CONTROLPLANE_CREDENTIALS_H_
#define CONTROLPLANE_CREDENTIALS_H_

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "absl/status/statusor.h"
#include "controlplane/options.h"

namespace portico::control {

// Mutual TLS, in which every client needs a certificate that --client-ca vouches for, or plaintext
// with
// --insecure. Certificates and keys are read again within a minute when their files change.
// REQUIRES: CheckOptions(options).ok(). Errors: InvalidArgument when the files do not fit together.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeCredentials(const Options& options);

}  // namespace portico::control

#endif  // CONTROLPLANE_CREDENTIALS_H_
