// YAML and JSON text as a tree with line numbers, bounded in every direction.
#ifndef API_RESOURCE_TEXT_TREE_H_
#define API_RESOURCE_TEXT_TREE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace portico::api {

struct TextNode {
  enum class Type { kNull, kScalar, kSequence, kMap };
  Type type = Type::kNull;
  // A scalar without quotes, which may stand for a number or a boolean.
  bool plain = false;
  int line = 0;  // From 1; 0 when unknown.
  std::string scalar;
  // Elements; of a map, key and value in turn.
  std::vector<const TextNode*> children;
  // Nodes, bytes and levels of the tree below and including this one, aliases written out.
  size_t nodes = 1;
  size_t bytes = 0;
  size_t levels = 1;
};

struct TextBounds {
  size_t bytes = 64 << 20;
  size_t nodes = 8'000'000;
  size_t levels = 64;
};

// The documents of one text. Nodes that are reached through an alias are shared.
struct TextTree {
  std::deque<TextNode> nodes;  // Owns all.
  std::vector<const TextNode*> documents;
};

// Reads YAML 1.2 or, where the text is JSON that the YAML library does not take, JSON (then without
// line numbers). Errors: InvalidArgument with the line in front: "12: ...".
absl::StatusOr<TextTree> ParseTextTree(std::string_view text, const TextBounds& bounds);

}  // namespace portico::api

#endif  // API_RESOURCE_TEXT_TREE_H_
