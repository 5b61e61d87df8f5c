// An operator of a control plane under test.
#ifndef TESTS_INTEGRATION_CONTROL_PLANE_OPERATOR_H_
#define TESTS_INTEGRATION_CONTROL_PLANE_OPERATOR_H_

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/portico/v1/config_service.grpc.pb.h"
#include "api/portico/v1/fleet_service.grpc.pb.h"

namespace portico::testing {

class Operator {
 public:
  explicit Operator(const std::shared_ptr<grpc::Channel>& channel)
      : config(v1::ConfigService::NewStub(channel)), fleet(v1::FleetService::NewStub(channel)) {}

  // The revision; 0 on an error, which `status` then holds.
  uint64_t Apply(const std::vector<v1::Resource>& upserts,
                 const std::vector<std::pair<std::string, std::string>>& deletions = {},
                 const std::string& author = "") {
    v1::ApplyRequest request;
    for (const v1::Resource& resource : upserts) *request.add_upserts() = resource;
    for (const auto& [kind, name] : deletions) {
      v1::ResourceKey& key = *request.add_deletions();
      key.set_kind(kind);
      key.set_name(name);
    }
    request.set_author(author);
    return Apply(request);
  }
  uint64_t Apply(const v1::ApplyRequest& request) {
    grpc::ClientContext context;
    v1::ApplyResponse response;
    status = config->Apply(&context, request, &response);
    return status.ok() ? response.revision() : 0;
  }

  v1::ListProxiesResponse Proxies() {
    grpc::ClientContext context;
    v1::ListProxiesResponse response;
    status = fleet->ListProxies(&context, {}, &response);
    return response;
  }

  // Follows a rollout to its end.
  v1::RolloutStatus Watch(uint64_t revision, uint32_t min_proxies = 0) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    v1::WatchRolloutRequest request;
    request.set_revision(revision);
    request.set_min_proxies(min_proxies);
    const auto reader = fleet->WatchRollout(&context, request);
    v1::RolloutStatus last;
    while (reader->Read(&last)) {
    }
    status = reader->Finish();
    return last;
  }

  const std::unique_ptr<v1::ConfigService::Stub> config;
  const std::unique_ptr<v1::FleetService::Stub> fleet;
  grpc::Status status;
};

}  // namespace portico::testing

#endif  // TESTS_INTEGRATION_CONTROL_PLANE_OPERATOR_H_
