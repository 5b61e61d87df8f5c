#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/resource/strings.h"
#include "dataplane/routing/matcher_impl.h"

namespace portico::routing {
namespace {

// Lists above this are split by a header field.
constexpr uint32_t kLongList = 16;

struct BuildHost {
  Host host;
  std::string_view name;
  bool wildcard = false;
  std::vector<uint32_t> regexes;  // Rules.
};

struct BuildNode {
  NodeHead node;
  uint32_t host = 0;
  bool exact = false;
  std::string_view pattern;
};

// A rule at one of its hosts.
struct Placed {
  uint32_t rule = 0;
  uint32_t node = 0;
  bool rest = false;
};

// An open-addressing index over a growing vector of things that have a key.
class KeyIndex {
 public:
  explicit KeyIndex(size_t most) : slots_(std::max<size_t>(8, most * 2), kFree) {}
  // The place in `things` of the one with `key`, or kFree; then `slot` is where to Put() it.
  template <typename Thing, typename KeyOf>
  uint32_t Find(uint64_t key, const std::vector<Thing>& things, KeyOf key_of, size_t& slot) const {
    slot = SlotOf(key, slots_.size());
    while (slots_[slot] != kFree && key_of(things[slots_[slot]]) != key) {
      slot = slot + 1 == slots_.size() ? 0 : slot + 1;
    }
    return slots_[slot];
  }
  void Put(size_t slot, uint32_t place) { slots_[slot] = place; }
  static constexpr uint32_t kFree = UINT32_MAX;

 private:
  std::vector<uint32_t> slots_;
};

class Builder {
 public:
  explicit Builder(const std::vector<Matcher::Rule>& rules) : rules_(rules) {}

  absl::StatusOr<Tables> Run() {
    if (absl::Status status = Compile(); !status.ok()) return status;
    Sort();
    host_index_ = KeyIndex(CountHosts());
    node_index_ = KeyIndex(node_bound_);
    for (uint32_t rule : order_) {
      if (absl::Status status = Place(rule); !status.ok()) return status;
    }
    StoreRules();
    StoreHosts();
    StoreNodes();
    return std::move(tables_);
  }

 private:
  absl::Status Compile();
  void Sort();
  size_t CountHosts();
  absl::Status Place(uint32_t rule);
  absl::Status PlaceAt(uint32_t rule, uint32_t host);
  absl::StatusOr<uint32_t> HostOf(std::string_view name, bool wildcard);
  absl::StatusOr<uint32_t> NodeOf(uint64_t key, uint32_t host, bool exact, std::string_view pattern);
  absl::StatusOr<uint32_t> TreeNode(const CompiledMatch& match, uint32_t host);
  RuleRecord RecordOf(uint32_t rule);
  void StoreRules();
  void StoreHosts();
  void StoreNodes();
  uint32_t StoreText(std::string_view text);
  void IndexLongLists();
  void InlineRules();
  uint32_t IndexList(uint32_t first, uint32_t count, std::vector<RuleRecord>& out);

  const CompiledMatch& MatchOf(uint32_t rule) const { return *compiled_[rule]; }

