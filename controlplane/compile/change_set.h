// What leads a proxy from what it has to a revision, ready to be sent.
#ifndef CONTROLPLANE_COMPILE_CHANGE_SET_H_
#define CONTROLPLANE_COMPILE_CHANGE_SET_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "api/resource/resource.h"
#include "controlplane/model/revision.h"
#include "proto/portico/discovery/v1/discovery.pb.h"

namespace portico::control {

// Most bytes of one message, well below the 4 MiB that gRPC accepts by default.
inline constexpr size_t kMaxChunkBytes = 3'500'000;

// Immutable; shared by all streams that send it. The nonce is unique in this process.
struct ChangeSet {
  uint64_t nonce = 0;
  uint64_t base_revision = 0;
  uint64_t revision = 0;
  absl::Time accepted_at;
  // At least one message; each a chunk. `bytes` is their size together.
  std::vector<discovery::v1::ServerMessage> chunks;
  size_t bytes = 0;
  size_t upserts = 0;
  size_t removals = 0;
};
using ChangeSetPtr = std::shared_ptr<const ChangeSet>;

// Splits upserts and removals into chunks. A single resource is never split, so it must be below
// `max_chunk_bytes`.
class ChangeSetBuilder {
 public:
  ChangeSetBuilder(uint64_t nonce, uint64_t base_revision, const RevisionInfo& target,
                   size_t max_chunk_bytes = kMaxChunkBytes);
  void Upsert(const api::ResourceKey& key, const std::string& content);
  void Remove(const api::ResourceKey& key);
  // Once, at the end.
  ChangeSetPtr Finish();

 private:
  // The chunk that `bytes` more fit into.
  discovery::v1::Chunk& ChunkFor(size_t bytes);

  const size_t max_chunk_bytes_;
  const api::Digest checksum_;
  std::shared_ptr<ChangeSet> set_;
  size_t chunk_bytes_ = 0;
};

}  // namespace portico::control

#endif  // CONTROLPLANE_COMPILE_CHANGE_SET_H_
