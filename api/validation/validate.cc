#include "api/validation/validate.h"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "api/resource/facts.h"
#include "api/resource/near.h"
#include "api/validation/checks.h"
#include "api/validation/conflicts.h"
#include "api/validation/report.h"

namespace portico::api {
namespace {

// Of the names that are missing, so many are compared with all that exist.
constexpr int kMaxSuggestions = 100;

// Header fields that carry API keys, and the first route that says so.
using KeyFields = std::map<std::string, ResourceKey>;

void CheckReferences(const v1::Resource& resource, const ResourceSet& set, Report& report) {
  for (Reference& reference : ReferencesOf(resource)) {
    if (reference.kind == kApiKeyField) continue;
    ResourceKey target{std::string(reference.kind), std::move(reference.name)};
    if (!set.contains(target)) report.AddMissing(std::move(reference.field), std::move(target));
  }
}

void NoteKeyFields(const ResourceKey& key, const v1::Resource& resource, KeyFields& fields) {
  for (const Reference& reference : ReferencesOf(resource)) {
    if (reference.kind == kApiKeyField) fields.emplace(reference.name, key);
  }
}

void CheckLoggedKeys(const v1::AccessLog& log, const KeyFields& fields, Report& report) {
  for (int i = 0; i < log.request_headers_size(); ++i) {
    const std::string name = absl::AsciiStrToLower(log.request_headers(i));
    const auto found = fields.find(name);
    if (found == fields.end() || name == "x-api-key" || name == "authorization" || name == "cookie")
      continue;
    report.Add(
        At("spec.request_headers", i), log.request_headers(i),
        absl::StrCat("carries API keys (", ToString(found->second), "), which are never logged"),
        "remove it");
  }
}

void Suggest(const ResourceSet& set, Finding& finding) {
  const ResourceKey& missing = *finding.missing;
  NearestName nearest(missing.name);
  for (auto it = set.lower_bound({missing.kind, ""});
       it != set.end() && it->first.kind == missing.kind; ++it) {
    nearest.Consider(it->first.name);
  }
  if (nearest.name().empty()) return;
  finding.violation.set_fix(
      absl::StrCat("did you mean \"", nearest.name(), "\"? Else ", finding.violation.fix()));
}

std::vector<v1::Violation> Finish(const ResourceSet& set, std::vector<Finding> findings) {
  const auto order = [](const Finding& finding) {
    const v1::Violation& v = finding.violation;
    return std::tie(v.resource().kind(), v.resource().name(), v.field(), v.reason(), v.value());
  };
  std::sort(findings.begin(), findings.end(),
            [&](const Finding& a, const Finding& b) { return order(a) < order(b); });
  int suggestions = 0;
  std::vector<v1::Violation> violations;
  violations.reserve(findings.size());
  for (Finding& finding : findings) {
    if (finding.missing && suggestions++ < kMaxSuggestions) Suggest(set, finding);
    violations.push_back(std::move(finding.violation));
  }
  return violations;
}

// One call of ValidateChange().
class ChangeCheck {
 public:
  ChangeCheck(const ResourceSet& before, const ResourceSet& after,
              const std::set<ResourceKey>& changed)
      : before_(before), after_(after), changed_(changed) {}

  const ChangeCost& cost() const { return cost_; }

  std::vector<v1::Violation> Run() {
    CheckChanged();
    CheckReferrers();
    CheckConflicts();
    CheckAccessLogs();
    return Finish(after_, std::move(findings_));
  }

 private:
  using Entry = ResourceSet::value_type;