  const std::vector<Matcher::Rule>& rules_;
  std::vector<CompiledMatchPtr> compiled_;
  std::vector<uint32_t> order_;  // Rules by precedence.
  size_t node_bound_ = 0;
  std::vector<BuildHost> hosts_;
  std::vector<BuildNode> nodes_;
  std::vector<Placed> placed_;
  std::vector<uint32_t> conditions_of_;  // By rule: place in Tables::conditions.
  KeyIndex host_index_{0}, node_index_{0};
  Tables tables_;
};

absl::Status Builder::Compile() {
  compiled_.reserve(rules_.size());
  for (const Matcher::Rule& rule : rules_) {
    if (rule.compiled != nullptr) {
      compiled_.push_back(rule.compiled);
      continue;
    }
    absl::StatusOr<CompiledMatchPtr> match = Matcher::Compile(*rule.match);
    if (!match.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("rule ", api::Absl(rule.name), ": ", match.status().message()));
    }
    compiled_.push_back(*std::move(match));
  }
  return absl::OkStatus();
}

void Builder::Sort() {
  order_.resize(rules_.size());
  for (uint32_t i = 0; i < order_.size(); ++i) order_[i] = i;
  const auto before = [&](uint32_t a, uint32_t b) {
    const uint32_t left = MatchOf(a).precedence, right = MatchOf(b).precedence;
    return left != right ? left > right : rules_[a].name < rules_[b].name;
  };
  // Most often they come in the order of names, and have no conditions.
  if (!std::is_sorted(order_.begin(), order_.end(), before)) {
    std::stable_sort(order_.begin(), order_.end(), before);
  }
}

size_t Builder::CountHosts() {
  size_t hosts = 0;
  for (const CompiledMatchPtr& match : compiled_) {
    const size_t here = std::max<size_t>(1, match->hosts.size());
    hosts += here;
    // Only what has a variable needs nodes on the way.
    node_bound_ += here * (match->has_variable ? match->segments + 1 : 1);
  }
  return hosts;
}

absl::StatusOr<uint32_t> Builder::HostOf(std::string_view name, bool wildcard) {
  const uint64_t key = name.empty() ? kHashA : HostKey(name, wildcard);
  size_t slot = 0;
  uint32_t place = host_index_.Find(key, hosts_, [](const BuildHost& h) { return h.host.key; }, slot);
  if (place == KeyIndex::kFree) {
    place = static_cast<uint32_t>(hosts_.size());
    host_index_.Put(slot, place);
    BuildHost& host = hosts_.emplace_back();
    host.host.key = key;
    host.name = name;
    host.wildcard = wildcard;
  } else if (hosts_[place].name != name || hosts_[place].wildcard != wildcard) {
    return absl::InvalidArgumentError(
        absl::StrCat("match.hosts: \"", api::Absl(name), "\" and \"", api::Absl(hosts_[place].name),
                     "\" have the same hash; rename one"));
  }
  return place;
}

absl::StatusOr<uint32_t> Builder::NodeOf(uint64_t key, uint32_t host, bool exact,
                                         std::string_view pattern) {
  size_t slot = 0;
  uint32_t place = node_index_.Find(key, nodes_, [](const BuildNode& n) { return n.node.key; }, slot);
  if (place == KeyIndex::kFree) {
    place = static_cast<uint32_t>(nodes_.size());
    node_index_.Put(slot, place);
    BuildNode& node = nodes_.emplace_back();
    node.node.key = key;
    node.host = host;
    node.exact = exact;
    node.pattern = pattern;
  } else if (nodes_[place].host != host || nodes_[place].exact != exact ||
             nodes_[place].pattern != pattern) {
    return absl::InvalidArgumentError(absl::StrCat(
        "match.path: \"", api::Absl(pattern), "\" and \"", api::Absl(nodes_[place].pattern),
        "\" have the same hash; rename a segment"));
  }
  return place;
}

// The node where the pattern ends; with those on the way at which a variable follows.
absl::StatusOr<uint32_t> Builder::TreeNode(const CompiledMatch& match, uint32_t host) {
  const std::string_view pattern = match.pattern;
  uint64_t key = hosts_[host].host.key;
  size_t depth = 0;
  for (size_t at = 0; at < pattern.size(); ++depth) {
    const size_t end = std::min(pattern.find('/', at + 1), pattern.size());
    const std::string_view segment = pattern.substr(at + 1, end - at - 1);
    const bool variable = segment.size() == 1 && segment[0] == kVariableMark;
    if (variable) {
      absl::StatusOr<uint32_t> parent = NodeOf(key, host, false, pattern.substr(0, at));
      if (!parent.ok()) return parent.status();
      NodeHead& node = nodes_[*parent].node;
      node.flags |= Node::kVariableChild;
      node.below = std::max(node.below, match.segments);
      hosts_[host].host.variables |= DepthBit(depth);
    }
    key = ChildKey(key, variable ? kVariableHash : HashBytes(segment));
    at = end;
  }
  return NodeOf(key, host, false, pattern);
}

absl::Status Builder::PlaceAt(uint32_t rule, uint32_t host) {
  const CompiledMatch& match = MatchOf(rule);
  if (match.kind == PathKind::kRegex) {
    hosts_[host].regexes.push_back(rule);
    return absl::OkStatus();
  }
  Host& info = hosts_[host].host;
  const bool exact = match.kind == PathKind::kExact;
  absl::StatusOr<uint32_t> place =
      exact ? NodeOf(ExactKey(info.key, HashBytes(match.pattern)), host, true, match.pattern)
            : TreeNode(match, host);
  if (!place.ok()) return place.status();
  NodeHead& node = nodes_[*place].node;
  const bool rest = match.kind == PathKind::kPrefix;
  ++(rest ? node.rest : node.whole);
  if (match.has_variable) node.flags |= Node::kHasVariable;
  if (exact) {
    info.has_exact = true;
    tables_.max_exact_bytes = std::max(tables_.max_exact_bytes, match.pattern.size());
  } else {
    info.ends |= DepthBit(match.segments);
    info.max_segments = std::max(info.max_segments, match.segments);
    tables_.max_segments = std::max<size_t>(tables_.max_segments, match.segments);
  }
  placed_.push_back({rule, *place, rest});
  return absl::OkStatus();
}

absl::Status Builder::Place(uint32_t rule) {
  const auto at = [&](std::string_view name, bool wildcard) -> absl::Status {
    absl::StatusOr<uint32_t> host = HostOf(name, wildcard);
    absl::Status status = host.ok() ? PlaceAt(rule, *host) : host.status();
    if (status.ok()) return status;
    return absl::InvalidArgumentError(
        absl::StrCat("rule ", api::Absl(rules_[rule].name), ": ", status.message()));
  };
  const CompiledMatch& match = MatchOf(rule);
  if (match.hosts.empty()) return at("", false);
  for (const api::HostPattern& host : match.hosts) {
    if (absl::Status status = at(host.name, host.wildcard); !status.ok()) return status;
  }
  return absl::OkStatus();
}

RuleRecord Builder::RecordOf(uint32_t rule) {
  const CompiledMatch& match = MatchOf(rule);
  RuleRecord record;
  record.value = rules_[rule].value;
  record.methods = match.methods;
  if (match.conditions.empty()) return record;
  if (!match.conditions.headers.empty() || !match.conditions.query.empty()) {
    record.flags = RuleRecord::kHasConditions;
  }
  if (conditions_of_.empty()) conditions_of_.resize(rules_.size(), UINT32_MAX);
  uint32_t& place = conditions_of_[rule];
  if (place == UINT32_MAX) {
    place = static_cast<uint32_t>(tables_.conditions.size());
    tables_.conditions.push_back(&match.conditions);
    tables_.owners.push_back(compiled_[rule]);
  }
  record.conditions = place;
  return record;
}

void Builder::StoreRules() {
  uint32_t next = 0;
  std::vector<uint32_t> whole_at(nodes_.size()), rest_at(nodes_.size());
  for (size_t i = 0; i < nodes_.size(); ++i) {
    NodeHead& node = nodes_[i].node;
    node.rules = next;
    whole_at[i] = next;
    rest_at[i] = next + node.whole;
    next += node.whole + node.rest;
  }
  tables_.rules.resize(next);
  for (const Placed& placed : placed_) {
    uint32_t& at = placed.rest ? rest_at[placed.node] : whole_at[placed.node];
    tables_.rules[at++] = RecordOf(placed.rule);
  }
  const bool long_lists = std::any_of(nodes_.begin(), nodes_.end(), [](const BuildNode& n) {
    return n.node.whole > kLongList || n.node.rest > kLongList;
  });
  if (long_lists) IndexLongLists();
  InlineRules();
}

// Moves a rule that is alone at its node into it, if that has room for all of it. All of
// them, so that what is left of tables_.rules has no gaps; done last.
void Builder::InlineRules() {
  std::vector<RuleRecord> rules;
  for (BuildNode& build : nodes_) {
    NodeHead& node = build.node;
    const auto first = tables_.rules.begin() + node.rules;
    const uint32_t count = node.whole + node.rest;
    if (count == 1 && first->flags == 0 &&
        (first->methods == kAnyMethod || (first->methods & kOtherMethod) == 0)) {
      node.flags |= Node::kOneRule;
      node.methods = first->methods;
      node.rules = first->value;
    } else {
      node.rules = static_cast<uint32_t>(rules.size());
      rules.insert(rules.end(), first, first + count);
    }
  }
  rules.shrink_to_fit();
  tables_.rules = std::move(rules);
}

void Builder::IndexLongLists() {
  std::vector<RuleRecord> rules;
  for (BuildNode& build : nodes_) {
    NodeHead& node = build.node;
    const uint32_t first = node.rules;
    node.rules = static_cast<uint32_t>(rules.size());
    const uint32_t whole = node.whole;
    node.whole = IndexList(first, whole, rules);
    node.rest = IndexList(first + whole, node.rest, rules);
  }
  tables_.rules = std::move(rules);
}

// Appends the list to `out`, as it is or as one record; returns how many were appended.
uint32_t Builder::IndexList(uint32_t first, uint32_t count, std::vector<RuleRecord>& out) {
  const auto begin = tables_.rules.begin() + first;
  std::map<std::string_view, uint32_t> uses;
  std::string_view header;
  const auto exact_of = [&](const RuleRecord& rule, std::string_view name) -> const HeaderCondition* {
    if ((rule.flags & RuleRecord::kHasConditions) == 0) return nullptr;
    for (const HeaderCondition& condition : tables_.conditions[rule.conditions]->headers) {
      if (condition.kind == HeaderCondition::Kind::kExact && (name.empty() || condition.name == name)) {
        return &condition;
      }
    }
    return nullptr;
  };
  if (count > kLongList) {
    for (auto rule = begin; rule != begin + count; ++rule) {
      if ((rule->flags & RuleRecord::kHasConditions) == 0) continue;
      for (const HeaderCondition& condition : tables_.conditions[rule->conditions]->headers) {
        if (condition.kind != HeaderCondition::Kind::kExact) continue;
        const uint32_t seen = ++uses[condition.name];
        if (header.empty() || seen > uses[header]) header = condition.name;
      }
    }
  }
  if (header.empty()) {
    out.insert(out.end(), begin, begin + count);
    return count;
  }
  IndexedList& list = tables_.indexed_lists.emplace_back();
  list.header = std::string(header);
  list.rules.assign(begin, begin + count);
  for (uint32_t i = 0; i < count; ++i) {
    const HeaderCondition* condition = exact_of(list.rules[i], header);
    if (condition == nullptr) {
      list.others.push_back(i);
    } else {
      list.by_value.emplace_back(HashBytes(condition->text), i);
    }
  }
  std::sort(list.by_value.begin(), list.by_value.end());
  RuleRecord& record = out.emplace_back();
  record.flags = RuleRecord::kIndexed;
  record.value = static_cast<uint32_t>(tables_.indexed_lists.size() - 1);
  return 1;
}

uint32_t Builder::StoreText(std::string_view text) {
  const auto at = static_cast<uint32_t>(tables_.text.size());
  tables_.text += text;
  return at;
}

void Insert(std::vector<Host>& table, const Host& host) {
  size_t slot = SlotOf(host.key, table.size());
  while (table[slot].key != 0) slot = slot + 1 == table.size() ? 0 : slot + 1;
  table[slot] = host;
}

void Builder::StoreHosts() {
  tables_.hosts.resize(hosts_.size() * 2 + 1);
  for (BuildHost& build : hosts_) {
    Host& host = build.host;
    host.text = StoreText(build.name);
    host.text_size = static_cast<uint16_t>(build.name.size());
    host.regexes = static_cast<uint32_t>(tables_.regexes.size());
    host.regex_count = static_cast<uint32_t>(build.regexes.size());
    for (uint32_t rule : build.regexes) {
      tables_.regexes.push_back({RecordOf(rule), &MatchOf(rule)});
      tables_.owners.push_back(compiled_[rule]);
    }
    if (build.name.empty()) {
      tables_.has_any_host = true;
      tables_.any_host = host;
      continue;
    }
    if (build.wildcard) {
      tables_.max_wildcard_bytes = std::max(tables_.max_wildcard_bytes, build.name.size());
    }
    Insert(tables_.hosts, host);
  }
}

void Builder::StoreNodes() {
  tables_.nodes = KeyedTable<Node>(nodes_.size());
  for (const BuildNode& build : nodes_) {
    Node& node = tables_.nodes.Add({build.node, {}});
    const std::string_view text = build.pattern;
    // Without rules there is nothing to verify.
    if (node.whole + node.rest == 0) continue;
    node.text_size = static_cast<uint16_t>(text.size());
    if (text.size() <= sizeof node.text) {
      text.copy(node.text, text.size());
    } else {
      const uint32_t at = StoreText(text);
      std::memcpy(node.text, &at, sizeof at);
    }
  }
}

}  // namespace

absl::StatusOr<Tables> BuildTables(const std::vector<Matcher::Rule>& rules) {
  return Builder(rules).Run();
}

absl::StatusOr<std::shared_ptr<const Matcher>> Matcher::Build(const std::vector<Rule>& rules) {
  absl::StatusOr<Tables> tables = BuildTables(rules);
  if (!tables.ok()) return tables.status();
  return std::shared_ptr<const Matcher>(std::make_shared<const MatcherImpl>(*std::move(tables)));
}

}  // namespace portico::routing
