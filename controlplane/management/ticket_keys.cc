#include "controlplane/management/ticket_keys.h"

#include <sys/random.h>

#include <algorithm>
#include <string>
#include <utility>

#include "controlplane/model/log.h"
#include "controlplane/model/proto_time.h"

namespace portico::control {
namespace {

constexpr size_t kSecretBytes = 32;

const api::ResourceKey& Key() {
  static const api::ResourceKey key{"SessionTicketKeys", "default"};
  return key;
}

bool GivesTickets(const v1::Listener& listener) {
  return listener.has_tls() && !listener.tls().disable_session_tickets();
}

bool AnyGivesTickets(const api::ResourceSet& set) {
  for (auto it = set.lower_bound({"Listener", ""}); it != set.end() && it->first.kind == "Listener";
       ++it) {
    if (GivesTickets(it->second->resource.listener())) return true;
  }
  return false;
}

}  // namespace

TicketKeys::TicketKeys(const Catalog& catalog, Writer& writer, const Clock& clock,
                       absl::Duration rotation)
    : catalog_(catalog), writer_(writer), clock_(clock), rotation_(rotation) {}

std::optional<absl::Time> TicketKeys::Due(const Revision& head) const {
  if (!AnyGivesTickets(*head.set)) return std::nullopt;
  const auto found = head.set->find(Key());
  if (found == head.set->end()) return absl::InfinitePast();
  const auto& keys = found->second->resource.session_ticket_keys().keys();
  if (keys.empty()) return absl::InfinitePast();
  return ToTime(keys[0].created_at()) + rotation_;
}

void TicketKeys::Tick() {
  if (rotation_ <= absl::ZeroDuration()) return;
  const RevisionPtr head = catalog_.Head();
  if (seen_ != head->info.revision) {
    due_ = Due(*head);
    seen_ = head->info.revision;
  }
  const absl::Time now = clock_.Now();
  if (!due_.has_value() || now < *due_ || now < retry_at_) return;

  v1::Resource resource;
  if (const auto found = head->set->find(Key()); found != head->set->end())
    resource = found->second->resource;
  resource.set_name(Key().name);
  v1::SessionTicketKeys& keys = *resource.mutable_session_ticket_keys();
  v1::SessionTicketKeys::Key fresh;
  std::string& secret = *fresh.mutable_secret();
  secret.resize(kSecretBytes);
  if (getrandom(secret.data(), secret.size(), 0) != static_cast<ssize_t>(secret.size())) {
    LogError("tickets", "the system gives no random bytes; the keys stay as they are");
    retry_at_ = now + kPatience;
    return;
  }
  *fresh.mutable_created_at() = ToTimestamp(now);
  const bool first = keys.keys().empty();
  // The newest is in front.
  *keys.add_keys() = std::move(fresh);
  std::rotate(keys.mutable_keys()->begin(), keys.mutable_keys()->end() - 1,
              keys.mutable_keys()->end());
  while (keys.keys_size() > kKept) keys.mutable_keys()->RemoveLast();

  const absl::StatusOr<Writer::Outcome> outcome = writer_.PutOwn(
      std::move(resource), first ? "keys for session tickets" : "a new key for session tickets");
  if (!outcome.ok()) {
    LogWarning("tickets", "no new key for session tickets: ", outcome.status().message(),
               ": tried again every ", absl::FormatDuration(kPatience));
    retry_at_ = now + kPatience;
  }
}

}  // namespace portico::control
