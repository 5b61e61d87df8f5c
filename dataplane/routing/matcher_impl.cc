#include "dataplane/routing/matcher_impl.h"

#include <algorithm>
#include <cstring>

namespace portico::routing {

// One request on its way through the hosts. The path is split and hashed once.
struct MatcherImpl::Search {
  const RequestView& request;
  std::string_view path;

  // Set by Split().
  bool split = false;
  size_t segments = 0;   // Looked at: at most one more than patterns have.
  bool complete = true;  // `segments` are all there are.
  uint64_t hashes[kMaxSegments + 2];
  bool empty[kMaxSegments + 2];
  uint64_t keys[kMaxSegments + 2];  // Of the literal path below where Walk() began, by depth.

  bool exact_hashed = false;
  uint64_t exact_hash = 0;
  uint16_t method = 0;  // 0: not known yet.

  // Of the host being searched.
  const Host* host = nullptr;
  int best_depth = -1;
  uint32_t best = Matcher::kNone;

  explicit Search(const RequestView& view) : request(view), path(view.path()) {}

  uint64_t ExactHash() {
    if (!exact_hashed) exact_hash = HashBytes(path);
    exact_hashed = true;
    return exact_hash;
  }

  void Split(size_t most) {
    split = true;
    if (path.empty() || path[0] != '/') return;
    const char* at = path.data() + 1;
    const char* const end = path.data() + path.size();
    while (true) {
      if (segments > most) {
        complete = false;
        return;
      }
      const void* slash = at == end ? nullptr : std::memchr(at, '/', static_cast<size_t>(end - at));
      const char* stop = slash == nullptr ? end : static_cast<const char*>(slash);
      hashes[segments] = HashBytes({at, static_cast<size_t>(stop - at)});
      empty[segments] = stop == at;
      ++segments;
      if (slash == nullptr) return;
      at = stop + 1;
    }
  }
};

const Host* MatcherImpl::FindHost(std::string_view name, bool wildcard) const {
  const size_t slots = tables_.hosts.size();
  if (slots == 0) return nullptr;
  const uint64_t key = HostKey(name, wildcard);
  for (size_t slot = SlotOf(key, slots);; slot = slot + 1 == slots ? 0 : slot + 1) {
    const Host& host = tables_.hosts[slot];
    if (host.key == key) {
      return tables_.Text(host.text, host.text_size) == name ? &host : nullptr;
    }
    if (host.key == 0) return nullptr;
  }
}

bool MatcherImpl::Verify(const Node& node, std::string_view path) const {
  const std::string_view text = tables_.TextOf(node);
  if ((node.flags & Node::kHasVariable) == 0) {
    return path.size() >= text.size() && std::memcmp(path.data(), text.data(), text.size()) == 0 &&
           (path.size() == text.size() || text.empty() || path[text.size()] == '/');
  }
  size_t at = 0;
  for (const char c : text) {
    if (c == kVariableMark) {
      const size_t start = at;
      while (at < path.size() && path[at] != '/') ++at;
      if (at == start) return false;
    } else {
      if (at == path.size() || path[at] != c) return false;
      ++at;
    }
  }
  return at == path.size() || path[at] == '/';
}

bool MatcherImpl::MethodHolds(uint16_t methods, Search& search) {
  if (methods == kAnyMethod) return true;
  if (search.method == 0) search.method = MethodBit(search.request.method());
  return (methods & search.method) != 0;
}

bool MatcherImpl::Holds(const RuleRecord& rule, Search& search) const {
  if (!MethodHolds(rule.methods, search)) return false;
  if (rule.methods != kAnyMethod) {
    if (search.method == kOtherMethod &&
        !tables_.conditions[rule.conditions]->HoldOtherMethod(search.request.method())) {
      return false;
    }
  }
  return (rule.flags & RuleRecord::kHasConditions) == 0 ||
         tables_.conditions[rule.conditions]->Hold(search.request);
}

uint32_t MatcherImpl::FirstOf(uint32_t first, uint32_t count, Search& search) const {
  for (uint32_t i = first; i < first + count; ++i) {
    const RuleRecord& rule = tables_.rules[i];
    if ((rule.flags & RuleRecord::kIndexed) != 0) {
      return FirstIndexed(tables_.indexed_lists[rule.value], search);
    }
    if (Holds(rule, search)) return rule.value;
  }
  return kNone;
}

uint32_t MatcherImpl::FirstWhole(const Node& node, Search& search) const {
  if ((node.flags & Node::kOneRule) == 0) return FirstOf(node.rules, node.whole, search);
  return node.whole != 0 && MethodHolds(node.methods, search) ? node.rules : kNone;
}

uint32_t MatcherImpl::FirstRest(const Node& node, Search& search) const {
  // The places of an indexed list count as one record.
  if ((node.flags & Node::kOneRule) == 0)
    return FirstOf(node.rules + node.whole, node.rest, search);
  return node.rest != 0 && MethodHolds(node.methods, search) ? node.rules : kNone;
}

uint32_t MatcherImpl::FirstIndexed(const IndexedList& list, Search& search) const {
  const std::string_view value = search.request.header(list.header);
  auto hit = list.by_value.end();
  uint64_t hash = 0;
  if (value.data() != nullptr) {
    hash = HashBytes(value);
    hit = std::lower_bound(list.by_value.begin(), list.by_value.end(),
                           std::pair<uint64_t, uint32_t>(hash, 0));
  }
  auto other = list.others.begin();
  while (true) {
    const bool has_hit = hit != list.by_value.end() && hit->first == hash;
    const bool has_other = other != list.others.end();
    if (!has_hit && !has_other) return kNone;
    uint32_t place = 0;
    if (has_hit && (!has_other || hit->second < *other)) {
      place = (hit++)->second;
    } else {
      place = *other++;
    }
    if (Holds(list.rules[place], search)) return list.rules[place].value;
  }
}

void MatcherImpl::AtNode(uint64_t key, size_t depth, Search& search) const {
  const Node* node = tables_.nodes.Find(key);
  if (node == nullptr) return;
  if ((node->flags & Node::kVariableChild) != 0 && depth < search.segments && !search.empty[depth] &&
      static_cast<int>(node->below) > search.best_depth) {
    Walk(ChildKey(key, kVariableHash), depth + 1, search);
  }
  if (static_cast<int>(depth) <= search.best_depth) return;
  const bool whole = node->whole != 0 && search.complete && depth == search.segments;
  if ((!whole && node->rest == 0) || !Verify(*node, search.path)) return;
  uint32_t found = kNone;
  if (whole) found = FirstWhole(*node, search);
  if (found == kNone) found = FirstRest(*node, search);
  if (found == kNone) return;
  search.best = found;
  search.best_depth = static_cast<int>(depth);
}

void MatcherImpl::Walk(uint64_t key, size_t depth, Search& search) const {
  const Host& host = *search.host;
  const size_t deepest = std::max(depth, std::min<size_t>(search.segments, host.max_segments));
  const uint64_t stops = host.variables | host.ends;
  search.keys[depth] = key;
  for (size_t at = depth; at < deepest; ++at) {
    key = ChildKey(key, search.hashes[at]);
    search.keys[at + 1] = key;
    if ((stops & DepthBit(at + 1)) != 0) tables_.nodes.Prefetch(key);
  }
  // Longer literal continuations first, then what branches off or ends here. A walk below
  // a variable writes only keys that are done with here.
  for (size_t at = deepest + 1; at-- > depth;) {
    const bool may_branch = (host.variables & DepthBit(at)) != 0;
    const bool may_end =
        (host.ends & DepthBit(at)) != 0 && static_cast<int>(at) > search.best_depth;
    if (may_branch || may_end) AtNode(search.keys[at], at, search);
  }
}

uint32_t MatcherImpl::MatchRegexes(const Host& host, Search& search) const {
  for (uint32_t i = host.regexes; i < host.regexes + host.regex_count; ++i) {
    const RegexRule& rule = tables_.regexes[i];
    const CompiledMatch& match = *rule.match;
    if (search.path < match.regex_min) continue;
    if (!match.regex_max.empty() && search.path > match.regex_max) continue;
    if (Holds(rule.rule, search) && MatchesWhole(*match.regex, search.path)) return rule.rule.value;
  }
  return kNone;
}

uint32_t MatcherImpl::MatchHost(const Host& host, Search& search) const {
  if (host.has_exact && search.path.size() <= tables_.max_exact_bytes) {
    const Node* node = tables_.nodes.Find(ExactKey(host.key, search.ExactHash()));
    if (node != nullptr && tables_.TextOf(*node) == search.path) {
      const uint32_t found = FirstWhole(*node, search);
      if (found != kNone) return found;
    }
  }
  if (host.ends != 0) {
    if (!search.split) search.Split(tables_.max_segments);
    if (search.segments != 0) {
      search.host = &host;
      search.best_depth = -1;
      search.best = kNone;
      Walk(host.key, 0, search);
      if (search.best != kNone) return search.best;
    }
  }
  return host.regex_count == 0 ? kNone : MatchRegexes(host, search);
}

uint32_t MatcherImpl::Match(const RequestView& request) const {
  Search search(request);
  const std::string_view name = request.host();
  if (const Host* host = FindHost(name, /*wildcard=*/false); host != nullptr) {
    if (const uint32_t found = MatchHost(*host, search); found != kNone) return found;
  }
  if (tables_.max_wildcard_bytes != 0) {
    for (size_t dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.', dot + 1)) {
      const std::string_view suffix = name.substr(dot + 1);
      if (dot == 0 || suffix.size() > tables_.max_wildcard_bytes) continue;
      const Host* host = FindHost(suffix, /*wildcard=*/true);
      if (host == nullptr) continue;
      if (const uint32_t found = MatchHost(*host, search); found != kNone) return found;
    }
  }
  return tables_.has_any_host ? MatchHost(tables_.any_host, search) : kNone;
}

size_t MatcherImpl::memory_bytes() const {
  const auto bytes = [](const auto& table) { return table.capacity() * sizeof(table[0]); };
  size_t total = sizeof(*this) + bytes(tables_.hosts) + tables_.nodes.memory_bytes() +
                 bytes(tables_.rules) + bytes(tables_.regexes) + bytes(tables_.conditions) +
                 bytes(tables_.indexed_lists) + bytes(tables_.owners) + tables_.text.capacity();
  for (const IndexedList& list : tables_.indexed_lists) {
    total += bytes(list.rules) + bytes(list.by_value) + bytes(list.others) + list.header.capacity();
  }
  return total;
}

}  // namespace portico::routing
