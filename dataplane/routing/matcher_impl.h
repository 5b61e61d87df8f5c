// The matcher over Tables.
#ifndef DATAPLANE_ROUTING_MATCHER_IMPL_H_
#define DATAPLANE_ROUTING_MATCHER_IMPL_H_

#include <cstdint>
#include <string_view>
#include <utility>

#include "dataplane/routing/matcher.h"
#include "dataplane/routing/tables.h"

namespace portico::routing {

class MatcherImpl final : public Matcher {
 public:
  explicit MatcherImpl(Tables tables) : tables_(std::move(tables)) {}

  uint32_t Match(const RequestView& request) const override;
  size_t memory_bytes() const override;

 private:
  struct Search;

  uint32_t MatchHost(const Host& host, Search& search) const;
  // Finds the best prefix or template at or below the node `key` of `depth`
  // segments that has more than search.best_depth of them.
  void Walk(uint64_t key, size_t depth, Search& search) const;
  void AtNode(uint64_t key, size_t depth, Search& search) const;
  uint32_t MatchRegexes(const Host& host, Search& search) const;
  // The first rule of a node that holds, of those for its path alone and of those for
  // everything below, too.
  uint32_t FirstWhole(const Node& node, Search& search) const;
  uint32_t FirstRest(const Node& node, Search& search) const;
  uint32_t FirstOf(uint32_t first, uint32_t count, Search& search) const;
  uint32_t FirstIndexed(const IndexedList& list, Search& search) const;
  bool Holds(const RuleRecord& rule, Search& search) const;
  static bool MethodHolds(uint16_t methods, Search& search);

  const Host* FindHost(std::string_view name, bool wildcard) const;
  // Whether the pattern's text is what the path has.
  bool Verify(const Node& node, std::string_view path) const;

  const Tables tables_;
};

// Computes tables; see Matcher::Build.
absl::StatusOr<Tables> BuildTables(const std::vector<Matcher::Rule>& rules);

}  // namespace portico::routing

#endif  // DATAPLANE_ROUTING_MATCHER_IMPL_H_
