// Who is calling.
#ifndef CONTROLPLANE_MANAGEMENT_PEER_H_
#define CONTROLPLANE_MANAGEMENT_PEER_H_

#include <grpcpp/server_context.h>

#include <string>

namespace portico::control {

// The name in the client's certificate: its first subject alternative name, else its common name.
// Empty without mutual TLS.
std::string PeerName(const grpc::ServerContextBase& context);

}  // namespace portico::control

#endif  // CONTROLPLANE_MANAGEMENT_PEER_H_
