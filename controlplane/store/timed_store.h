// Measures a store.
#ifndef CONTROLPLANE_STORE_TIMED_STORE_H_
#define CONTROLPLANE_STORE_TIMED_STORE_H_

#include "controlplane/model/clock.h"
#include "controlplane/model/metrics.h"
#include "controlplane/store/store.h"

namespace portico::control {

// Passes everything on and observes how long it took, in Metrics::StoreSeconds.
class TimedStore final : public Store {
  // First, because its return type is deduced.
  template <typename Operation>
  auto Timed(const char* name, const Operation& operation) {
    const absl::Time start = clock_.Steady();
    auto result = operation();
    metrics_.StoreSeconds(name).Observe(absl::ToDoubleSeconds(clock_.Steady() - start));
    return result;
  }

 public:
  // All must outlive this.
  TimedStore(Store& store, const Clock& clock, Metrics& metrics)
      : store_(store), clock_(clock), metrics_(metrics) {}

  absl::StatusOr<Revision> Load() override {
    return Timed("load", [&] { return store_.Load(); });
  }
  absl::Status Commit(uint64_t previous, const RevisionInfo& info,
                      const std::vector<Change>& changes) override {
    return Timed("commit", [&] { return store_.Commit(previous, info, changes); });
  }
  absl::StatusOr<Revision> LoadRevision(uint64_t revision) override {
    return Timed("load_revision", [&] { return store_.LoadRevision(revision); });
  }
  absl::StatusOr<std::vector<RevisionInfo>> ListRevisions(uint64_t before, size_t limit) override {
    return Timed("list_revisions", [&] { return store_.ListRevisions(before, limit); });
  }

 private:
  Store& store_;
  const Clock& clock_;
  Metrics& metrics_;
};

}  // namespace portico::control

#endif  // CONTROLPLANE_STORE_TIMED_STORE_H_
