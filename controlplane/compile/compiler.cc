#include "controlplane/compile/compiler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace portico::control {
namespace {

// Change sets kept although nobody is sending them, and how large they may be.
constexpr size_t kMaxKept = 16;
constexpr size_t kMaxKeptBytes = 256 * 1024;
// Above this many remembered answers, those that nobody holds any more are swept.
constexpr size_t kMaxAnswers = 1024;

// As api::ChecksumOf, over hashes.
api::Digest ChecksumOf(const HashList& list) {
  size_t size = 0;
  for (const HashEntry& entry : list) {
    size += entry.key.kind.size() + entry.key.name.size() + 2 + entry.hash.size();
  }
  std::string text;
  text.reserve(size);
  for (const HashEntry& entry : list) {
    text.append(entry.key.kind).push_back('\0');
    text.append(entry.key.name).push_back('\0');
    text.append(reinterpret_cast<const char*>(entry.hash.data()), entry.hash.size());
  }
  return api::Sha256(text);
}

}  // namespace

absl::StatusOr<Base> Compiler::Recognize(uint64_t revision, HashList list) {
  const auto by_key = [](const HashEntry& a, const HashEntry& b) { return a.key < b.key; };
  if (!std::is_sorted(list.begin(), list.end(), by_key)) {
    std::sort(list.begin(), list.end(), by_key);
  }
  const auto twice =
      std::adjacent_find(list.begin(), list.end(),
                         [](const HashEntry& a, const HashEntry& b) { return a.key == b.key; });
  if (twice != list.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("hello: resources names ", api::ToString(twice->key), " twice"));
  }
  const api::Digest checksum = ChecksumOf(list);
  Base base{
      .revision = revision, .content_of = catalog_.FindByChecksum(checksum), .hashes = nullptr};
  if (base.content_of.has_value()) return base;
  std::lock_guard lock(mutex_);
  std::erase_if(lists_, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<const HashList>& known = lists_[checksum];
  base.hashes = known.lock();
  if (base.hashes == nullptr) {
    base.hashes = std::make_shared<const HashList>(std::move(list));
    known = base.hashes;
  }
  return base;
}

absl::StatusOr<ChangeSetPtr> Compiler::Compile(const Base& base, const RevisionPtr& target,
                                               bool whole) {
  const uint64_t target_revision = target->info.revision;
  const Question question{base.revision, base.content_of.value_or(UINT64_MAX), base.hashes.get(),
                          target_revision, whole};
  // Held throughout, so that a thousand streams with the same question wait for one answer.
  std::lock_guard lock(mutex_);
  if (const auto found = answers_.find(question); found != answers_.end()) {
    const bool same_hashes = base.hashes == nullptr || found->second.hashes.lock() == base.hashes;
    if (ChangeSetPtr set = found->second.set.lock(); set != nullptr && same_hashes) return set;
  }
  std::optional<std::vector<Change>> changes;
  if (base.content_of.has_value()) {
    changes = catalog_.ChangesBetween(*base.content_of, target_revision);
    if (!changes.has_value()) {
      return absl::FailedPreconditionError(
          absl::StrCat("the changes since revision ", *base.content_of,
                       " are no longer known: reconnect and say which resources you have"));
    }
  }
  ChangeSetBuilder builder(++last_nonce_, base.revision, target->info, max_chunk_bytes_);
  Fill(base, *target, changes, whole, builder);
  ChangeSetPtr set = builder.Finish();
  Remember(question, base, set);
  return set;
}

void Compiler::Fill(const Base& base, const Revision& target,
                    const std::optional<std::vector<Change>>& changes, bool whole,
                    ChangeSetBuilder& builder) const {
  if (whole) {
    for (const auto& [key, resource] : *target.set) builder.Upsert(key, resource->content);
  }
  if (changes.has_value()) {
    for (const Change& change : *changes) {
      if (change.after == nullptr) {
        builder.Remove(change.key);
      } else if (!whole) {
        builder.Upsert(change.key, change.after->content);
      }
    }
    return;
  }
  auto wanted = target.set->begin();
  for (const HashEntry& has : *base.hashes) {
    for (; wanted != target.set->end() && wanted->first < has.key; ++wanted) {
      if (!whole) builder.Upsert(wanted->first, wanted->second->content);
    }
    if (wanted == target.set->end() || has.key < wanted->first) {
      builder.Remove(has.key);
      continue;
    }
    if (!whole && wanted->second->hash != has.hash) {
      builder.Upsert(wanted->first, wanted->second->content);
    }
    ++wanted;
  }
  if (whole) return;
  for (; wanted != target.set->end(); ++wanted) {
    builder.Upsert(wanted->first, wanted->second->content);
  }
}

void Compiler::Remember(const Question& question, const Base& base, const ChangeSetPtr& set) {
  if (answers_.size() >= kMaxAnswers) {
    std::erase_if(answers_, [](const auto& entry) { return entry.second.set.expired(); });
  }
  answers_[question] = {set, base.hashes};
  if (set->bytes > kMaxKeptBytes) return;
  kept_.push_back(set);
  if (kept_.size() > kMaxKept) kept_.pop_front();
}

}  // namespace portico::control
