#include "dataplane/discovery/hello.h"

namespace portico::discovery_client {

std::deque<discovery::v1::ProxyMessage> MakeHello(const Identity& identity, uint64_t revision,
                                                  const api::ResourceSet& applied,
                                                  size_t max_bytes) {
  constexpr size_t kOverheadBytes = 16;  // Tags and lengths of one entry, rounded up
  std::deque<discovery::v1::ProxyMessage> messages;
  discovery::v1::Hello* hello = messages.emplace_back().mutable_hello();
  hello->set_node_id(identity.node_id);
  hello->mutable_labels()->insert(identity.labels.begin(), identity.labels.end());
  hello->set_build(identity.build);
  hello->set_process(identity.process);
  hello->set_applied_revision(revision);
  size_t bytes = hello->ByteSizeLong();
  for (const auto& [key, stored] : applied) {
    const size_t entry = key.kind.size() + key.name.size() + stored->hash.size() + kOverheadBytes;
    if (bytes + entry > max_bytes && hello->resources_size() > 0) {
      hello->set_more(true);
      hello = messages.emplace_back().mutable_hello();
      bytes = 0;
    }
    bytes += entry;
    discovery::v1::ResourceVersion& version = *hello->add_resources();
    version.set_kind(key.kind);
    version.set_name(key.name);
    version.set_hash(stored->hash.data(), stored->hash.size());
  }
  return messages;
}

}  // namespace portico::discovery_client