  // Calls `visit` with every resource whose filter may have one of `wanted`. This is the cheap
  // pass: an entry that does not has one word of it read.
  template <typename Visit>
  void Pass(uint64_t StoredResource::*filter, const std::vector<uint64_t>& wanted, Visit visit) {
    if (wanted.empty()) return;
    ++cost_.passes;
    uint64_t any = 0;
    for (const uint64_t bits : wanted) any |= bits;
    // Beyond a few facts their union says as much.
    constexpr size_t kFew = 16;
    for (const Entry& entry : after_) {
      const uint64_t has = (*entry.second).*filter;
      if ((has & any) == 0) continue;
      const bool maybe =
          wanted.size() > kFew || std::any_of(wanted.begin(), wanted.end(),
                                              [&](uint64_t bits) { return (has & bits) == bits; });
      if (!maybe) continue;
      ++cost_.examined;
      visit(entry);
    }
  }

  void CheckChanged() {
    for (const ResourceKey& key : changed_) {
      const auto found = after_.find(key);
      if (found == after_.end()) continue;
      ++cost_.examined;
      Report report(key, findings_);
      CheckResource(key, *found->second, report);
      CheckReferences(found->second->resource, after_, report);
    }
  }

  // Only what was removed can leave a reference of an unchanged resource without its target.
  void CheckReferrers() {
    std::vector<uint64_t> wanted;
    for (const ResourceKey& key : changed_) {
      if (!after_.contains(key) && before_.contains(key))
        wanted.push_back(FilterBits(key.kind, key.name));
    }
    Pass(&StoredResource::reference_filter, wanted, [&](const Entry& entry) {
      if (changed_.contains(entry.first)) return;
      Report report(entry.first, findings_);
      CheckReferences(entry.second->resource, after_, report);
    });
  }

  // Claims that a changed resource did not hold, or held with other listeners or methods.
  std::unordered_set<std::string> NewClaims() const {
    std::unordered_set<std::string> claims;
    for (const ResourceKey& key : changed_) {
      const auto now = after_.find(key);
      if (now == after_.end()) continue;
      const v1::Resource& resource = now->second->resource;
      const auto then = before_.find(key);
      if (then != before_.end() && resource.has_route() && then->second->resource.has_route() &&
          resource.route().match().SerializeAsString() ==
              then->second->resource.route().match().SerializeAsString()) {
        continue;
      }
      for (Claim& claim : ClaimsOf(resource)) claims.insert(std::move(claim.value));
    }
    return claims;
  }

  static std::vector<uint64_t> BitsOf(const std::unordered_set<std::string>& claims) {
    std::vector<uint64_t> bits;
    for (const std::string& claim : claims) bits.push_back(FilterBits(claim));
    return bits;
  }

  void CheckConflicts() {
    struct Touched {
      const Entry* entry;
      std::vector<Claim> claims;
    };
    const std::unordered_set<std::string> fresh = NewClaims();
    std::unordered_set<std::string> relevant = fresh;
    std::vector<Touched> touched;
    const auto holds = [](const std::vector<Claim>& claims,
                          const std::unordered_set<std::string>& wanted) {
      return std::any_of(claims.begin(), claims.end(),
                         [&](const Claim& claim) { return wanted.contains(claim.value); });
    };
    Pass(&StoredResource::claim_filter, BitsOf(fresh), [&](const Entry& entry) {
      std::vector<Claim> claims = ClaimsOf(entry.second->resource);
      if (!holds(claims, fresh)) return;
      for (const Claim& claim : claims) relevant.insert(claim.value);
      touched.push_back({&entry, std::move(claims)});
    });
    ClaimIndex index;
    if (relevant.size() == fresh.size()) {
      for (const Touched& one : touched)
        index.Add(one.entry->first, one.entry->second->resource, one.claims);
    } else {
      // A route touched on one host is judged by who holds its other hosts, too.
      Pass(&StoredResource::claim_filter, BitsOf(relevant), [&](const Entry& entry) {
        const std::vector<Claim> claims = ClaimsOf(entry.second->resource);
        if (holds(claims, relevant)) index.Add(entry.first, entry.second->resource, claims);
      });
    }
    for (const Touched& one : touched) {
      Report report(one.entry->first, findings_);
      index.Check(one.entry->second->resource, one.claims, report);
    }
  }

