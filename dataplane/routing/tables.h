// What a matcher consists of: flat tables without pointers between them.
//
// Every path pattern of every host is a node in one open-addressing table. The
// key of a node is chained from the host's key and the hashes of the segments, so
// that all keys of a request's path are known before the first look-up and one
// look-up costs one cache line, wherever the node is in the tree.
#ifndef DATAPLANE_ROUTING_TABLES_H_
#define DATAPLANE_ROUTING_TABLES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/routing/compiled_match.h"
#include "dataplane/routing/conditions.h"
#include "dataplane/routing/path_hash.h"

namespace portico::routing {

// Paths may have more segments; patterns do not (1024 bytes of "/").
inline constexpr size_t kMaxSegments = 1024;

// One rule at one path. Lists of them are in order of precedence.
struct RuleRecord {
  static constexpr uint16_t kHasConditions = 1;
  // Not a rule: `value` is the place of the list in Tables::indexed_lists.
  static constexpr uint16_t kIndexed = 2;

  uint32_t value = 0;
  uint16_t methods = kAnyMethod;
  uint16_t flags = 0;
  uint32_t conditions = 0;  // Place in Tables::conditions.
};

// A list too long to be read from front to back: split by the value of the header
// field that most of its rules compare exactly.
struct IndexedList {
  std::string header;
  std::vector<RuleRecord> rules;
  // (hash of the value, place in `rules`), sorted.
  std::vector<std::pair<uint64_t, uint32_t>> by_value;
  // Places of the rules that do not compare that field; ascending.
  std::vector<uint32_t> others;
};

struct Node {
  static constexpr uint16_t kVariableChild = 1;
  static constexpr uint16_t kHasVariable = 2;  // In its own pattern.
  // The only rule here stands in the node itself: `rules` is its value. Spares most
  // matches a cache line.
  static constexpr uint16_t kOneRule = 4;

  uint64_t key = 0;    // 0: empty slot.
  uint32_t text = 0;   // Of the pattern, in Tables::text.
  uint16_t text_size = 0;
  uint16_t flags = 0;
  uint32_t rules = 0;  // Place of the first; whole-path rules come first.
  uint32_t whole = 0;  // How many match this path only.
  uint32_t rest = 0;   // How many match everything below, too.
  // Most segments of any pattern below its variable child; 0 without.
  uint16_t below = 0;
  uint16_t methods = kAnyMethod;  // With kOneRule.
};
static_assert(sizeof(Node) == 32, "two to a cache line");

// Says of most keys that are no node's that they are not, from a few cache lines that
// stay warm where the nodes do not: with many routes, what a request asks for in vain
// would cost more than what it finds.
class NodeFilter {
 public:
  // All keys that are added later are in vain until they are.
  explicit NodeFilter(size_t nodes = 0) {
    while ((size_t{1} << log2_) < nodes * kBitsPerNode) ++log2_;
    words_.resize((size_t{1} << log2_) / 64);
  }
  void Add(uint64_t key) { words_[Place(key) / 64] |= uint64_t{1} << Place(key) % 64; }
  bool MayHold(uint64_t key) const { return (words_[Place(key) / 64] >> Place(key) % 64 & 1) != 0; }
  size_t memory_bytes() const { return words_.capacity() * sizeof(words_[0]); }

 private:
  // One in 8 to 16 keys in vain is let through.
  static constexpr size_t kBitsPerNode = 8;
  size_t Place(uint64_t key) const { return static_cast<size_t>((key ^ kHashB) * kHashB >> (64 - log2_)); }

  unsigned log2_ = 6;
  std::vector<uint64_t> words_;
};

struct RegexRule {
  RuleRecord rule;
  const CompiledMatch* match;
};

struct Host {
  uint64_t key = 0;  // 0: empty slot.
  // Bit d: a prefix or template ends after d segments (63: after 63 and more).
  uint64_t ends = 0;
  // Bit d: after d segments a variable may follow.
  uint64_t variables = 0;
  uint32_t text = 0;
  uint16_t text_size = 0;
  uint16_t max_segments = 0;
  uint32_t regexes = 0, regex_count = 0;
  bool has_exact = false;
};

inline uint64_t DepthBit(size_t segments) { return uint64_t{1} << (segments < 63 ? segments : 63); }

// Keys of hosts; wildcards differ from names of the same text.
inline uint64_t HostKey(std::string_view name, bool wildcard) {
  return ChildKey(wildcard ? kHashB : kHashA, HashBytes(name));
}

struct Tables {
  std::vector<Host> hosts;  // Open addressing.
  bool has_any_host = false;
  Host any_host;
  size_t max_wildcard_bytes = 0;  // 0: no wildcards.
  std::vector<Node> nodes;        // Open addressing.
  NodeFilter filter;              // Of their keys.
  std::vector<RuleRecord> rules;
  std::vector<RegexRule> regexes;
  std::vector<const Conditions*> conditions;
  std::vector<IndexedList> indexed_lists;
  std::string text;
  size_t max_segments = 0;
  size_t max_exact_bytes = 0;
  // Keeps what `regexes` and `conditions` point to.
  std::vector<CompiledMatchPtr> owners;

  std::string_view Text(uint32_t at, uint16_t size) const { return {text.data() + at, size}; }
};

}  // namespace portico::routing

#endif  // DATAPLANE_ROUTING_TABLES_H_
