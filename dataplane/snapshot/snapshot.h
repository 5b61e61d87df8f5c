// One revision, compiled: what all workers serve from.
#ifndef DATAPLANE_SNAPSHOT_SNAPSHOT_H_
#define DATAPLANE_SNAPSHOT_SNAPSHOT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "api/portico/v1/resource.pb.h"
#include "api/resource/resource.h"
#include "dataplane/base/clock.h"
#include "dataplane/net/address.h"
#include "dataplane/observe/metric_ids.h"
#include "dataplane/routing/matcher.h"
#include "dataplane/snapshot/policy.h"

namespace portico::tls {
class ClientContext;
class ServerContext;
}  // namespace portico::tls

namespace portico::snapshot {

// An Upstream, compiled. The same object is in successive snapshots as long as
// the resource's hash and that of each resource which it uses stay: workers key their pools by its
// address. Of two entries of one name, connections that were opened for the one serve the other
// when `protocol` and `tls` (the pointer) are equal; otherwise they take no more requests.
struct UpstreamEntry {
  struct Endpoint {
    net::SocketAddress address;
    uint32_t weight = 1;
  };
  std::string name;
  api::Digest hash{};
  std::vector<Endpoint> endpoints;
  bool least_request = false;
  int64_t connect_timeout_nanos = 0;
  int64_t idle_timeout_nanos = 0;
  uint32_t max_connections = 0, max_pending_requests = 0, max_requests = 0;
  bool outlier_enabled = true;
  uint32_t outlier_failures = 0;
  int64_t outlier_base_ejection_nanos = 0;
  uint32_t outlier_max_percent = 0;
  v1::UpstreamProtocol protocol = v1::UPSTREAM_PROTOCOL_HTTP1;
  // nullptr: cleartext. The same object as long as all that it is made of (`tls_hash`) stays.
  std::shared_ptr<const tls::ClientContext> tls;
  api::Digest tls_hash{};
  observe::UpstreamId metric_id;
};

// What a route answers by itself.
struct RespondEntry {
  int status = 0;
  std::string body;
  std::string content_type;
};

// Of one route, by kind; nullptr: the route does not use it.
using PolicyTable = std::array<std::shared_ptr<const Policy>, kPolicyCount>;

// A Route, compiled; shared by successive snapshots while nothing it uses changes. What
// every request needs of it stands in RouteEntry.
struct RouteDetails {
  struct Target {
    std::shared_ptr<const UpstreamEntry> upstream;
    // Sum of the weights up to and including this one.
    uint32_t cumulative_weight = 0;
  };
  std::string name;
  std::vector<Target> targets;  // Empty with a direct response.
  // Rewrites; empty: unchanged. `match_prefix` is what `rewrite_prefix` replaces; both
  // as written.
  bool has_rewrite_prefix = false;
  std::string match_prefix;
  std::string rewrite_prefix;
  std::string rewrite_host;
  bool grpc_web = false;
  api::StoredResourcePtr resource;
  // Routes that were compiled for the same revision and say the same share these two. May
  // be nullptr: no policy; no direct response.
  std::shared_ptr<const PolicyTable> policies;
  std::shared_ptr<const RespondEntry> respond;
};

#ifdef PORTICO_SANITIZED
// What GCC 12's AddressSanitizer keeps on its own stack has an alignment of 32 at most.
inline constexpr size_t kRouteAlignment = alignof(void*);
#else
inline constexpr size_t kRouteAlignment = 64;
#endif

// A route as requests see it: one cache line, and in a snapshot one beside the other.
// Among very many routes, each line and each page that a request touches for its route
// comes from memory and costs more than a hundred instructions.
struct alignas(kRouteAlignment) RouteEntry {
  std::shared_ptr<const RouteDetails> details;  // Never null in a snapshot.
  // The only target; nullptr: there is none, or several (details->targets).
  std::shared_ptr<const UpstreamEntry> upstream;
  const PolicyTable* policies = nullptr;  // details->policies
  int64_t timeout_nanos = 0;
  uint64_t max_body_bytes = 0;  // 0: the listener's
  observe::RouteId metric_id;
  uint16_t attempts = 2;
  // From so much of its memory on, in percent, a worker refuses requests for it.
  uint8_t shed_percent = 90;
  bool has_respond : 1 = false;
  bool has_rewrite : 1 = false;  // Of prefix or host.

  const std::string& name() const { return details->name; }
};
static_assert(sizeof(RouteEntry) == 64);

struct ListenerEntry {
  std::string name;
  api::Digest hash{};
  net::SocketAddress address;
  bool proxy_protocol = false;
  std::vector<net::CidrRange> trusted_hops;
  uint32_t max_header_bytes = 0, max_header_count = 0, max_requests_per_connection = 0;
  uint32_t max_connections_per_address = 0;  // 0: no limit
  // Of the https URLs that requests are sent to; 0: they are served.
  uint32_t https_redirect_port = 0;
  uint64_t max_body_bytes = 0;  // 0: no limit
  int64_t header_timeout_nanos = 0, stream_idle_timeout_nanos = 0, idle_timeout_nanos = 0;
  std::string access_log;  // AccessLog resource's name; empty: none
  // nullptr: cleartext. The same object as long as all that it is made of (`tls_hash`) stays.
  std::shared_ptr<const tls::ServerContext> tls;
  api::Digest tls_hash{};
  bool http2 = true;
  uint32_t http2_max_streams = 0, http2_stream_window = 0, http2_connection_window = 0;
};

struct AccessLogEntry {
  std::string name;
  std::string path;  // absolute, or "stdout"
  std::vector<std::string> request_headers, response_headers;  // lower case
};

// Immutable. Workers hold it by shared_ptr; an exchange pins it.
class Snapshot {
 public:
  uint64_t revision = 0;
  api::Digest checksum{};
  base::UnixNanos built_at = 0;
  api::ResourceSet resources;
  std::vector<std::shared_ptr<const ListenerEntry>> listeners;
  std::vector<std::shared_ptr<const AccessLogEntry>> access_logs;

  // The route for a request on one of `listeners`; nullptr if none matches.
  const RouteEntry* Match(const ListenerEntry& listener, const http::RequestHead& request) const;

  // Filled by the builder.
  std::vector<RouteEntry> routes;  // In the order of names.
  std::vector<std::pair<std::string, std::shared_ptr<const routing::Matcher>>>
      matchers;  // By listener name, in the order of `listeners`.
};

// Compiles revisions. Owned by one thread. All or nothing: on error the previous
// snapshot stays.
class SnapshotBuilder {
 public:
  // `ids` gives routes and upstreams their places in the workers' metric arrays.
  SnapshotBuilder(PolicyBuilders builders, observe::MetricIds& ids, const base::Clock& clock);
  ~SnapshotBuilder();

  // Validates (api::Validate, or ValidateChange against the last built set) and
  // compiles `resources`. Unchanged entries are shared with the last built
  // snapshot. On refusal `violations` says why and the status is
  // InvalidArgument.
  absl::StatusOr<std::shared_ptr<const Snapshot>> Build(uint64_t revision, api::ResourceSet resources,
                                                        std::vector<v1::Violation>& violations);

  // For a new worker.
  PolicyWorkerStates MakeWorkerStates() const;

  // Frees snapshots that nobody holds any more. The last holder is most often a
  // worker, which must not spend milliseconds on it, so they wait here for the
  // next Build() or this.
  void FreeRetired();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace portico::snapshot

#endif  // DATAPLANE_SNAPSHOT_SNAPSHOT_H_
