#include "controlplane/store/catalog.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controlplane/model/log.h"

namespace portico::control {
namespace {

// Older revisions kept in memory after somebody read them, so that paging through one is cheap.
constexpr size_t kMaxRecent = 2;

RevisionPtr Share(Revision revision) {
  return std::make_shared<const Revision>(std::move(revision));
}

size_t BytesOf(const std::vector<Change>& changes) {
  size_t bytes = 0;
  for (const Change& change : changes) {
    bytes += change.before == nullptr ? 0 : change.before->content.size();
    bytes += change.after == nullptr ? 0 : change.after->content.size();
  }
  return bytes;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Catalog>> Catalog::Open(Store& store, Metrics& metrics) {
  std::unique_ptr<Catalog> catalog(
      new Catalog(store, metrics));  // owned: the constructor is private.
  absl::StatusOr<Revision> head = store.Load();
  if (!head.ok()) return head.status();
  catalog->SetHead(Share(*std::move(head)));
  return catalog;
}

RevisionPtr Catalog::Head() const {
  std::lock_guard lock(mutex_);
  return head_;
}

void Catalog::SetHead(RevisionPtr head) {
  metrics_.revision.Set(static_cast<double>(head->info.revision));
  metrics_.resources.Set(static_cast<double>(head->set->size()));
  std::lock_guard lock(mutex_);
  by_checksum_[head->info.checksum] = head->info.revision;
  head_.swap(head);
}

absl::StatusOr<RevisionPtr> Catalog::At(uint64_t revision) {
  {
    std::lock_guard lock(mutex_);
    if (head_->info.revision == revision) return head_;
    for (size_t i = 0; i < recent_.size(); ++i) {
      if (recent_[i]->info.revision != revision) continue;
      std::rotate(recent_.begin(), recent_.begin() + static_cast<ptrdiff_t>(i),
                  recent_.begin() + static_cast<ptrdiff_t>(i) + 1);
      return recent_.front();
    }
  }
  if (revision == 0) return Share({RevisionInfo{}, std::make_shared<const api::ResourceSet>()});
  absl::StatusOr<Revision> loaded = store_.LoadRevision(revision);
  if (!loaded.ok()) return loaded.status();
  RevisionPtr shared = Share(*std::move(loaded));
  RevisionPtr dropped;
  std::lock_guard lock(mutex_);
  recent_.push_front(shared);
  if (recent_.size() > kMaxRecent) {
    dropped = std::move(recent_.back());
    recent_.pop_back();
  }
  return shared;
}

absl::StatusOr<std::vector<RevisionInfo>> Catalog::ListRevisions(uint64_t before, size_t limit) {
  return store_.ListRevisions(before, limit);
}

std::optional<std::vector<Change>> Catalog::ChangesBetween(uint64_t from, uint64_t to) const {
  std::vector<std::shared_ptr<const std::vector<Change>>> lists;
  {
    std::lock_guard lock(mutex_);
    if (from == to) return std::vector<Change>{};
    const auto by_revision = [](const LogEntry& entry, uint64_t revision) {
      return entry.info.revision < revision;
    };
    auto entry = std::lower_bound(log_.begin(), log_.end(), from + 1, by_revision);
    if (entry == log_.end() || entry->previous != from) return std::nullopt;
    for (; entry != log_.end() && entry->info.revision <= to; ++entry) {
      lists.push_back(entry->changes);
      if (entry->info.revision == to) break;
    }
    if (entry == log_.end() || entry->info.revision != to) return std::nullopt;
  }
  return Merge(lists);
}

std::optional<uint64_t> Catalog::FindByChecksum(const api::Digest& checksum) const {
  std::lock_guard lock(mutex_);
  const auto found = by_checksum_.find(checksum);
  if (found == by_checksum_.end()) return std::nullopt;
  return found->second;
}

uint64_t Catalog::NextRevision() const {
  std::lock_guard lock(mutex_);
  return std::max(head_->info.revision, floor_) + 1;
}

bool Catalog::RaiseFloor(uint64_t revision) {
  std::lock_guard lock(mutex_);
  if (revision > head_->info.revision + kMaxFloorLead) return false;
  floor_ = std::max(floor_, revision);
  return true;
}

absl::Status Catalog::Refresh() {
  if (!uncertain_) return absl::OkStatus();
  absl::StatusOr<Revision> stored = store_.Load();
  if (!stored.ok()) return stored.status();
  uncertain_ = false;
  if (stored->info == Head()->info) return absl::OkStatus();
  LogWarning("store", "revision ", stored->info.revision, " was stored although its commit failed");
  ForgetLog();
  SetHead(Share(*std::move(stored)));
  Announce();
  return absl::OkStatus();
}

std::unique_ptr<api::ResourceSet> Catalog::Draft(const std::vector<Change>& changes) {
  const RevisionPtr head = Head();
  std::unique_ptr<api::ResourceSet> set;
  if (std::optional<SetPool::Spare> spare = pool_->Take()) {
    if (auto missed = ChangesBetween(spare->revision, head->info.revision)) {
      set = std::move(spare->set);
      ApplyTo(*missed, *set);
    }
  }
  if (set == nullptr) set = std::make_unique<api::ResourceSet>(*head->set);
  ApplyTo(changes, *set);
  return set;
}

void Catalog::Abandon(std::unique_ptr<api::ResourceSet> draft, const std::vector<Change>& changes) {
  RevertOn(changes, *draft);
  pool_->Put({Head()->info.revision, std::move(draft)});
}

absl::Status Catalog::Commit(const RevisionInfo& info, std::vector<Change> changes,
                             std::unique_ptr<api::ResourceSet> draft) {
  const uint64_t previous = Head()->info.revision;
  if (absl::Status status = store_.Commit(previous, info, changes); !status.ok()) {
    LogError("store", "commit of revision ", info.revision, " failed: ", status.message());
    uncertain_ = true;
    return status;
  }
  const size_t bytes = BytesOf(changes);
  Append({previous, info, std::make_shared<const std::vector<Change>>(std::move(changes)), bytes});
  SetHead(Share({info, pool_->Share(info.revision, std::move(draft))}));
  Announce();
  return absl::OkStatus();
}

void Catalog::Append(LogEntry entry) {
  std::vector<LogEntry> dropped;  // Destroyed outside of the lock.
  std::lock_guard lock(mutex_);
  log_changes_ += entry.changes->size();
  log_bytes_ += entry.bytes;
  log_.push_back(std::move(entry));
  const auto too_much = [this] {
    return log_.size() > kMaxLogRevisions || log_changes_ > kMaxLogChanges ||
           log_bytes_ > kMaxLogBytes;
  };
  while (log_.size() > 1 && too_much()) {
    LogEntry& oldest = log_.front();
    log_changes_ -= oldest.changes->size();
    log_bytes_ -= oldest.bytes;
    // `previous` is what ChangesBetween can no longer start from.
    std::erase_if(by_checksum_, [&](const auto& e) { return e.second <= oldest.previous; });
    dropped.push_back(std::move(oldest));
    log_.pop_front();
  }
}

void Catalog::ForgetLog() {
  std::lock_guard lock(mutex_);
  log_.clear();
  log_changes_ = 0;
  log_bytes_ = 0;
  by_checksum_.clear();
}

void Catalog::Announce() {
  const RevisionPtr head = Head();
  for (const auto& listener : listeners_) listener(head);
}

void Catalog::AddListener(std::function<void(const RevisionPtr&)> listener) {
  listeners_.push_back(std::move(listener));
}

}  // namespace portico::control
