// The current revision in memory, over a store.
#ifndef CONTROLPLANE_STORE_CATALOG_H_
#define CONTROLPLANE_STORE_CATALOG_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "controlplane/model/metrics.h"
#include "controlplane/model/revision.h"
#include "controlplane/store/set_pool.h"
#include "controlplane/store/store.h"

namespace portico::control {

// Answers "what is current", "what was it at revision N" and "what changed since" without the store
// where it can, and moves the current revision on. Thread-safe; Draft, Abandon and Commit are for
// one writer at a time.
class Catalog {
 public:
  // Changes kept in memory, for deltas and for re-using sets: at most this many revisions, and this
  // many changes and bytes of content in all (but always the newest revision's).
  static constexpr size_t kMaxLogRevisions = 1024;
  static constexpr size_t kMaxLogChanges = 200000;
  static constexpr size_t kMaxLogBytes = 64 << 20;
  // How far above the current revision RaiseFloor may go.
  static constexpr uint64_t kMaxFloorLead = 1'000'000;

  // `store` and `metrics` must outlive the catalog. Errors: those of Store::Load.
  static absl::StatusOr<std::unique_ptr<Catalog>> Open(Store& store, Metrics& metrics);

  RevisionPtr Head() const;

  // The revision itself, from memory if it is the current one or was read lately, else from the
  // store. Revision 0 is the empty set. Errors: NotFound, and those of Store.
  absl::StatusOr<RevisionPtr> At(uint64_t revision);
  absl::StatusOr<std::vector<RevisionInfo>> ListRevisions(uint64_t before, size_t limit);

  // What leads from one revision to a later one; nothing if memory does not reach back to `from`.
  std::optional<std::vector<Change>> ChangesBetween(uint64_t from, uint64_t to) const;
  // The newest revision in memory whose set has this checksum.
  std::optional<uint64_t> FindByChecksum(const api::Digest& checksum) const;

  // The number the next revision gets: one more than the current one, or more after RaiseFloor.
  uint64_t NextRevision() const;
  // A proxy has `revision`, which is above the current one: the store was restored from an older
  // copy. Later revisions get numbers above it. False, with no effect, when it is further above the
  // current one than kMaxFloorLead.
  bool RaiseFloor(uint64_t revision);

  // Makes sure that the current revision is the store's after a commit that failed halfway. Errors:
  // those of Store.
  absl::Status Refresh();
  // The current set with `changes` applied, at the cost of `changes` where a set can be re-used.
  std::unique_ptr<api::ResourceSet> Draft(const std::vector<Change>& changes);
  // Takes back a draft that will not be committed.
  void Abandon(std::unique_ptr<api::ResourceSet> draft, const std::vector<Change>& changes);
  // Stores the draft and makes it the current revision. Errors: those of Store::Commit; the current
  // revision is what it was unless the store turns out to have taken the new one.
  absl::Status Commit(const RevisionInfo& info, std::vector<Change> changes,
                      std::unique_ptr<api::ResourceSet> draft);

  // `listener` is called after every change of the current revision, on the writer's thread,
  // without locks held. Call before any Commit.
  void AddListener(std::function<void(const RevisionPtr&)> listener);

 private:
  struct LogEntry {
    uint64_t previous;
    RevisionInfo info;
    std::shared_ptr<const std::vector<Change>> changes;
    size_t bytes;  // Of the content before and after.
  };

  Catalog(Store& store, Metrics& metrics) : store_(store), metrics_(metrics) {}
  void SetHead(RevisionPtr head);
  void Append(LogEntry entry);
  void ForgetLog();
  void Announce();

  Store& store_;
  Metrics& metrics_;
  const std::shared_ptr<SetPool> pool_ = std::make_shared<SetPool>();
  std::vector<std::function<void(const RevisionPtr&)>> listeners_;
  bool uncertain_ = false;  // The writer's: whether the store may be ahead of head_.

  mutable std::mutex mutex_;  // Guards all below.
  RevisionPtr head_;
  uint64_t floor_ = 0;
  std::deque<LogEntry> log_;
  size_t log_changes_ = 0;
  size_t log_bytes_ = 0;
  std::map<api::Digest, uint64_t> by_checksum_;
  std::deque<RevisionPtr> recent_;  // Read from the store lately, newest use first.
};

}  // namespace portico::control

#endif  // CONTROLPLANE_STORE_CATALOG_H_
