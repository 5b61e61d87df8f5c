// Resources to the entries of a snapshot, one at a time.
#ifndef DATAPLANE_SNAPSHOT_ENTRIES_H_
#define DATAPLANE_SNAPSHOT_ENTRIES_H_

#include <memory>

#include "absl/status/statusor.h"
#include "api/resource/resource.h"
#include "dataplane/observe/metric_ids.h"
#include "dataplane/snapshot/snapshot.h"

namespace portico::snapshot {

// Errors of all: InvalidArgument, naming field and value; validation normally
// excludes them. REQUIRES: the resource is of the kind.
// Without `tls` and its hash.
absl::StatusOr<std::shared_ptr<ListenerEntry>> MakeListener(const api::StoredResource& stored);
absl::StatusOr<std::shared_ptr<UpstreamEntry>> MakeUpstream(const api::StoredResource& stored,
                                                            observe::MetricIds& ids);
std::shared_ptr<const AccessLogEntry> MakeAccessLog(const api::StoredResource& stored);
// Without what is shared: targets, policies, response.
std::shared_ptr<RouteDetails> MakeRouteDetails(const api::StoredResourcePtr& stored);
// The entry of a route whose details are complete.
RouteEntry MakeRoute(std::shared_ptr<const RouteDetails> details, observe::MetricIds& ids);
// REQUIRES: the route has a direct response.
RespondEntry MakeRespond(const v1::Route& spec);

}  // namespace portico::snapshot

#endif  // DATAPLANE_SNAPSHOT_ENTRIES_H_
