// What the builder keeps between revisions.
#ifndef DATAPLANE_SNAPSHOT_BUILDER_STATE_H_
#define DATAPLANE_SNAPSHOT_BUILDER_STATE_H_

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/snapshot/snapshot.h"

namespace portico::snapshot {

// Where snapshots go when nobody holds them. Thread-safe.
class Retired {
 public:
  void Add(std::unique_ptr<const Snapshot> snapshot);
  void Free();

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<const Snapshot>> snapshots_;
};

// What the builder remembers of a route's match, so that routes that did not
// change are not looked at again: with many of them, reading each is what costs.
struct BuiltMatch {
  routing::CompiledMatchPtr compiled;
  bool names_listeners = false;
};

// One revision and what only the builder needs of it.
struct Built {
  std::shared_ptr<const Snapshot> snapshot;
  std::map<std::string, std::shared_ptr<const UpstreamEntry>, std::less<>> upstreams;
  std::map<std::string, std::pair<api::Digest, std::shared_ptr<const AccessLogEntry>>> access_logs;
  std::vector<BuiltMatch> matches;    // By route.
  std::set<std::string> named;        // Listeners that some route names.
  // Serves the listeners that no route names.
  std::shared_ptr<const routing::Matcher> common_matcher;
};

// Compiles one revision, given the one before. Everything that can be is shared
// with it. Used once.
class Compilation {
 public:
  Compilation(const Built* previous, const PolicyBuilders& builders, observe::MetricIds& ids,
              std::set<api::ResourceKey> changed, bool all_policies,
              std::vector<v1::Violation>& violations)
      : previous_(previous), builders_(builders), ids_(ids), changed_(std::move(changed)),
        all_policies_(all_policies), violations_(violations) {}

  // Fills `snapshot` from its resources; false with violations.
  bool Run(Snapshot& snapshot, Built& built);

 private:
  bool CompileListeners(Snapshot& snapshot, Built& built);
  void CompileListener(const std::string& name, const api::StoredResource& stored,
                       Snapshot& snapshot);
  bool CompileUpstreams(const Snapshot& snapshot, Built& built);
  void CompileUpstream(const std::string& name, const api::StoredResource& stored,
                       const Snapshot& snapshot, Built& built);
  bool CompileRoutes(Snapshot& snapshot, Built& built);
  // Without details in case of violations.
  RouteEntry CompileRoute(const api::StoredResourcePtr& stored, const Built& built);
  std::shared_ptr<const PolicyTable> SharedPolicies(PolicyTable policies);
  std::shared_ptr<const RespondEntry> SharedRespond(const v1::Route& spec);
  bool CompileMatches(const Snapshot& snapshot, Built& built);
  bool CompileMatchers(Snapshot& snapshot, Built& built);
  // The matcher of the routes on `listener`, or of those on all listeners.
  std::shared_ptr<const routing::Matcher> BuildMatcher(const Snapshot& snapshot, const Built& built,
                                                       const std::string* listener);
  bool Reusable(const RouteDetails& before, const api::StoredResource& stored) const;
  void Violate(const char* kind, const std::string& name, const absl::Status& why);

  const Built* const previous_;  // nullptr: none
  const PolicyBuilders& builders_;
  observe::MetricIds& ids_;
  const std::set<api::ResourceKey> changed_;
  const bool all_policies_;
  std::vector<v1::Violation>& violations_;
  bool policies_may_change_ = true;
  // Whether a resource that TLS contexts are made of changed.
  bool tls_may_change_ = true;
  // Those whose entry is another one than before, or gone.
  std::set<std::string, std::less<>> changed_upstreams_;
  // The same routes in the same places with the same conditions as before.
  bool same_matches_ = false;
  // By hash, those that were made for this revision.
  std::map<api::Digest, std::shared_ptr<const tls::ServerContext>> server_contexts_;
  std::map<api::Digest, std::shared_ptr<const tls::ClientContext>> client_contexts_;
  // What routes that say the same share, so that it stays in the caches.
  std::map<PolicyTable, std::shared_ptr<const PolicyTable>> policy_tables_;
  std::map<std::tuple<int, std::string, std::string>, std::shared_ptr<const RespondEntry>>
      responds_;
  // By route: place of the one of the same name in the previous snapshot, or -1.
  std::vector<int64_t> previous_place_;
};

// Calls `visit(name, stored)` for every resource of a kind.
template <typename Visit>
void ForEachOf(const api::ResourceSet& resources, const char* kind, Visit visit) {
  for (auto at = resources.lower_bound(api::ResourceKey{kind, ""});
       at != resources.end() && at->first.kind == kind; ++at) {
    visit(at->first.name, at->second);
  }
}

}  // namespace portico::snapshot

#endif  // DATAPLANE_SNAPSHOT_BUILDER_STATE_H_
