// What comes over the discovery stream, and what stands in the cache file: no crash, nothing is
// taken that its checksum does not vouch for, and nothing disappears without a removal.
//
// The first byte chooses; after it, for the stream, messages, each behind two bytes of length.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "dataplane/base/check.h"
#include "dataplane/discovery/cache_file.h"
#include "dataplane/discovery/change_set_assembler.h"
#include "proto/portico/discovery/v1/discovery.pb.h"

namespace portico::discovery_client {
namespace {

constexpr uint64_t kBaseRevision = 5;

api::ResourceSet Base() {
  api::ResourceSet base;
  for (const char* name : {"a", "b"}) {
    v1::Resource resource;
    resource.set_name(name);
    resource.mutable_upstream();
    const api::StoredResourcePtr stored = api::MakeStored(resource);
    base[api::KeyOf(stored->resource)] = stored;
  }
  return base;
}

// A simple model of what the chunks of one set lead to.
void ApplyToModel(const discovery::v1::Chunk& chunk, api::ResourceSet& model) {
  for (const auto& upsert : chunk.upserts()) {
    const api::ResourceKey key{upsert.kind(), upsert.name()};
    auto stored = api::ParseStored(key, upsert.content());
    if (stored.ok()) model[key] = *stored;
  }
  for (const auto& removal : chunk.removals()) model.erase({removal.kind(), removal.name()});
}

// `repair`: makes revisions and checksum right, so that the fuzzer gets past them.
void FuzzStream(std::string_view input, bool repair) {
  const api::ResourceSet base = Base();
  ChangeSetAssembler assembler({.max_bytes = 1 << 16, .max_resources = 50});
  api::ResourceSet model = base;
  while (input.size() >= 2) {
    const size_t size = static_cast<uint8_t>(input[0]) | size_t{static_cast<uint8_t>(input[1])}
                                                             << 8;
    discovery::v1::ServerMessage message;
    const std::string_view bytes = input.substr(2, size);
    input.remove_prefix(2 + bytes.size());
    if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) continue;
    if (!message.has_chunk()) continue;
    discovery::v1::Chunk chunk = message.chunk();
    if (repair) {
      chunk.set_nonce(1);
      chunk.set_base_revision(kBaseRevision);
      chunk.set_revision(kBaseRevision + 1);
      ApplyToModel(chunk, model);
      const api::Digest checksum = api::ChecksumOf(model);
      if (chunk.last()) chunk.set_checksum(checksum.data(), checksum.size());
    }
    const bool last = chunk.last();
    const std::string checksum = chunk.checksum();
    const AssemblyStep step = assembler.Add(kBaseRevision, base, std::move(chunk));
    switch (step.kind) {
      case AssemblyStep::Kind::kMore:
        PORTICO_CHECK(!last);
        break;
      case AssemblyStep::Kind::kIgnored:
        break;
      case AssemblyStep::Kind::kComplete: {
        PORTICO_CHECK(last && step.set != nullptr);
        const api::Digest digest = api::ChecksumOf(*step.set);
        PORTICO_CHECK(checksum == std::string(digest.begin(), digest.end()));
        PORTICO_CHECK(step.removals > 0 || step.set->size() >= base.size());
        PORTICO_CHECK(step.set->size() <= 50);
        break;
      }
      case AssemblyStep::Kind::kResync:
        PORTICO_CHECK(!step.error.empty());
        break;
      case AssemblyStep::Kind::kRefused:
        PORTICO_CHECK(last && !step.violations.empty());
        break;
    }
    if (last) model = base;
  }
}

void FuzzResources(std::string_view input) {
  const auto decoded = DecodeResources(input);
  // What is accepted is exactly what we would have written.
  if (decoded.ok()) PORTICO_CHECK(EncodeResources(*decoded) == input);
}

void FuzzFile(std::string_view input) {
  CacheKey key;
  key.fill(7);
  // Nobody without the key makes a file that opens.
  PORTICO_CHECK(!DecodeCache(std::string(input), "node", key).ok());
}

}  // namespace
}  // namespace portico::discovery_client

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      portico::discovery_client::FuzzStream(input, /*repair=*/false);
      break;
    case 1:
      portico::discovery_client::FuzzStream(input, /*repair=*/true);
      break;
    case 2:
      portico::discovery_client::FuzzResources(input);
      break;
    default:
      portico::discovery_client::FuzzFile(input);
  }
  return 0;
}
