// ConfigService: how operators change and read the configuration.
#ifndef CONTROLPLANE_MANAGEMENT_CONFIG_SERVICE_H_
#define CONTROLPLANE_MANAGEMENT_CONFIG_SERVICE_H_

#include <cstddef>

#include "api/portico/v1/config_service.grpc.pb.h"
#include "controlplane/management/peer.h"
#include "controlplane/management/writer.h"
#include "controlplane/store/catalog.h"

namespace portico::control {

// Content in one answer of List, and in the changes of one answer of Apply or Rollback, so that it
// fits into the 4 MiB that gRPC clients accept by default. List ends the page early; changes beyond
// it have key and operation only.
inline constexpr size_t kMaxAnswerBytes = 3 << 20;
// The same for Diff, whose point is the content: a client that compares large revisions raises its
// limit.
inline constexpr size_t kMaxDiffBytes = 32 << 20;

// Synchronous: gRPC runs it on threads of its own, apart from those of the discovery streams.
// Thread-safe.
class ConfigServiceImpl final : public v1::ConfigService::Service {
 public:
  // All must outlive the service.
  ConfigServiceImpl(Catalog& catalog, Writer& writer, const Operators& operators)
      : catalog_(catalog), writer_(writer), operators_(operators) {}

  grpc::Status Apply(grpc::ServerContext* context, const v1::ApplyRequest* request,
                     v1::ApplyResponse* response) override;
  grpc::Status Get(grpc::ServerContext* context, const v1::GetRequest* request,
                   v1::GetResponse* response) override;
  grpc::Status List(grpc::ServerContext* context, const v1::ListRequest* request,
                    v1::ListResponse* response) override;
  grpc::Status Diff(grpc::ServerContext* context, const v1::DiffRequest* request,
                    v1::DiffResponse* response) override;
  grpc::Status ListRevisions(grpc::ServerContext* context, const v1::ListRevisionsRequest* request,
                             v1::ListRevisionsResponse* response) override;
  grpc::Status Rollback(grpc::ServerContext* context, const v1::RollbackRequest* request,
                        v1::ApplyResponse* response) override;

 private:
  // 0 means the current one.
  absl::StatusOr<RevisionPtr> RevisionOf(uint64_t number);

  Catalog& catalog_;
  Writer& writer_;
  const Operators& operators_;
};

}  // namespace portico::control

#endif  // CONTROLPLANE_MANAGEMENT_CONFIG_SERVICE_H_