  void CheckAccessLogs() {
    KeyFields fresh;
    for (const ResourceKey& key : changed_) {
      const auto found = after_.find(key);
      if (found != after_.end()) NoteKeyFields(key, found->second->resource, fresh);
    }
    std::vector<const Entry*> logs;
    std::vector<uint64_t> wanted;
    for (auto it = after_.lower_bound({"AccessLog", ""});
         it != after_.end() && it->first.kind == "AccessLog"; ++it) {
      const bool is_changed = changed_.contains(it->first);
      bool touched = is_changed;
      for (const std::string& header : it->second->resource.access_log().request_headers()) {
        const std::string name = absl::AsciiStrToLower(header);
        touched = touched || fresh.contains(name);
        if (touched) wanted.push_back(FilterBits(kApiKeyField, name));
      }
      if (touched) logs.push_back(&*it);
    }
    KeyFields fields;
    Pass(&StoredResource::reference_filter, wanted,
         [&](const Entry& entry) { NoteKeyFields(entry.first, entry.second->resource, fields); });
    for (const Entry* log : logs) {
      Report report(log->first, findings_);
      CheckLoggedKeys(log->second->resource.access_log(), fields, report);
    }
  }

  const ResourceSet& before_;
  const ResourceSet& after_;
  const std::set<ResourceKey>& changed_;
  std::vector<Finding> findings_;
  ChangeCost cost_;
};

}  // namespace

std::vector<v1::Violation> Validate(const ResourceSet& set) {
  std::vector<Finding> findings;
  std::vector<std::vector<Claim>> claims;
  claims.reserve(set.size());
  ClaimIndex index;
  KeyFields key_fields;
  for (const auto& [key, stored] : set) {
    Report report(key, findings);
    CheckResource(key, *stored, report);
    CheckReferences(stored->resource, set, report);
    NoteKeyFields(key, stored->resource, key_fields);
    claims.push_back(ClaimsOf(stored->resource));
    index.Add(key, stored->resource, claims.back());
  }
  auto held = claims.begin();
  for (const auto& [key, stored] : set) {
    Report report(key, findings);
    index.Check(stored->resource, *held++, report);
    if (stored->resource.has_access_log())
      CheckLoggedKeys(stored->resource.access_log(), key_fields, report);
  }
  return Finish(set, std::move(findings));
}

std::vector<v1::Violation> ValidateChange(const ResourceSet& before, const ResourceSet& after,
                                          const std::set<ResourceKey>& changed, ChangeCost* cost) {
  // For most of the set the passes would cost more than the whole.
  if (changed.size() > 64 && changed.size() > after.size() / 4) {
    if (cost != nullptr) *cost = {1, after.size()};
    return Validate(after);
  }
  ChangeCheck check(before, after, changed);
  std::vector<v1::Violation> violations = check.Run();
  if (cost != nullptr) *cost = check.cost();
  return violations;
}

namespace {

// On one line, and nothing that a terminal would obey.
std::string Printable(const std::string& value) {
  std::string text;
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      absl::StrAppend(&text, "\\x", absl::Hex(byte, absl::kZeroPad2));
    } else {
      text.push_back(c);
    }
  }
  return text;
}

}  // namespace

std::string ToString(const v1::Violation& violation) {
  std::string text = absl::StrCat(violation.resource().kind(), "/", violation.resource().name());
  if (!violation.field().empty()) absl::StrAppend(&text, " ", violation.field());
  absl::StrAppend(&text, ": ");
  if (!violation.value().empty())
    absl::StrAppend(&text, "\"", Printable(violation.value()), "\": ");
  absl::StrAppend(&text, violation.reason());
  if (!violation.fix().empty()) absl::StrAppend(&text, " -- ", violation.fix());
  return text;
}

}  // namespace portico::api
