#include "controlplane/store/memory_store.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"

namespace portico::control {

MemoryStore::MemoryStore(size_t keep_revisions)
    : keep_revisions_(std::max<size_t>(1, keep_revisions)) {}

absl::Status MemoryStore::CheckReadable() const {
  return fail_reads_ ? absl::UnavailableError("memory store: told to fail") : absl::OkStatus();
}

absl::StatusOr<Revision> MemoryStore::Load() {
  std::lock_guard lock(mutex_);
  if (absl::Status status = CheckReadable(); !status.ok()) return status;
  if (revisions_.empty()) {
    return Revision{RevisionInfo{}, std::make_shared<const api::ResourceSet>()};
  }
  return revisions_.rbegin()->second;
}

absl::Status MemoryStore::Commit(uint64_t previous, const RevisionInfo& info,
                                 const std::vector<Change>& changes) {
  std::lock_guard lock(mutex_);
  if (std::exchange(fail_before_, false)) {
    return absl::UnavailableError("memory store: told to fail");
  }
  const uint64_t newest = revisions_.empty() ? 0 : revisions_.rbegin()->first;
  if (newest != previous || info.revision <= newest) {
    return absl::AbortedError(absl::StrCat("memory store: newest revision is ", newest));
  }
  api::ResourceSet set = revisions_.empty() ? api::ResourceSet{} : *revisions_.rbegin()->second.set;
  ApplyTo(changes, set);
  revisions_[info.revision] = {info, std::make_shared<const api::ResourceSet>(std::move(set))};
  while (revisions_.size() > keep_revisions_) revisions_.erase(revisions_.begin());
  if (std::exchange(fail_after_, false)) {
    return absl::UnavailableError("memory store: told to fail after storing");
  }
  return absl::OkStatus();
}

absl::StatusOr<Revision> MemoryStore::LoadRevision(uint64_t revision) {
  std::lock_guard lock(mutex_);
  if (absl::Status status = CheckReadable(); !status.ok()) return status;
  const auto found = revisions_.find(revision);
  if (found == revisions_.end()) {
    return absl::NotFoundError(absl::StrCat("revision ", revision, " is not stored"));
  }
  return found->second;
}

absl::StatusOr<std::vector<RevisionInfo>> MemoryStore::ListRevisions(uint64_t before,
                                                                     size_t limit) {
  std::lock_guard lock(mutex_);
  if (absl::Status status = CheckReadable(); !status.ok()) return status;
  std::vector<RevisionInfo> infos;
  for (auto it = revisions_.rbegin(); it != revisions_.rend() && infos.size() < limit; ++it) {
    if (before == 0 || it->first < before) infos.push_back(it->second.info);
  }
  return infos;
}

void MemoryStore::FailNextCommit(Fault fault) {
  std::lock_guard lock(mutex_);
  (fault == Fault::kBeforeStoring ? fail_before_ : fail_after_) = true;
}

void MemoryStore::FailReads(bool fail) {
  std::lock_guard lock(mutex_);
  fail_reads_ = fail;
}

}  // namespace portico::control
