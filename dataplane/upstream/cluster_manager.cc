#include "dataplane/upstream/cluster_manager.h"

#include <utility>

namespace portico::upstream {
namespace {

constexpr int64_t kSweepNanos = base::kNanosPerSecond;

}  // namespace

ClusterManager::ClusterManager(ClusterContext context) : context_(context) {
  sweep_.on_fire = &ClusterManager::OnSweep;
  sweep_.context = this;
}

ClusterManager::~ClusterManager() = default;

Cluster& ClusterManager::Get(const std::shared_ptr<const snapshot::UpstreamEntry>& entry,
                             uint64_t revision) {
  const auto known = by_entry_.find(entry.get());
  if (known != by_entry_.end()) return *known->second;

  Slot& slot = by_name_[entry->name];
  if (slot.cluster == nullptr) {
    slot.cluster = std::make_unique<Cluster>(context_, entry);
    if (!sweep_.armed()) context_.loop.timers().Arm(sweep_, context_.loop.now() + kSweepNanos);
  } else if (revision > slot.revision) {
    by_entry_.erase(slot.cluster->entry().get());
    slot.cluster->Update(entry);
  } else {
    return *slot.cluster;  // An exchange that pinned an older revision.
  }
  slot.revision = revision;
  by_entry_[entry.get()] = slot.cluster.get();
  return *slot.cluster;
}

void ClusterManager::Close() {
  context_.loop.timers().Disarm(sweep_);
  for (auto& [name, slot] : by_name_) slot.cluster->Close();
}

size_t ClusterManager::connections() const {
  size_t sum = 0;
  for (const auto& [name, slot] : by_name_) sum += slot.cluster->connections();
  return sum;
}

void ClusterManager::OnSweep(event::Timer& timer) {
  static_cast<ClusterManager*>(timer.context)->Sweep();
}

void ClusterManager::Sweep() {
  const base::MonotonicNanos now = context_.loop.now();
  for (auto it = by_name_.begin(); it != by_name_.end();) {
    Cluster& cluster = *it->second.cluster;
    cluster.CloseIdle(now);
    if (cluster.idle() && cluster.connections() == 0 && now - cluster.last_used() > kForgetNanos) {
      by_entry_.erase(cluster.entry().get());
      by_name_.erase(it++);
    } else {
      ++it;
    }
  }
  if (!by_name_.empty()) context_.loop.timers().Arm(sweep_, now + kSweepNanos);
}

}  // namespace portico::upstream
