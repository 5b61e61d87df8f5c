// Chunks in, whole sets of resources out.
#ifndef DATAPLANE_DISCOVERY_CHANGE_SET_ASSEMBLER_H_
#define DATAPLANE_DISCOVERY_CHANGE_SET_ASSEMBLER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/portico/v1/resource.pb.h"
#include "api/resource/resource.h"
#include "proto/portico/discovery/v1/discovery.pb.h"

namespace portico::discovery_client {

using ResourceSetPtr = std::shared_ptr<const api::ResourceSet>;

// What one chunk led to.
struct AssemblyStep {
  enum class Kind {
    kMore,      // The set goes on.
    kIgnored,   // A chunk of a set that was given up already.
    kComplete,  // `set` is the whole revision, its checksum is right.
    kResync,    // The set cannot be assembled, `error` says why: answer Rejected with resync.
    kRefused,   // The set is whole, but cannot be taken, `violations` say why: answer Rejected.
  };
  Kind kind = Kind::kMore;
  uint64_t nonce = 0;
  uint64_t revision = 0;
  ResourceSetPtr set;
  int64_t accepted_unix_nanos = 0;
  size_t upserts = 0, removals = 0;
  std::string error;
  std::vector<v1::Violation> violations;
};

// What has come of a set so far.
struct PendingChangeSet {
  uint64_t nonce = 0, revision = 0;
  size_t bytes = 0, upserts = 0, removals = 0;
  api::ResourceSet changed;               // Null values are removals.
  std::vector<v1::Violation> violations;  // At most kMaxViolations.
  bool too_large = false;
};

// Puts the change sets of one stream together. Nothing of a set shows before it is
// whole. Nothing is removed but by a removal. Not thread-safe.
class ChangeSetAssembler {
 public:
  struct Limits {
    // Contents, kinds and names of the chunks of one set, and of the set that
    // results. Default: 1 GiB.
    size_t max_bytes = size_t{1} << 30;
    // Of the set that results.
    size_t max_resources = 400'000;
  };

  explicit ChangeSetAssembler(const Limits& limits) : limits_(limits) {}

  // Takes the next chunk. `base` is what is live, under the number `base_revision`;
  // it must not change between the chunks of one set.
  AssemblyStep Add(uint64_t base_revision, const api::ResourceSet& base,
                   discovery::v1::Chunk chunk);

 private:
  std::string Check(uint64_t base_revision, const discovery::v1::Chunk& chunk) const;
  void Take(discovery::v1::Chunk& chunk);
  AssemblyStep Finish(const api::ResourceSet& base, const discovery::v1::Chunk& chunk);

  const Limits limits_;
  std::optional<PendingChangeSet> pending_;
  std::optional<uint64_t> given_up_;  // Nonce
};

}  // namespace portico::discovery_client

#endif  // DATAPLANE_DISCOVERY_CHANGE_SET_ASSEMBLER_H_
