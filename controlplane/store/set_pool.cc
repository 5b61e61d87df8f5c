#include "controlplane/store/set_pool.h"

#include <utility>

namespace portico::control {

std::shared_ptr<const api::ResourceSet> SetPool::Share(uint64_t revision,
                                                       std::unique_ptr<api::ResourceSet> set) {
  // Weak, because a pool holds sets and not the other way round.
  auto give_back = [pool = weak_from_this(), revision](api::ResourceSet* returned) {
    std::unique_ptr<api::ResourceSet> owned(returned);
    if (const std::shared_ptr<SetPool> alive = pool.lock()) {
      alive->Put({revision, std::move(owned)});
    }
  };
  return std::shared_ptr<const api::ResourceSet>(
      std::shared_ptr<api::ResourceSet>(set.release(), std::move(give_back)));
}

void SetPool::Put(Spare spare) {
  // The loser is destroyed outside of the lock: that can take milliseconds.
  std::optional<Spare> loser = std::move(spare);
  const std::lock_guard lock(mutex_);  // Destroyed before `loser`.
  if (!spare_.has_value() || spare_->revision <= loser->revision) std::swap(spare_, loser);
}

std::optional<SetPool::Spare> SetPool::Take() {
  std::lock_guard lock(mutex_);
  return std::exchange(spare_, std::nullopt);
}

}  // namespace portico::control
