#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "dataplane/snapshot/builder_state.h"
#include "dataplane/snapshot/entries.h"
#include "dataplane/snapshot/tls_entries.h"

namespace portico::snapshot {
namespace {

// Resources that no policy is made of, besides the route itself.
bool IsPlumbing(const api::ResourceKey& key) {
  return key.kind == "Route" || key.kind == "Upstream" || key.kind == "Listener" ||
         key.kind == "AccessLog" || IsTlsKind(key.kind);
}

std::string Serialized(const v1::RouteMatch& match) { return match.SerializeAsString(); }

}  // namespace

void Compilation::Violate(const char* kind, const std::string& name, const absl::Status& why) {
  v1::Violation violation;
  violation.mutable_resource()->set_kind(kind);
  violation.mutable_resource()->set_name(name);
  // "field: the rest", as the compilers write it.
  const std::string text(why.message());
  const size_t colon = text.find(": ");
  violation.set_field(colon == std::string::npos ? "spec" : text.substr(0, colon));
  violation.set_reason(colon == std::string::npos ? text : text.substr(colon + 2));
  violation.set_fix("correct the field");
  violations_.push_back(std::move(violation));
}

bool Compilation::Run(Snapshot& snapshot, Built& built) {
  policies_may_change_ = all_policies_ || !std::all_of(changed_.begin(), changed_.end(), IsPlumbing);
  tls_may_change_ = std::any_of(changed_.begin(), changed_.end(), [](const api::ResourceKey& key) {
    return IsTlsKind(key.kind);
  });
  for (const std::unique_ptr<PolicyBuilder>& builder : builders_) {
    if (absl::Status status = builder->BeginSnapshot(snapshot.resources); !status.ok()) {
      Violate("", "", status);
    }
  }
  return violations_.empty() && CompileListeners(snapshot, built) && CompileUpstreams(snapshot, built) &&
         CompileRoutes(snapshot, built) && CompileMatches(snapshot, built) && CompileMatchers(snapshot, built);
}

bool Compilation::CompileListeners(Snapshot& snapshot, Built& built) {
  ForEachOf(snapshot.resources, "AccessLog", [&](const std::string& name, const api::StoredResourcePtr& stored) {
    auto& kept = built.access_logs[name];
    kept.first = stored->hash;
    if (previous_ != nullptr) {
      const auto before = previous_->access_logs.find(name);
      if (before != previous_->access_logs.end() && before->second.first == stored->hash) kept = before->second;
    }
    if (kept.second == nullptr) kept.second = MakeAccessLog(*stored);
    snapshot.access_logs.push_back(kept.second);
  });
  ForEachOf(snapshot.resources, "Listener", [&](const std::string& name, const api::StoredResourcePtr& stored) {
    CompileListener(name, *stored, snapshot);
  });
  return violations_.empty();
}

void Compilation::CompileListener(const std::string& name, const api::StoredResource& stored,
                                  Snapshot& snapshot) {
  std::shared_ptr<const ListenerEntry> before;
  if (previous_ != nullptr) {
    for (const std::shared_ptr<const ListenerEntry>& one : previous_->snapshot->listeners) {
      if (one->name == name) before = one;
    }
  }
  const bool same = before != nullptr && before->hash == stored.hash;
  if (same && !tls_may_change_) {
    snapshot.listeners.push_back(std::move(before));
    return;
  }
  const v1::Listener& spec = stored.resource.listener();
  const api::Digest hash = TlsHash(spec, snapshot.resources);
  if (same && before->tls_hash == hash) {
    snapshot.listeners.push_back(std::move(before));
    return;
  }
  absl::StatusOr<std::shared_ptr<ListenerEntry>> entry = MakeListener(stored);
  if (!entry.ok()) {
    Violate("Listener", name, entry.status());
    return;
  }
  (*entry)->tls_hash = hash;
  if (spec.has_tls()) {
    auto& context = server_contexts_[hash];
    if (context == nullptr && before != nullptr && before->tls_hash == hash) context = before->tls;
    if (context == nullptr) {
      auto made = MakeServerContext(spec, snapshot.resources);
      if (!made.ok()) {
        Violate("Listener", name, made.status());
        return;
      }
      context = *std::move(made);
    }
    (*entry)->tls = context;
  }
  snapshot.listeners.push_back(*std::move(entry));
}

bool Compilation::CompileUpstreams(const Snapshot& snapshot, Built& built) {
  if (previous_ != nullptr) built.upstreams = previous_->upstreams;
  for (const api::ResourceKey& key : changed_) {
    if (key.kind == "Upstream") changed_upstreams_.insert(key.name);
  }
  if (tls_may_change_) {
    for (const auto& [name, entry] : built.upstreams) {
      if (entry->tls == nullptr) continue;
      const auto found = snapshot.resources.find(api::ResourceKey{"Upstream", name});
      if (found != snapshot.resources.end() &&
          entry->tls_hash != TlsHash(found->second->resource.upstream(), snapshot.resources)) {
        changed_upstreams_.insert(name);
      }
    }
  }
  for (const std::string& name : changed_upstreams_) {
    const auto found = snapshot.resources.find(api::ResourceKey{"Upstream", name});
    if (found == snapshot.resources.end()) {
      built.upstreams.erase(name);
    } else {
      CompileUpstream(name, *found->second, snapshot, built);
    }
  }
  return violations_.empty();
}

void Compilation::CompileUpstream(const std::string& name, const api::StoredResource& stored,
                                  const Snapshot& snapshot, Built& built) {
  absl::StatusOr<std::shared_ptr<UpstreamEntry>> entry = MakeUpstream(stored, ids_);
  if (!entry.ok()) {
    Violate("Upstream", name, entry.status());
    return;
  }
  const v1::Upstream& spec = stored.resource.upstream();
  if (spec.has_tls()) {
    const api::Digest hash = TlsHash(spec, snapshot.resources);
    auto& context = client_contexts_[hash];
    const auto before = built.upstreams.find(name);
    if (context == nullptr && before != built.upstreams.end() && before->second->tls_hash == hash)
      context = before->second->tls;
    if (context == nullptr) {
      auto made = MakeClientContext(spec, snapshot.resources);
      if (!made.ok()) {
        Violate("Upstream", name, made.status());
        return;
      }
      context = *std::move(made);
    }
    (*entry)->tls_hash = hash;
    (*entry)->tls = context;
  }
  built.upstreams[name] = *std::move(entry);
}

bool Compilation::Reusable(const RouteDetails& before, const api::StoredResource& stored) const {
  if (before.resource->hash != stored.hash) return false;
  if (!changed_upstreams_.empty()) {
    for (const RouteDetails::Target& target : before.targets) {
      if (changed_upstreams_.contains(target.upstream->name)) return false;
    }
  }
  if (!policies_may_change_) return true;
  return !all_policies_ && std::none_of(builders_.begin(), builders_.end(),
                                        [&](const auto& builder) { return builder->Affected(stored); });
}

std::shared_ptr<const PolicyTable> Compilation::SharedPolicies(PolicyTable policies) {
  if (std::none_of(policies.begin(), policies.end(),
                   [](const auto& policy) { return policy != nullptr; })) {
    return nullptr;
  }
  std::shared_ptr<const PolicyTable>& shared = policy_tables_[policies];
  if (shared == nullptr) shared = std::make_shared<const PolicyTable>(std::move(policies));
  return shared;
}

std::shared_ptr<const RespondEntry> Compilation::SharedRespond(const v1::Route& spec) {
  if (!spec.has_respond()) return nullptr;
  RespondEntry respond = MakeRespond(spec);
  std::shared_ptr<const RespondEntry>& shared =
      responds_[std::tuple(respond.status, respond.content_type, respond.body)];
  if (shared == nullptr) shared = std::make_shared<const RespondEntry>(std::move(respond));
  return shared;
}

RouteEntry Compilation::CompileRoute(const api::StoredResourcePtr& stored, const Built& built) {
  std::shared_ptr<RouteDetails> details = MakeRouteDetails(stored);
  const v1::Route& spec = stored->resource.route();
  uint32_t weight = 0;
  for (int i = 0; i < spec.upstreams_size(); ++i) {
    const v1::WeightedUpstream& target = spec.upstreams(i);
    const auto upstream = built.upstreams.find(target.name());
    if (upstream == built.upstreams.end()) {
      Violate(
          "Route", details->name,
          absl::InvalidArgumentError(absl::StrCat("spec.upstreams[", i, "].name: \"", target.name(),
                                                  "\" is no Upstream of this revision")));
      return {};
    }
    weight += target.weight() == 0 ? 1 : target.weight();
    details->targets.push_back({upstream->second, weight});
  }
  details->targets.shrink_to_fit();
  PolicyTable policies;
  for (const std::unique_ptr<PolicyBuilder>& builder : builders_) {
    absl::StatusOr<std::shared_ptr<const Policy>> policy = builder->Build(*stored);
    if (!policy.ok()) {
      Violate("Route", details->name, policy.status());
      return {};
    }
    policies[static_cast<size_t>(builder->kind())] = *std::move(policy);
  }
  details->policies = SharedPolicies(std::move(policies));
  details->respond = SharedRespond(spec);
  return MakeRoute(std::move(details), ids_);
}

bool Compilation::CompileRoutes(Snapshot& snapshot, Built& built) {
  static const std::vector<RouteEntry> kNoRoutes;
  const std::vector<RouteEntry>& before =
      previous_ == nullptr ? kNoRoutes : previous_->snapshot->routes;
  snapshot.routes.reserve(before.size() + 1);
  previous_place_.reserve(before.size() + 1);
  size_t at = 0;  // Both are in the order of names.
  ForEachOf(snapshot.resources, "Route",
            [&](const std::string& name, const api::StoredResourcePtr& stored) {
              while (at < before.size() && before[at].name() < name) ++at;
              const bool known = at < before.size() && before[at].name() == name;
              previous_place_.push_back(known ? static_cast<int64_t>(at) : -1);
              if (known && Reusable(*before[at].details, *stored)) {
                snapshot.routes.push_back(before[at]);
              } else if (RouteEntry entry = CompileRoute(stored, built); entry.details != nullptr) {
                snapshot.routes.push_back(std::move(entry));
              }
            });
  return violations_.empty();
}

bool Compilation::CompileMatches(const Snapshot& snapshot, Built& built) {
  same_matches_ = previous_ != nullptr && previous_->snapshot->routes.size() == snapshot.routes.size();
  built.matches.reserve(snapshot.routes.size());
  const auto match_of = [](const RouteEntry& route) -> const v1::RouteMatch& {
    return route.details->resource->resource.route().match();
  };
  for (size_t i = 0; i < snapshot.routes.size(); ++i) {
    const RouteEntry& route = snapshot.routes[i];
    if (previous_place_[i] >= 0) {
      const auto place = static_cast<size_t>(previous_place_[i]);
      const RouteEntry& before = previous_->snapshot->routes[place];
      if (before.details == route.details ||
          Serialized(match_of(before)) == Serialized(match_of(route))) {
        built.matches.push_back(previous_->matches[place]);
        continue;
      }
    }
    same_matches_ = false;
    absl::StatusOr<routing::CompiledMatchPtr> compiled = routing::Matcher::Compile(match_of(route));
    if (!compiled.ok()) {
      Violate("Route", route.name(),
              absl::InvalidArgumentError(absl::StrCat("spec.", compiled.status().message())));
      continue;
    }
    built.matches.push_back({*std::move(compiled), !match_of(route).listeners().empty()});
  }
  return violations_.empty();
}

std::shared_ptr<const routing::Matcher> Compilation::BuildMatcher(const Snapshot& snapshot, const Built& built,
                                                                  const std::string* listener) {
  std::vector<routing::Matcher::Rule> rules;
  rules.reserve(snapshot.routes.size());
  for (uint32_t i = 0; i < snapshot.routes.size(); ++i) {
    const RouteEntry& route = snapshot.routes[i];
    if (built.matches[i].names_listeners) {
      const auto& names = route.details->resource->resource.route().match().listeners();
      if (listener == nullptr || std::find(names.begin(), names.end(), *listener) == names.end()) continue;
    }
    rules.push_back({route.name(), nullptr, i, built.matches[i].compiled});
  }
  absl::StatusOr<std::shared_ptr<const routing::Matcher>> matcher = routing::Matcher::Build(rules);
  if (matcher.ok()) return *std::move(matcher);
  Violate("Route", "", matcher.status());
  return nullptr;
}

bool Compilation::CompileMatchers(Snapshot& snapshot, Built& built) {
  if (same_matches_) {
    built.common_matcher = previous_->common_matcher;
    built.named = previous_->named;
  } else {
    for (size_t i = 0; i < snapshot.routes.size(); ++i) {
      if (!built.matches[i].names_listeners) continue;
      const auto& names =
          snapshot.routes[i].details->resource->resource.route().match().listeners();
      built.named.insert(names.begin(), names.end());
    }
  }
  for (const std::shared_ptr<const ListenerEntry>& listener : snapshot.listeners) {
    std::shared_ptr<const routing::Matcher> matcher;
    if (built.named.count(listener->name) == 0) {
      if (built.common_matcher == nullptr) built.common_matcher = BuildMatcher(snapshot, built, nullptr);
      matcher = built.common_matcher;
    } else if (same_matches_) {
      for (const auto& [name, before] : previous_->snapshot->matchers) {
        if (name == listener->name) matcher = before;
      }
    }
    if (matcher == nullptr && violations_.empty()) matcher = BuildMatcher(snapshot, built, &listener->name);
    snapshot.matchers.emplace_back(listener->name, std::move(matcher));
  }
  return violations_.empty();
}

}  // namespace portico::snapshot
