#include "dataplane/upstream/cluster_manager.h"

#include <algorithm>
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
  const size_t place = entry->metric_id.index;
  if (place < known_.size() && known_[place].entry == entry.get()) return *known_[place].cluster;

  Slot& slot = by_name_[entry->name];
  if (slot.cluster == nullptr) {
    slot.cluster = std::make_unique<Cluster>(context_, entry);
    if (!sweep_.armed()) context_.loop.timers().Arm(sweep_, context_.loop.now() + kSweepNanos);
  } else if (slot.cluster->entry() == entry) {
    revision = std::max(revision, slot.revision);  // Another one had its place in known_.
  } else if (revision > slot.revision) {
    Forget(*slot.cluster);
    slot.cluster->Update(entry);
  } else {
    return *slot.cluster;  // An exchange that pinned an older revision.
  }
  slot.revision = revision;
  if (place >= known_.size()) known_.resize(place + 1);
  known_[place] = {entry.get(), slot.cluster.get()};
  return *slot.cluster;
}

void ClusterManager::Forget(const Cluster& cluster) {
  const size_t place = cluster.entry()->metric_id.index;
  if (place < known_.size() && known_[place].cluster == &cluster) known_[place] = {};
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
      Forget(cluster);
      by_name_.erase(it++);
    } else {
      ++it;
    }
  }
  if (!by_name_.empty()) context_.loop.timers().Arm(sweep_, now + kSweepNanos);
}

}  // namespace portico::upstream
