// Where revisions are kept.
#ifndef CONTROLPLANE_STORE_STORE_H_
#define CONTROLPLANE_STORE_STORE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "controlplane/model/revision.h"

namespace portico::control {

// Keeps the current revision and a number of older ones. Thread-safe. What Commit has acknowledged
// survives the end of the process at any point.
//
// Errors of every method: DataLoss when what is stored is damaged, Unavailable when the store
// cannot be used now (full, locked, failing disk). Messages name the store and what to do.
class Store {
 public:
  virtual ~Store() = default;

  // The newest revision; revision 0 with an empty set if there is none.
  virtual absl::StatusOr<Revision> Load() = 0;

  // Adds a revision as one transaction and forgets those that are too old. `changes` lead from the
  // newest stored revision, which is `previous`, to `info`, whose number is higher.
  // Errors: Aborted when the newest stored revision is not `previous`. After any other error the
  // revision may or may not be stored; Load tells.
  virtual absl::Status Commit(uint64_t previous, const RevisionInfo& info,
                              const std::vector<Change>& changes) = 0;

  // Any revision still kept. Errors: NotFound.
  virtual absl::StatusOr<Revision> LoadRevision(uint64_t revision) = 0;

  // Newest first, at most `limit`, only those below `before` unless it is 0.
  virtual absl::StatusOr<std::vector<RevisionInfo>> ListRevisions(uint64_t before,
                                                                  size_t limit) = 0;
};

}  // namespace portico::control

#endif  // CONTROLPLANE_STORE_STORE_H_
