// Resources for tests of this folder.
#ifndef DATAPLANE_DISCOVERY_TEST_RESOURCES_H_
#define DATAPLANE_DISCOVERY_TEST_RESOURCES_H_

#include <string>
#include <string_view>
#include <vector>

#include "api/resource/resource.h"
#include "proto/portico/discovery/v1/discovery.pb.h"

namespace portico::discovery_client {

// An Upstream whose content differs with `text`.
inline api::StoredResourcePtr TestResource(const std::string& name, const std::string& text) {
  v1::Resource resource;
  resource.set_name(name);
  resource.set_description(text);
  resource.mutable_upstream();
  return api::MakeStored(std::move(resource));
}

// {{"a", "1"}, {"b", "2"}}: names and descriptions.
inline api::ResourceSet TestSet(const std::vector<std::pair<std::string, std::string>>& resources) {
  api::ResourceSet set;
  for (const auto& [name, text] : resources) set[{"Upstream", name}] = TestResource(name, text);
  return set;
}

// What leads from `base` to `target`, with one entry a chunk.
inline std::vector<discovery::v1::Chunk> TestChunks(uint64_t nonce, uint64_t base_revision,
                                                    const api::ResourceSet& base, uint64_t revision,
                                                    const api::ResourceSet& target) {
  std::vector<discovery::v1::Chunk> chunks;
  const auto next = [&]() -> discovery::v1::Chunk& {
    discovery::v1::Chunk& chunk = chunks.emplace_back();
    chunk.set_nonce(nonce);
    chunk.set_base_revision(base_revision);
    chunk.set_revision(revision);
    return chunk;
  };
  for (const auto& [key, stored] : target) {
    const auto before = base.find(key);
    if (before != base.end() && before->second->hash == stored->hash) continue;
    discovery::v1::Upsert& upsert = *next().add_upserts();
    upsert.set_kind(key.kind);
    upsert.set_name(key.name);
    upsert.set_content(stored->content);
  }
  for (const auto& [key, stored] : base) {
    if (target.contains(key)) continue;
    discovery::v1::Removal& removal = *next().add_removals();
    removal.set_kind(key.kind);
    removal.set_name(key.name);
  }
  if (chunks.empty()) next();
  const api::Digest checksum = api::ChecksumOf(target);
  chunks.back().set_last(true);
  chunks.back().set_checksum(checksum.data(), checksum.size());
  return chunks;
}

}  // namespace portico::discovery_client

#endif  // DATAPLANE_DISCOVERY_TEST_RESOURCES_H_
