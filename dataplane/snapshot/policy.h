// What a route does to a request besides forwarding it, compiled.
#ifndef DATAPLANE_SNAPSHOT_POLICY_H_
#define DATAPLANE_SNAPSHOT_POLICY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "api/resource/resource.h"
#include "dataplane/base/arena.h"
#include "dataplane/base/clock.h"
#include "dataplane/http/message.h"
#include "dataplane/net/address.h"
#include "dataplane/net/tls_info.h"
#include "dataplane/observe/worker_metrics.h"

namespace portico::snapshot {

struct RouteEntry;

// The order in which policies see a request; responses see them in reverse.
enum class PolicyKind : uint8_t {
  kJwt,
  kApiKey,
  kRequireIdentity,
  kRateLimit,
  kHeaderTransform,
  kCount,
};
inline constexpr size_t kPolicyCount = static_cast<size_t>(PolicyKind::kCount);

// Claims of a verified token.
class ClaimSource {
 public:
  virtual ~ClaimSource() = default;
  // The value as text ("realm.tenant" goes down into objects); nullopt if absent.
  // Lives as long as the exchange.
  virtual std::optional<std::string_view> Find(std::string_view claim) const = 0;
};

// Who the caller was found to be.
struct Identity {
  enum class Source : uint8_t { kNone, kJwt, kApiKey };
  Source source = Source::kNone;
  // Empty for anonymous.
  std::string_view consumer;
  // Empty if the consumer has none.
  std::string_view plan;
  // nullptr without a token.
  const ClaimSource* claims = nullptr;
};

// A reply that the proxy makes itself. All texts live as long as the exchange.
struct LocalReply {
  int status = 0;
  // Machine-readable, one of the names in docs/reasons.md: "jwt_expired".
  std::string_view reason;
  // For people: "the token expired 12 s ago".
  std::string_view message;
};

// What a worker keeps for one kind of policy, for example a cache.
class PolicyWorkerState {
 public:
  virtual ~PolicyWorkerState() = default;
};
using PolicyWorkerStates = std::array<std::unique_ptr<PolicyWorkerState>, kPolicyCount>;

// What a policy may see and do during one exchange. Lives in the exchange.
struct PolicyContext {
  http::RequestHead& request;
  base::Arena& arena;
  const RouteEntry& route;
  net::IpAddress client;
  // Of the client's connection; nullptr: cleartext.
  const net::TlsInfo* tls = nullptr;
  base::MonotonicNanos now = 0;
  base::UnixNanos unix_now = 0;
  std::string_view request_id;
  // Name of the chosen upstream; empty before one is chosen.
  std::string_view upstream;
  Identity identity;
  // Fields that go onto whatever response is sent, local ones included, after the
  // response policies ran. Set by OnRequest (RateLimit, WWW-Authenticate, ...).
  http::HeaderList response_headers;
  PolicyWorkerStates* worker_states = nullptr;
  // The worker's counters; nullptr in tests that do not look at them.
  observe::WorkerMetrics* metrics = nullptr;
  // Set by kJwt and kApiKey so that kRequireIdentity can name what is missing.
  bool credentials_seen = false;
};

// Immutable, shared by all workers, called concurrently.
class Policy {
 public:
  virtual ~Policy() = default;
  // Never waits. nullopt: go on.
  virtual std::optional<LocalReply> OnRequest(PolicyContext& context) const = 0;
  virtual void OnResponse(PolicyContext& /*context*/, http::ResponseHead& /*head*/) const {}
};

// Turns the resources of one revision into policies. One per kind, alive as long
// as the process; may keep state across revisions (rate limit counters).
// Build() runs on the snapshot thread only.
class PolicyBuilder {
 public:
  virtual ~PolicyBuilder() = default;
  virtual PolicyKind kind() const = 0;

  // Called once per new snapshot, before any Build(): compile what routes share
  // (key sets, consumers). `previous` content that did not change (same
  // StoredResourcePtr hash) should be reused.
  virtual absl::Status BeginSnapshot(const api::ResourceSet& resources) = 0;
  // The policy of one route; nullptr if the route does not use this kind.
  // Errors: InvalidArgument; validation normally excludes them.
  virtual absl::StatusOr<std::shared_ptr<const Policy>> Build(const api::StoredResource& route) = 0;
  // True if Build() for this unchanged route could give something else than for
  // the snapshot before (a key set, plan, consumer or policy it uses changed).
  virtual bool Affected(const api::StoredResource& route) const = 0;

  // nullptr if the kind keeps nothing per worker.
  virtual std::unique_ptr<PolicyWorkerState> MakeWorkerState() { return nullptr; }
};
using PolicyBuilders = std::vector<std::unique_ptr<PolicyBuilder>>;

}  // namespace portico::snapshot

#endif  // DATAPLANE_SNAPSHOT_POLICY_H_
