#include "controlplane/management/peer.h"

#include <grpcpp/security/auth_context.h>

#include <memory>
#include <vector>

namespace portico::control {

std::string PeerName(const grpc::ServerContextBase& context) {
  const std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  if (auth == nullptr || !auth->IsPeerAuthenticated()) return "";
  for (const char* property : {"x509_subject_alternative_name", "x509_common_name"}) {
    const std::vector<grpc::string_ref> values = auth->FindPropertyValues(property);
    if (!values.empty()) return std::string(values.front().data(), values.front().size());
  }
  return "";
}

grpc::Status Operators::Check(const grpc::ServerContextBase& context) const {
  if (names_.empty()) return grpc::Status::OK;
  const std::string name = PeerName(context);
  if (names_.contains(name)) return grpc::Status::OK;
  return grpc::Status(
      grpc::StatusCode::PERMISSION_DENIED,
      "the certificate's name \"" + name + "\" is not among --operators of the control plane");
}

}  // namespace portico::control
