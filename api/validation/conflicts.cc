#include "api/validation/conflicts.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "api/resource/strings.h"

namespace portico::api {
namespace {

using Names = google::protobuf::RepeatedPtrField<std::string>;

// Whether a list of names takes `name`; an empty list takes all, and `name` nullptr means all.
bool Takes(const Names& names, const std::string* name) {
  if (names.empty()) return true;
  return name != nullptr && std::find(names.begin(), names.end(), *name) != names.end();
}

// The elements of a list, or one nullptr, which stands for all.
std::vector<const std::string*> Each(const Names& names) {
  std::vector<const std::string*> each;
  for (const std::string& name : names) each.push_back(&name);
  if (each.empty()) each.push_back(nullptr);
  return each;
}

std::string ShownPath(const v1::PathMatch& path) {
  switch (path.kind_case()) {
    case v1::PathMatch::kExact:
      return absl::StrCat("exact ", path.exact());
    case v1::PathMatch::kPrefix:
      return absl::StrCat("prefix ", path.prefix());
    case v1::PathMatch::kTemplate:
      return absl::StrCat("template ", path.template_());
    case v1::PathMatch::kRegex:
      return absl::StrCat("regex ", path.regex());
    case v1::PathMatch::kGrpc:
      return absl::StrCat("grpc ", GrpcPath(path.grpc()));
    case v1::PathMatch::KIND_NOT_SET:
      break;
  }
  return "";
}

}  // namespace

void ClaimIndex::Add(const ResourceKey& key, const v1::Resource& resource,
                     const std::vector<Claim>& claims) {
  for (size_t i = 0; i < claims.size(); ++i) {
    // A host written twice is one claim of a route, and a violation elsewhere.
    if (resource.has_route() && i > 0 && claims[i].value == claims[i - 1].value) continue;
    holders_[claims[i].value].push_back({&key, &resource, claims[i].field});
  }
}

const std::vector<ClaimIndex::Holder>* ClaimIndex::Find(const std::string& claim) const {
  const auto found = holders_.find(claim);
  return found == holders_.end() || found->second.size() < 2 ? nullptr : &found->second;
}

void ClaimIndex::Check(const v1::Resource& resource, const std::vector<Claim>& claims,
                       Report& report) const {
  if (resource.has_route()) {
    CheckRoute(resource.route().match(), claims, report);
    return;
  }
  for (const Claim& claim : claims) CheckExclusive(claim, report);
}

void ClaimIndex::CheckExclusive(const Claim& claim, Report& report) const {
  const std::vector<Holder>* holders = Find(claim.value);
  if (holders == nullptr) return;
  const Holder& first = holders->front();
  if (*first.key == report.key() && first.field == claim.field) return;
  if (report.key().kind == "Consumer") {
    report.Add(claim.field, Std(absl::string_view(claim.value)).substr(3),
               absl::StrCat("is also ", first.field, " of ", ToString(*first.key)),
               "give each consumer keys of its own, and list a key once");
  } else {
    report.Add(claim.field, Std(absl::string_view(claim.value)).substr(7),
               absl::StrCat("is also the address of ", ToString(*first.key)),
               "use another address or port");
  }
}

// A route never wins when each combination of host, listener and method that it takes is also taken
// by a route with the same path and conditions and an earlier name.
void ClaimIndex::CheckRoute(const v1::RouteMatch& match, const std::vector<Claim>& claims,
                            Report& report) const {
  if (match.path().kind_case() == v1::PathMatch::KIND_NOT_SET) return;
  const std::vector<const std::string*> listeners = Each(match.listeners());
  const std::vector<const std::string*> methods = Each(match.methods());
  std::set<std::string> winners;
  std::vector<bool> covered;
  for (const Claim& claim : claims) {
    const std::vector<Holder>* holders = Find(claim.value);
    if (holders == nullptr) return;
    covered.assign(listeners.size() * methods.size(), false);
    size_t left = covered.size();
    for (const Holder& holder : *holders) {
      if (left == 0 || *holder.key >= report.key()) break;
      const v1::RouteMatch& other = holder.resource->route().match();
      for (size_t i = 0; i < covered.size(); ++i) {
        if (covered[i] || !Takes(other.listeners(), listeners[i / methods.size()]) ||
            !Takes(other.methods(), methods[i % methods.size()])) {
          continue;
        }
        covered[i] = true;
        --left;
        winners.insert(ToString(*holder.key));
      }
    }
    if (left > 0) return;
  }
  if (winners.empty()) return;
  std::vector<std::string> shown(winners.begin(), winners.end());
  if (shown.size() > 3) {
    const size_t more = shown.size() - 3;
    shown.resize(3);
    shown.push_back(absl::StrCat(more, " more"));
  }
  report.Add(
      "spec.match", ShownPath(match.path()),
      absl::StrCat("can never win: every request it takes goes to ", absl::StrJoin(shown, ", "),
                   ", with the same conditions and an earlier name"),
      "remove one of them, or change its host, path, methods or conditions");
}

}  // namespace portico::api
