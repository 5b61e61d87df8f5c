// A store that forgets everything at exit, for tests.
#ifndef CONTROLPLANE_STORE_MEMORY_STORE_H_
#define CONTROLPLANE_STORE_MEMORY_STORE_H_

#include <map>
#include <mutex>

#include "controlplane/store/store.h"

namespace portico::control {

// Behaves as sqlite_store does (store_conformance_test.cc), and fails when told to.
class MemoryStore final : public Store {
 public:
  // Keeps the newest `keep_revisions`, at least 1.
  explicit MemoryStore(size_t keep_revisions = 1000);

  absl::StatusOr<Revision> Load() override;
  absl::Status Commit(uint64_t previous, const RevisionInfo& info,
                      const std::vector<Change>& changes) override;
  absl::StatusOr<Revision> LoadRevision(uint64_t revision) override;
  absl::StatusOr<std::vector<RevisionInfo>> ListRevisions(uint64_t before, size_t limit) override;

  // When a failing Commit fails: before it stored anything, or after, so that the caller hears of
  // an error although the revision is stored.
  enum class Fault { kBeforeStoring, kAfterStoring };
  void FailNextCommit(Fault fault);
  // All reading methods fail while set.
  void FailReads(bool fail);

 private:
  absl::Status CheckReadable() const;

  const size_t keep_revisions_;
  std::mutex mutex_;
  std::map<uint64_t, Revision> revisions_;
  bool fail_before_ = false;
  bool fail_after_ = false;
  bool fail_reads_ = false;
};

}  // namespace portico::control

#endif  // CONTROLPLANE_STORE_MEMORY_STORE_H_
