#include "dataplane/downstream/address_counts.h"

#include <cstring>

#include "absl/hash/hash.h"
#include "dataplane/base/check.h"

namespace portico::downstream {

AddressCounts::Key AddressCounts::KeyOf(const net::IpAddress& address) {
  uint64_t bits = 0;
  std::memcpy(&bits, address.bytes().data(), address.is_v6() ? 8 : 4);
  return {address.is_v6(), bits};
}

AddressCounts::Shard& AddressCounts::ShardOf(const Key& key) const {
  return shards_[absl::Hash<Key>()(key) % kShards];
}

bool AddressCounts::Take(const net::IpAddress& address, uint32_t max) {
  const Key key = KeyOf(address);
  Shard& shard = ShardOf(key);
  const std::lock_guard<std::mutex> lock(shard.mutex);
  const auto found = shard.counts.find(key);
  if (found == shard.counts.end()) {
    if (max == 0) return false;
    shard.counts.emplace(key, 1);
    return true;
  }
  if (found->second >= max) return false;
  ++found->second;
  return true;
}

void AddressCounts::Return(const net::IpAddress& address) {
  const Key key = KeyOf(address);
  Shard& shard = ShardOf(key);
  const std::lock_guard<std::mutex> lock(shard.mutex);
  const auto found = shard.counts.find(key);
  PORTICO_CHECK(found != shard.counts.end());
  if (--found->second == 0) shard.counts.erase(found);
}

size_t AddressCounts::size() const {
  size_t size = 0;
  for (Shard& shard : shards_) {
    const std::lock_guard<std::mutex> lock(shard.mutex);
    size += shard.counts.size();
  }
  return size;
}

}  // namespace portico::downstream
