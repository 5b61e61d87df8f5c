#include "controlplane/compile/change_set.h"

#include <utility>

namespace portico::control {
namespace {

// Tags and lengths of one entry, rounded up.
constexpr size_t kEntryOverheadBytes = 32;
// Nonce, revisions, checksum and the tags around a chunk, rounded up.
constexpr size_t kChunkOverheadBytes = 128;

}  // namespace

ChangeSetBuilder::ChangeSetBuilder(uint64_t nonce, uint64_t base_revision,
                                   const RevisionInfo& target, size_t max_chunk_bytes)
    : max_chunk_bytes_(max_chunk_bytes),
      checksum_(target.checksum),
      set_(std::make_shared<ChangeSet>()) {
  set_->nonce = nonce;
  set_->base_revision = base_revision;
  set_->revision = target.revision;
  set_->accepted_at = target.created_at;
}

discovery::v1::Chunk& ChangeSetBuilder::ChunkFor(size_t bytes) {
  if (set_->chunks.empty() || chunk_bytes_ + bytes > max_chunk_bytes_) {
    discovery::v1::Chunk& chunk = *set_->chunks.emplace_back().mutable_chunk();
    chunk.set_nonce(set_->nonce);
    chunk.set_base_revision(set_->base_revision);
    chunk.set_revision(set_->revision);
    chunk_bytes_ = kChunkOverheadBytes;
  }
  chunk_bytes_ += bytes;
  return *set_->chunks.back().mutable_chunk();
}

void ChangeSetBuilder::Upsert(const api::ResourceKey& key, const std::string& content) {
  const size_t bytes = key.kind.size() + key.name.size() + content.size() + kEntryOverheadBytes;
  discovery::v1::Upsert& upsert = *ChunkFor(bytes).add_upserts();
  upsert.set_kind(key.kind);
  upsert.set_name(key.name);
  upsert.set_content(content);
  ++set_->upserts;
}

void ChangeSetBuilder::Remove(const api::ResourceKey& key) {
  const size_t bytes = key.kind.size() + key.name.size() + kEntryOverheadBytes;
  discovery::v1::Removal& removal = *ChunkFor(bytes).add_removals();
  removal.set_kind(key.kind);
  removal.set_name(key.name);
  ++set_->removals;
}

ChangeSetPtr ChangeSetBuilder::Finish() {
  discovery::v1::Chunk& last = ChunkFor(0);
  last.set_last(true);
  last.set_checksum(checksum_.data(), checksum_.size());
  last.set_accepted_unix_nanos(absl::ToUnixNanos(set_->accepted_at));
  for (const discovery::v1::ServerMessage& chunk : set_->chunks)
    set_->bytes += chunk.ByteSizeLong();
  return std::move(set_);
}

}  // namespace portico::control
