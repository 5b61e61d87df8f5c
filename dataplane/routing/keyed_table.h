// Things of one cache line each, found by key by touching only the line of what is found.
#ifndef DATAPLANE_ROUTING_KEYED_TABLE_H_
#define DATAPLANE_ROUTING_KEYED_TABLE_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "dataplane/routing/path_hash.h"

namespace portico::routing {

// Thing has `uint64_t key`, which is not 0.
//
// The index, 8 bytes for each thing, stays in the caches where things do not. Its entries
// hold as many bits of the key as the place leaves free (15 among 100,000 things), so that
// a look-up in vain touches no thing, and one that finds touches no other.
template <typename Thing>
class KeyedTable {
 public:
  // Of `count` things, which are then added.
  explicit KeyedTable(size_t count = 0)
      // Half of the slots stay free: most look-ups find nothing, and end at the first.
      : index_(count * 2 + 2), place_mask_(std::bit_ceil(static_cast<uint32_t>(count) + 1) - 1) {
    things_.reserve(count);
  }

  // REQUIRES: its key is not there yet, there is room for it.
  Thing& Add(const Thing& thing) {
    things_.push_back(thing);
    size_t slot = SlotOf(thing.key, index_.size());
    while (index_[slot] != 0) slot = Next(slot);
    index_[slot] = Mark(thing.key) | static_cast<uint32_t>(things_.size());
    return things_.back();
  }

  const Thing* Find(uint64_t key) const {
    const uint32_t mark = Mark(key);
    for (size_t slot = SlotOf(key, index_.size());; slot = Next(slot)) {
      const uint32_t entry = index_[slot];
      if (entry == 0) return nullptr;
      if ((entry & ~place_mask_) != mark) continue;
      const Thing& thing = things_[(entry & place_mask_) - 1];
      if (thing.key == key) return &thing;
    }
  }

  // Where Find() will look first.
  void Prefetch(uint64_t key) const { __builtin_prefetch(&index_[SlotOf(key, index_.size())]); }

  size_t memory_bytes() const {
    return index_.capacity() * sizeof(index_[0]) + things_.capacity() * sizeof(things_[0]);
  }

 private:
  size_t Next(size_t slot) const { return slot + 1 == index_.size() ? 0 : slot + 1; }
  uint32_t Mark(uint64_t key) const { return static_cast<uint32_t>(key >> 32) & ~place_mask_; }

  // Open addressing: bits of the key, then the place in things_ plus 1; 0: free.
  std::vector<uint32_t> index_;
  std::vector<Thing> things_;
  uint32_t place_mask_;
};

}  // namespace portico::routing

#endif  // DATAPLANE_ROUTING_KEYED_TABLE_H_
