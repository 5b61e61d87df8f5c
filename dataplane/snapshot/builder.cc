#include <utility>

#include "absl/strings/str_cat.h"
#include "api/validation/validate.h"
#include "dataplane/snapshot/builder_state.h"
#include "dataplane/snapshot/snapshot.h"

namespace portico::snapshot {
namespace {

// Keys whose content differs. Both sets are ordered, so one pass does.
std::set<api::ResourceKey> Changes(const api::ResourceSet& before, const api::ResourceSet& after) {
  std::set<api::ResourceKey> changed;
  auto old_at = before.begin();
  auto new_at = after.begin();
  while (old_at != before.end() || new_at != after.end()) {
    if (new_at == after.end() || (old_at != before.end() && old_at->first < new_at->first)) {
      changed.insert(changed.end(), (old_at++)->first);
    } else if (old_at == before.end() || new_at->first < old_at->first) {
      changed.insert(changed.end(), (new_at++)->first);
    } else {
      if (old_at->second != new_at->second && old_at->second->hash != new_at->second->hash) {
        changed.insert(changed.end(), new_at->first);
      }
      ++old_at;
      ++new_at;
    }
  }
  return changed;
}

}  // namespace

void Retired::Add(std::unique_ptr<const Snapshot> snapshot) {
  const std::lock_guard<std::mutex> lock(mutex_);
  snapshots_.push_back(std::move(snapshot));
}

void Retired::Free() {
  std::vector<std::unique_ptr<const Snapshot>> snapshots;
  const std::lock_guard<std::mutex> lock(mutex_);
  snapshots.swap(snapshots_);
}

struct SnapshotBuilder::State {
  State(PolicyBuilders policy_builders, observe::MetricIds& metric_ids, const base::Clock& wall_clock)
      : builders(std::move(policy_builders)), ids(metric_ids), clock(wall_clock) {}

  // Constant after construction.
  PolicyBuilders builders;
  observe::MetricIds& ids;
  const base::Clock& clock;
  const std::shared_ptr<Retired> retired = std::make_shared<Retired>();

  // Of the last revision that was built; snapshot is nullptr before the first.
  Built built;
  // The policy builders saw resources of a revision that was then refused, so what
  // they say about changes does not refer to `built`.
  bool policies_ahead = false;
};

SnapshotBuilder::SnapshotBuilder(PolicyBuilders builders, observe::MetricIds& ids, const base::Clock& clock)
    : state_(std::make_unique<State>(std::move(builders), ids, clock)) {}

SnapshotBuilder::~SnapshotBuilder() = default;

absl::StatusOr<std::shared_ptr<const Snapshot>> SnapshotBuilder::Build(uint64_t revision,
                                                                       api::ResourceSet resources,
                                                                       std::vector<v1::Violation>& violations) {
  State& state = *state_;
  state.retired->Free();
  static const api::ResourceSet kNothing;
  const Built* const previous = state.built.snapshot == nullptr ? nullptr : &state.built;
  const api::ResourceSet& before = previous == nullptr ? kNothing : previous->snapshot->resources;
  std::set<api::ResourceKey> changed = Changes(before, resources);
  violations = previous == nullptr ? api::Validate(resources) : api::ValidateChange(before, resources, changed);
  const auto refusal = [&] {
    return absl::InvalidArgumentError(absl::StrCat("revision ", revision, " has ", violations.size(),
                                                   " violations; first: ", api::ToString(violations.front())));
  };
  if (!violations.empty()) return refusal();

  auto snapshot = std::make_unique<Snapshot>();
  snapshot->revision = revision;
  snapshot->resources = std::move(resources);
  Built built;
  Compilation compilation(previous, state.builders, state.ids, std::move(changed), state.policies_ahead, violations);
  state.policies_ahead = true;
  if (!compilation.Run(*snapshot, built)) return refusal();
  state.policies_ahead = false;
  snapshot->checksum = api::ChecksumOf(snapshot->resources);
  snapshot->built_at = state.clock.Unix();
  // owned: by the shared pointer, whose deleter puts it into `retired`.
  built.snapshot = std::shared_ptr<const Snapshot>(
      snapshot.release(), [retired = state.retired](const Snapshot* done) {
        retired->Add(std::unique_ptr<const Snapshot>(done));
      });
  state.built = std::move(built);
  return state.built.snapshot;
}

PolicyWorkerStates SnapshotBuilder::MakeWorkerStates() const {
  PolicyWorkerStates states;
  for (const std::unique_ptr<PolicyBuilder>& builder : state_->builders) {
    states[static_cast<size_t>(builder->kind())] = builder->MakeWorkerState();
  }
  return states;
}

void SnapshotBuilder::FreeRetired() { state_->retired->Free(); }

}  // namespace portico::snapshot
