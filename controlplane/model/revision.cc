#include "controlplane/model/revision.h"

#include <map>
#include <utility>

#include "controlplane/model/proto_time.h"

namespace portico::control {

v1::RevisionInfo ToProto(const RevisionInfo& info) {
  v1::RevisionInfo proto;
  proto.set_revision(info.revision);
  *proto.mutable_created_at() = ToTimestamp(info.created_at);
  proto.set_author(info.author);
  proto.set_message(info.message);
  proto.set_peer(info.peer);
  proto.set_created(info.created);
  proto.set_updated(info.updated);
  proto.set_deleted(info.deleted);
  proto.set_checksum(api::ToHex(info.checksum));
  return proto;
}

std::vector<Change> Diff(const api::ResourceSet& from, const api::ResourceSet& to) {
  std::vector<Change> changes;
  auto a = from.begin();
  auto b = to.begin();
  while (a != from.end() || b != to.end()) {
    if (b == to.end() || (a != from.end() && a->first < b->first)) {
      changes.push_back({a->first, a->second, nullptr});
      ++a;
    } else if (a == from.end() || b->first < a->first) {
      changes.push_back({b->first, nullptr, b->second});
      ++b;
    } else {
      if (a->second != b->second && a->second->hash != b->second->hash) {
        changes.push_back({a->first, a->second, b->second});
      }
      ++a;
      ++b;
    }
  }
  return changes;
}

void ApplyTo(const std::vector<Change>& changes, api::ResourceSet& set) {
  for (const Change& change : changes) {
    if (change.after != nullptr) {
      set.insert_or_assign(change.key, change.after);
    } else {
      set.erase(change.key);
    }
  }
}

void RevertOn(const std::vector<Change>& changes, api::ResourceSet& set) {
  for (const Change& change : changes) {
    if (change.before != nullptr) {
      set.insert_or_assign(change.key, change.before);
    } else {
      set.erase(change.key);
    }
  }
}

std::vector<Change> Merge(const std::vector<std::shared_ptr<const std::vector<Change>>>& lists) {
  if (lists.size() == 1) return *lists.front();
  std::map<api::ResourceKey, Change> merged;
  for (const auto& list : lists) {
    for (const Change& change : *list) {
      const auto [position, inserted] = merged.try_emplace(change.key, change);
      if (!inserted) position->second.after = change.after;
    }
  }
  std::vector<Change> changes;
  changes.reserve(merged.size());
  for (auto& [key, change] : merged) {
    const bool neither = change.before == nullptr && change.after == nullptr;
    const bool same = change.before != nullptr && change.after != nullptr &&
                      change.before->hash == change.after->hash;
    if (!neither && !same) changes.push_back(std::move(change));
  }
  return changes;
}

void Count(const std::vector<Change>& changes, RevisionInfo& info) {
  info.created = info.updated = info.deleted = 0;
  for (const Change& change : changes) {
    if (change.before == nullptr) {
      ++info.created;
    } else if (change.after == nullptr) {
      ++info.deleted;
    } else {
      ++info.updated;
    }
  }
}

std::set<api::ResourceKey> KeysOf(const std::vector<Change>& changes) {
  std::set<api::ResourceKey> keys;
  for (const Change& change : changes) keys.insert(keys.end(), change.key);
  return keys;
}

}  // namespace portico::control
