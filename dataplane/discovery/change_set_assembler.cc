#include "dataplane/discovery/change_set_assembler.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"

namespace portico::discovery_client {
namespace {

using discovery::v1::Chunk;

constexpr size_t kMaxViolations = 100;
// What a resource costs beside its texts; so that a million empty ones are not free.
constexpr size_t kResourceOverheadBytes = 64;

v1::Violation TooLarge(const ChangeSetAssembler::Limits& limits) {
  v1::Violation violation;
  violation.set_reason(
      absl::StrCat("the set is larger than this proxy takes: ", limits.max_resources,
                   " resources and ", limits.max_bytes, " bytes"));
  violation.set_fix("remove resources, or divide them between groups of proxies");
  return violation;
}

size_t BytesOf(const api::ResourceSet& set) {
  size_t bytes = 0;
  for (const auto& [key, stored] : set) {
    bytes += key.kind.size() + key.name.size() + stored->content.size() + kResourceOverheadBytes;
  }
  return bytes;
}

}  // namespace

AssemblyStep ChangeSetAssembler::Add(uint64_t base_revision, const api::ResourceSet& base,
                                     Chunk chunk) {
  AssemblyStep step;
  step.nonce = chunk.nonce();
  step.revision = chunk.revision();
  if (given_up_ == chunk.nonce()) {
    step.kind = AssemblyStep::Kind::kIgnored;
    return step;
  }
  if (std::string error = Check(base_revision, chunk); !error.empty()) {
    step.kind = AssemblyStep::Kind::kResync;
    step.error = std::move(error);
    pending_.reset();
    given_up_ = chunk.nonce();
    return step;
  }
  if (!pending_) {
    pending_.emplace();
    pending_->nonce = chunk.nonce();
    pending_->revision = chunk.revision();
  }
  Take(chunk);
  if (!chunk.last()) return step;
  step = Finish(base, chunk);
  pending_.reset();
  if (step.kind == AssemblyStep::Kind::kResync) given_up_ = chunk.nonce();
  return step;
}

// Empty: nothing is wrong with the chunk's head.
std::string ChangeSetAssembler::Check(uint64_t base_revision, const Chunk& chunk) const {
  if (pending_ && (chunk.nonce() != pending_->nonce || chunk.revision() != pending_->revision)) {
    return absl::StrCat("a chunk of set ", chunk.nonce(), ", revision ", chunk.revision(),
                        ", before the last one of set ", pending_->nonce, ", revision ",
                        pending_->revision);
  }
  if (chunk.base_revision() != base_revision) {
    return absl::StrCat("the set leads from revision ", chunk.base_revision(), ", but revision ",
                        base_revision, " is live");
  }
  if (chunk.revision() < base_revision) {
    return absl::StrCat("the set leads back, from revision ", base_revision, " to ",
                        chunk.revision());
  }
  return "";
}

void ChangeSetAssembler::Take(Chunk& chunk) {
  PendingChangeSet& pending = *pending_;
  for (discovery::v1::Upsert& upsert : *chunk.mutable_upserts()) {
    ++pending.upserts;
    pending.bytes += upsert.kind().size() + upsert.name().size() + upsert.content().size() +
                     kResourceOverheadBytes;
    pending.too_large = pending.too_large || pending.bytes > limits_.max_bytes ||
                        pending.changed.size() > 2 * limits_.max_resources;
    if (pending.too_large) break;
    api::ResourceKey key{upsert.kind(), upsert.name()};
    absl::StatusOr<api::StoredResourcePtr> stored =
        api::ParseStored(key, std::move(*upsert.mutable_content()));
    if (stored.ok()) {
      pending.changed[std::move(key)] = *std::move(stored);
    } else if (pending.violations.size() < kMaxViolations) {
      v1::Violation& violation = pending.violations.emplace_back();
      violation.mutable_resource()->set_kind(key.kind);
      violation.mutable_resource()->set_name(key.name);
      violation.set_reason(std::string(stored.status().message()));
      violation.set_fix("run a proxy that is as new as the control plane");
    }
  }
  for (const discovery::v1::Removal& removal : chunk.removals()) {
    ++pending.removals;
    pending.bytes += removal.kind().size() + removal.name().size() + kResourceOverheadBytes;
    pending.too_large = pending.too_large || pending.bytes > limits_.max_bytes;
    if (pending.too_large) break;
    pending.changed[api::ResourceKey{removal.kind(), removal.name()}] = nullptr;
  }
  // From here on the chunks are only counted through to the last one.
  if (pending.too_large) pending.changed.clear();
}

AssemblyStep ChangeSetAssembler::Finish(const api::ResourceSet& base, const Chunk& chunk) {
  PendingChangeSet& pending = *pending_;
  AssemblyStep step;
  step.nonce = pending.nonce;
  step.revision = pending.revision;
  step.upserts = pending.upserts;
  step.removals = pending.removals;
  step.accepted_unix_nanos = chunk.accepted_unix_nanos();
  if (pending.too_large) pending.violations = {TooLarge(limits_)};
  if (!pending.violations.empty()) {
    step.kind = AssemblyStep::Kind::kRefused;
    step.violations = std::move(pending.violations);
    return step;
  }

  auto set = std::make_shared<api::ResourceSet>(base);
  for (auto& [key, stored] : pending.changed) {
    if (stored == nullptr) {
      set->erase(key);
    } else if (api::StoredResourcePtr& place = (*set)[key];
               place == nullptr || place->hash != stored->hash) {
      // An equal one keeps its object: what was compiled from it stays recognizable.
      place = std::move(stored);
    }
  }
  const api::Digest checksum = api::ChecksumOf(*set);
  if (chunk.checksum() !=
      std::string_view(reinterpret_cast<const char*>(checksum.data()), checksum.size())) {
    step.kind = AssemblyStep::Kind::kResync;
    step.error = absl::StrCat("the checksum of revision ", step.revision, " over ", set->size(),
                              " resources is not the one that came with it");
    return step;
  }
  if (set->size() > limits_.max_resources || BytesOf(*set) > limits_.max_bytes) {
    step.kind = AssemblyStep::Kind::kRefused;
    step.violations = {TooLarge(limits_)};
    return step;
  }
  step.kind = AssemblyStep::Kind::kComplete;
  step.set = std::move(set);
  return step;
}

}  // namespace portico::discovery_client
