// What a matcher consists of: flat tables without pointers between them.
//
// Every path pattern of every host is a node in one table. The key of a node is
// chained from the host's key and the hashes of the segments, so that all keys of
// a request's path are known before the first look-up, wherever the node is in
// the tree.
#ifndef DATAPLANE_ROUTING_TABLES_H_
#define DATAPLANE_ROUTING_TABLES_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/routing/compiled_match.h"
#include "dataplane/routing/conditions.h"
#include "dataplane/routing/keyed_table.h"
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

// A path pattern of a host, without its text.
struct NodeHead {
  static constexpr uint16_t kVariableChild = 1;
  static constexpr uint16_t kHasVariable = 2;  // In its own pattern.
  // The only rule here stands in the node itself: `rules` is its value.
  static constexpr uint16_t kOneRule = 4;

  uint64_t key = 0;
  uint32_t rules = 0;  // Place of the first; whole-path rules come first.
  uint32_t whole = 0;  // How many match this path only.
  uint32_t rest = 0;   // How many match everything below, too.
  uint16_t flags = 0;
  // Most segments of any pattern below its variable child; 0 without.
  uint16_t below = 0;
  uint16_t methods = kAnyMethod;  // With kOneRule.
  uint16_t text_size = 0;         // Of the pattern; 0 without rules.
};

// What a request needs of the path that it asks for: one cache line. With many routes that
// line comes from memory, which costs more than all else of a match.
struct alignas(64) Node : NodeHead {
  // The pattern, or, where that has no room, its place in Tables::text.
  char text[36];
};
static_assert(sizeof(Node) == 64, "one cache line");

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
  KeyedTable<Node> nodes;
  std::vector<RuleRecord> rules;
  std::vector<RegexRule> regexes;
  std::vector<const Conditions*> conditions;
  std::vector<IndexedList> indexed_lists;
  std::string text;  // Names of hosts; patterns that have no room in nodes.
  size_t max_segments = 0;
  size_t max_exact_bytes = 0;
  // Keeps what `regexes` and `conditions` point to.
  std::vector<CompiledMatchPtr> owners;

  std::string_view Text(uint32_t at, size_t size) const { return {text.data() + at, size}; }
  // The pattern of a node.
  std::string_view TextOf(const Node& node) const {
    if (node.text_size <= sizeof node.text) return {node.text, node.text_size};
    return Text(static_cast<uint32_t>(Load(node.text, sizeof(uint32_t))), node.text_size);
  }
};

}  // namespace portico::routing

#endif  // DATAPLANE_ROUTING_TABLES_H_
