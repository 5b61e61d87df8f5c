// Revisions: numbered, complete, consistent sets of resources, and what two of them differ in.
#ifndef CONTROLPLANE_MODEL_REVISION_H_
#define CONTROLPLANE_MODEL_REVISION_H_

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "api/portico/v1/config_service.pb.h"
#include "api/resource/resource.h"

namespace portico::control {

// What is kept about a revision besides its resources. The default is revision 0: the empty set
// that every store starts with.
struct RevisionInfo {
  uint64_t revision = 0;
  absl::Time created_at = absl::UnixEpoch();
  std::string author;
  std::string message;
  // Name from the client certificate; empty without mutual TLS.
  std::string peer;
  uint32_t created = 0;
  uint32_t updated = 0;
  uint32_t deleted = 0;
  // api::ChecksumOf the resulting set.
  api::Digest checksum = api::ChecksumOf({});

  bool operator==(const RevisionInfo&) const = default;
};
v1::RevisionInfo ToProto(const RevisionInfo& info);

// A revision with its resources. Immutable.
struct Revision {
  RevisionInfo info;
  std::shared_ptr<const api::ResourceSet> set;
};
using RevisionPtr = std::shared_ptr<const Revision>;

// One resource that differs: created when `before` is null, deleted when `after` is. Never both
// null.
struct Change {
  api::ResourceKey key;
  api::StoredResourcePtr before;
  api::StoredResourcePtr after;
};

// What leads from `from` to `to`, in key order. Resources of equal hash do not differ.
std::vector<Change> Diff(const api::ResourceSet& from, const api::ResourceSet& to);

// Takes `set` from `before` to `after` of each change, or back.
void ApplyTo(const std::vector<Change>& changes, api::ResourceSet& set);
void RevertOn(const std::vector<Change>& changes, api::ResourceSet& set);

// One change for each key that differs between the start of the first list and the end of the last,
// in key order. The lists follow one another.
std::vector<Change> Merge(const std::vector<std::shared_ptr<const std::vector<Change>>>& lists);

// Sets `created`, `updated` and `deleted`.
void Count(const std::vector<Change>& changes, RevisionInfo& info);

std::set<api::ResourceKey> KeysOf(const std::vector<Change>& changes);

}  // namespace portico::control

#endif  // CONTROLPLANE_MODEL_REVISION_H_
