// The keys of session tickets: made, replaced and dropped by the control plane itself.
#ifndef CONTROLPLANE_MANAGEMENT_TICKET_KEYS_H_
#define CONTROLPLANE_MANAGEMENT_TICKET_KEYS_H_

#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "controlplane/management/writer.h"
#include "controlplane/model/clock.h"
#include "controlplane/store/catalog.h"

namespace portico::control {

// Keeps SessionTicketKeys "default" as long as some listener gives out tickets. Every `rotation` a
// new key comes, which encrypts from then on; the kKept - 1 before it still decrypt. The age of a
// key is in the resource, so that neither a restart nor a change of the period makes one early.
class TicketKeys {
 public:
  static constexpr int kKept = 3;
  // Between attempts when a revision cannot be made.
  static constexpr absl::Duration kPatience = absl::Minutes(1);

  // All must outlive this. `rotation` of zero: no key is ever made.
  TicketKeys(const Catalog& catalog, Writer& writer, const Clock& clock, absl::Duration rotation);

  // Makes a revision if one is due. Called once a second, by one thread at a time.
  void Tick();

 private:
  // When the next key is due; nothing if nobody needs one.
  std::optional<absl::Time> Due(const Revision& head) const;

  const Catalog& catalog_;
  Writer& writer_;
  const Clock& clock_;
  const absl::Duration rotation_;
  // Of the revision that was looked at last.
  std::optional<uint64_t> seen_;
  std::optional<absl::Time> due_;
  absl::Time retry_at_ = absl::InfinitePast();
};

}  // namespace portico::control

#endif  // CONTROLPLANE_MANAGEMENT_TICKET_KEYS_H_
