// How the configuration changes: check, compare, store.
#ifndef CONTROLPLANE_MANAGEMENT_WRITER_H_
#define CONTROLPLANE_MANAGEMENT_WRITER_H_

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "api/portico/v1/config_service.pb.h"
#include "controlplane/model/clock.h"
#include "controlplane/model/metrics.h"
#include "controlplane/model/revision.h"
#include "controlplane/store/catalog.h"

namespace portico::control {

// Bounds of one Apply.
inline constexpr int kMaxUpserts = 200'000;
inline constexpr size_t kMaxMessageBytes = 1024;
inline constexpr size_t kMaxAuthorBytes = 256;
// Of one resource as serialized: it must fit into one chunk on its way to a proxy.
inline constexpr size_t kMaxResourceBytes = 3 << 20;

// The one writer: calls from any number of threads take turns. Errors: InvalidArgument with the
// violations (apply_error.h), FailedPrecondition when `expected_revision` is not the current one,
// NotFound for an unknown revision, ResourceExhausted above the bounds, and those of Store. After
// an error nothing has changed.
class Writer {
 public:
  struct Outcome {
    uint64_t revision = 0;
    std::vector<Change> changes;  // In key order.
    // What is accepted, but is hardly meant.
    std::vector<v1::Violation> warnings = {};
  };
  // Who makes the revisions that no operator asked for.
  static constexpr char kOwnAuthor[] = "control plane";

  // All must outlive the writer.
  Writer(Catalog& catalog, const Clock& clock, Metrics& metrics);

  // `peer` is the name from the client's certificate. Secrets that are "(redacted)" are those that
  // the resource has now. SessionTicketKeys are the control plane's own and refused.
  absl::StatusOr<Outcome> Apply(const v1::ApplyRequest& request, const std::string& peer);
  // Leaves SessionTicketKeys as they are.
  absl::StatusOr<Outcome> Rollback(const v1::RollbackRequest& request, const std::string& peer);
  // Creates or replaces a resource on behalf of the control plane itself.
  absl::StatusOr<Outcome> PutOwn(v1::Resource resource, std::string message);

 private:
  struct Intent {
    bool dry_run;
    RevisionInfo info;  // Author, message and peer.
  };

  absl::StatusOr<Outcome> ApplyCounted(const v1::ApplyRequest& request, const std::string& peer);
  absl::StatusOr<Outcome> RollbackCounted(const v1::RollbackRequest& request,
                                          const std::string& peer);
  absl::StatusOr<Outcome> Propose(std::vector<Change> changes, Intent intent);
  std::vector<v1::Violation> Check(const api::ResourceSet& before, const api::ResourceSet& after,
                                   const std::vector<Change>& changes);
  std::vector<v1::Violation> WarningsAbout(const std::vector<Change>& changes) const;
  void CountResult(const absl::StatusOr<Outcome>& outcome, bool dry_run);

  Catalog& catalog_;
  const Clock& clock_;
  Metrics& metrics_;

  std::mutex mutex_;  // Held from reading the current revision to replacing it.
  // Whether the current set passes validation. A newer version's rules may refuse an older one's
  // set; then only a change that makes everything valid is accepted.
  bool current_is_valid_;
};

}  // namespace portico::control

#endif  // CONTROLPLANE_MANAGEMENT_WRITER_H_
