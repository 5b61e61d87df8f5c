// How many connections each source address has.
#ifndef DATAPLANE_DOWNSTREAM_ADDRESS_COUNTS_H_
#define DATAPLANE_DOWNSTREAM_ADDRESS_COUNTS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "dataplane/net/address.h"

namespace portico::downstream {

// Thread-safe. Asked once for each connection, never for a request; as large as there are
// addresses with open connections. IPv6 addresses count by their first 64 bits, of which
// one client has many.
class AddressCounts {
 public:
  // Counts one more connection; false if the address has `max` already.
  bool Take(const net::IpAddress& address, uint32_t max);
  // It has ended.
  void Return(const net::IpAddress& address);
  // Addresses that are counted.
  size_t size() const;

 private:
  static constexpr size_t kShards = 16;
  // Whether it is IPv6, and the address or its prefix.
  using Key = std::pair<bool, uint64_t>;
  struct Shard {
    // Guards what follows. Taken by workers, but only where a listener has this limit, twice in
    // the life of a connection, for one look into a table.
    std::mutex mutex;
    absl::flat_hash_map<Key, uint32_t> counts;
  };
  static Key KeyOf(const net::IpAddress& address);
  Shard& ShardOf(const Key& key) const;

  mutable std::array<Shard, kShards> shards_;
};

}  // namespace portico::downstream

#endif  // DATAPLANE_DOWNSTREAM_ADDRESS_COUNTS_H_
