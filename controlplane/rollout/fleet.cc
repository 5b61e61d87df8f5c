#include "controlplane/rollout/fleet.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controlplane/model/proto_time.h"

namespace portico::control {
namespace {

void Shorten(std::string& text) {
  if (text.size() <= Fleet::kMaxTextBytes) return;
  size_t end = Fleet::kMaxTextBytes;
  // Not in the middle of a UTF-8 character: protobuf strings must be valid.
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  text.resize(end);
}

void Shorten(v1::Violation& violation) {
  Shorten(*violation.mutable_resource()->mutable_kind());
  Shorten(*violation.mutable_resource()->mutable_name());
  Shorten(*violation.mutable_field());
  Shorten(*violation.mutable_value());
  Shorten(*violation.mutable_reason());
  Shorten(*violation.mutable_fix());
}

// Has `revision`, or a later one, of this store.
bool Has(const ProxyRecord& record, uint64_t revision, uint64_t head) {
  return record.applied >= revision && record.applied <= head;
}

}  // namespace

ProxyState StateOf(const ProxyRecord& record, uint64_t head) {
  if (!record.connected) return ProxyState::kDisconnected;
  if (record.applied == head) return ProxyState::kCurrent;
  if (record.applied > head) return ProxyState::kAhead;
  return record.rejected == head ? ProxyState::kRejected : ProxyState::kBehind;
}

Fleet::Fleet(const Clock& clock, size_t max_records, uint64_t head)
    : clock_(clock), max_records_(std::max<size_t>(1, max_records)), head_(head) {}

void Fleet::AddListener(std::function<void()> listener) {
  listeners_.push_back(std::move(listener));
}

void Fleet::Announce() const {
  for (const auto& listener : listeners_) listener();
}

void Fleet::UpdateBehind(ProxyRecord& record) const {
  if (record.applied == head_) {
    record.behind_since = absl::InfiniteFuture();
  } else if (record.behind_since == absl::InfiniteFuture()) {
    record.behind_since = clock_.Now();
  }
}

uint64_t Fleet::Connected(uint64_t session, const ProxyIdentity& identity, uint64_t applied) {
  uint64_t rejected = 0;
  {
    std::lock_guard lock(mutex_);
    ProxyRecord& record = records_[identity.node_id];
    if (record.connected && record.session > session) return 0;
    // A restart is how operators answer a refusal whose reason lay on the machine.
    const bool same = record.identity.process == identity.process &&
                      record.identity.build == identity.build && record.applied == applied;
    if (!same) {
      record.rejected = 0;
      record.rejections.clear();
      record.applied_at = absl::InfinitePast();
    }
    rejected = record.rejected;
    record.identity = identity;
    record.session = session;
    record.connected = true;
    record.applied = applied;
    record.received = std::max(record.received, applied);
    record.last_seen = clock_.Now();
    UpdateBehind(record);
    DropOldest();
  }
  Announce();
  return rejected;
}

void Fleet::DropOldest() {
  while (records_.size() > max_records_) {
    auto oldest = records_.end();
    for (auto it = records_.begin(); it != records_.end(); ++it) {
      if (it->second.connected) continue;
      if (oldest == records_.end() || it->second.last_seen < oldest->second.last_seen) oldest = it;
    }
    if (oldest == records_.end()) return;  // All connected: their number has its own bound.
    records_.erase(oldest);
  }
}

template <typename Change>
void Fleet::Update(uint64_t session, const std::string& node_id, bool announce,
                   const Change& change) {
  {
    std::lock_guard lock(mutex_);
    const auto found = records_.find(node_id);
    if (found == records_.end() || found->second.session != session) return;
    found->second.last_seen = clock_.Now();
    change(found->second);
  }
  if (announce) Announce();
}

void Fleet::Heard(uint64_t session, const std::string& node_id) {
  Update(session, node_id, false, [](ProxyRecord&) {});
}

void Fleet::Received(uint64_t session, const std::string& node_id, uint64_t revision) {
  Update(session, node_id, true, [&](ProxyRecord& record) { record.received = revision; });
}

void Fleet::Applied(uint64_t session, const std::string& node_id, uint64_t revision) {
  Update(session, node_id, true, [&](ProxyRecord& record) {
    record.received = std::max(record.received, revision);
    record.applied = revision;
    record.applied_at = record.last_seen;
    record.rejected = 0;
    record.rejections.clear();
    UpdateBehind(record);
  });
}

void Fleet::Rejected(uint64_t session, const std::string& node_id, uint64_t revision,
                     std::vector<v1::Violation> violations) {
  if (violations.size() > kMaxRejections) violations.resize(kMaxRejections);
  for (v1::Violation& violation : violations) Shorten(violation);
  Update(session, node_id, true, [&](ProxyRecord& record) {
    record.rejected = revision;
    record.rejections = std::move(violations);
  });
}

void Fleet::Disconnected(uint64_t session, const std::string& node_id) {
  Update(session, node_id, true, [](ProxyRecord& record) { record.connected = false; });
}

void Fleet::Advance(uint64_t head) {
  {
    std::lock_guard lock(mutex_);
    head_ = head;
    for (auto& [node_id, record] : records_) UpdateBehind(record);
  }
  Announce();
}

void Fleet::Tick() {
  std::lock_guard lock(mutex_);
  const absl::Time oldest = clock_.Now() - kRemember;
  std::erase_if(records_, [&](const auto& entry) {
    return !entry.second.connected && entry.second.last_seen < oldest;
  });
}

v1::ProxyStatus Fleet::ToProto(const ProxyRecord& record) const {
  v1::ProxyStatus proto;
  proto.set_node_id(record.identity.node_id);
  for (const auto& [key, value] : record.identity.labels) (*proto.mutable_labels())[key] = value;
  proto.set_build(record.identity.build);
  proto.set_connected(record.connected);
  proto.set_address(record.identity.address);
  proto.set_received_revision(record.received);
  proto.set_applied_revision(record.applied);
  proto.set_rejected_revision(record.rejected);
  for (const v1::Violation& violation : record.rejections) *proto.add_rejections() = violation;
  if (StateOf(record, head_) == ProxyState::kAhead) {
    v1::Violation& violation = *proto.add_rejections();
    violation.set_field("applied_revision");
    violation.set_value(absl::StrCat(record.applied));
    violation.set_reason(absl::StrCat("is newer than the store's revision ", head_,
                                      ": the store was restored from an older copy, and a proxy is "
                                      "never moved backwards"));
    violation.set_fix("apply the configuration you want; its revision will be above this one");
  }
  if (record.applied_at != absl::InfinitePast()) {
    *proto.mutable_applied_at() = ToTimestamp(record.applied_at);
  }
  const bool behind = record.behind_since != absl::InfiniteFuture();
  *proto.mutable_behind_for() =
      ToDuration(behind ? clock_.Now() - record.behind_since : absl::ZeroDuration());
  *proto.mutable_last_seen() = ToTimestamp(record.last_seen);
  return proto;
}

v1::ListProxiesResponse Fleet::List() const {
  std::lock_guard lock(mutex_);
  v1::ListProxiesResponse response;
  response.set_current_revision(head_);
  for (const auto& [node_id, record] : records_) *response.add_proxies() = ToProto(record);
  return response;
}

v1::RolloutStatus Fleet::Evaluate(uint64_t revision, uint32_t min_proxies) const {
  std::lock_guard lock(mutex_);
  v1::RolloutStatus status;
  status.set_revision(revision);
  uint32_t connected = 0;
  uint32_t applied = 0;
  bool rejected = false;
  for (const auto& [node_id, record] : records_) {
    const bool refused = record.rejected >= revision && record.applied < revision;
    rejected = rejected || refused;
    if (record.connected) {
      ++connected;
      if (Has(record, revision, head_)) {
        ++applied;
        continue;
      }
    }
    if ((record.connected || refused) && status.waiting_size() < kMaxWaiting) {
      *status.add_waiting() = ToProto(record);
    }
  }
  status.set_connected(connected);
  status.set_applied(applied);
  status.set_state(v1::RolloutStatus::IN_PROGRESS);
  if (applied == connected && applied >= min_proxies) status.set_state(v1::RolloutStatus::LIVE);
  if (rejected) status.set_state(v1::RolloutStatus::REJECTED);
  return status;
}

Fleet::Counts Fleet::Count() const {
  std::lock_guard lock(mutex_);
  Counts counts;
  for (const auto& [node_id, record] : records_) {
    ++counts.by_state[StateOf(record, head_)];
    if (!record.connected) continue;
    ++counts.connected;
    ++counts.by_revision[record.applied];
  }
  return counts;
}

}  // namespace portico::control
