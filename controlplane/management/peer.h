// Who is calling.
#ifndef CONTROLPLANE_MANAGEMENT_PEER_H_
#define CONTROLPLANE_MANAGEMENT_PEER_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <set>
#include <string>
#include <vector>

namespace portico::control {

// The name in the client's certificate: its first subject alternative name, else its common name.
// Empty without mutual TLS.
std::string PeerName(const grpc::ServerContextBase& context);

// Whose certificates may use the operators' services. With mutual TLS alone, every proxy could.
class Operators {
 public:
  // No names: everybody who may connect.
  explicit Operators(const std::vector<std::string>& names) : names_(names.begin(), names.end()) {}
  // OK, or PERMISSION_DENIED naming the caller.
  grpc::Status Check(const grpc::ServerContextBase& context) const;

 private:
  const std::set<std::string> names_;
};

}  // namespace portico::control

#endif  // CONTROLPLANE_MANAGEMENT_PEER_H_
