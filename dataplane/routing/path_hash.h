// Hashes of path segments and how they are chained into node keys. Not
// cryptographic: every hit is verified against the text, and the tables are made
// of configuration only.
#ifndef DATAPLANE_ROUTING_PATH_HASH_H_
#define DATAPLANE_ROUTING_PATH_HASH_H_

#include <cstdint>
#include <cstring>
#include <string_view>

namespace portico::routing {

inline constexpr uint64_t kHashA = 0x9e3779b97f4a7c15;
inline constexpr uint64_t kHashB = 0xd1b54a32d192ed03;
// Stands for a variable segment; what may be hashed to it is caught by verification.
inline constexpr uint64_t kVariableHash = 0x8bb84b93962eacc9;
// Keeps the keys of exact paths away from those of the segment tree.
inline constexpr uint64_t kExactSalt = 0x2d358dccaa6c78a5;

inline uint64_t Fold(uint64_t a, uint64_t b) {
  const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

inline uint64_t Load(const char* from, size_t bytes) {
  uint64_t value = 0;
  std::memcpy(&value, from, bytes);
  return value;
}

inline uint64_t HashBytes(std::string_view text) {
  const char* p = text.data();
  size_t left = text.size();
  uint64_t hash = kHashA ^ (left * kHashB);
  while (left > 8) {
    hash = Fold(hash ^ Load(p, 8), kHashB);
    p += 8;
    left -= 8;
  }
  // The last 1 to 8 bytes; fixed sizes compile to plain loads.
  uint64_t tail = 0;
  if (left == 8) {
    tail = Load(p, 8);
  } else if (left >= 4) {
    tail = Load(p, 4) | Load(p + left - 4, 4) << 32;
  } else if (left > 0) {
    tail = Load(p, 1) | Load(p + left / 2, 1) << 8 | Load(p + left - 1, 1) << 16;
  }
  return Fold(hash ^ tail, kHashA);
}

// The key of a node's child. Never 0, which marks an empty slot.
inline uint64_t ChildKey(uint64_t parent, uint64_t segment_hash) {
  const uint64_t key = Fold(parent ^ segment_hash, kHashB) + segment_hash;
  return key == 0 ? 1 : key;
}

inline uint64_t ExactKey(uint64_t host_key, uint64_t path_hash) {
  return ChildKey(host_key ^ kExactSalt, path_hash);
}

// Maps a key onto [0, slots).
inline size_t SlotOf(uint64_t key, size_t slots) {
  return static_cast<size_t>((static_cast<unsigned __int128>(key * kHashA) * slots) >> 64);
}

}  // namespace portico::routing

#endif  // DATAPLANE_ROUTING_PATH_HASH_H_
