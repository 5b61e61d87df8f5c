// What a failed wait means for the client.
#ifndef DATAPLANE_PROXY_FAILURE_H_
#define DATAPLANE_PROXY_FAILURE_H_

#include <string_view>

#include "absl/status/status.h"
#include "dataplane/base/arena.h"
#include "dataplane/snapshot/policy.h"
#include "dataplane/upstream/cluster.h"

namespace portico::proxy {

// The message of a status, in the arena. (Abseil here is built with a string_view of
// its own.)
std::string_view CopyMessage(const absl::Status& status, base::Arena& arena);

// No connection to the upstream.
snapshot::LocalReply ReplyForAcquire(const upstream::Acquired& acquired,
                                     const absl::Status& scope_reason, base::Arena& arena);

// The upstream broke off before its response head was complete.
snapshot::LocalReply ReplyForUpstream(const absl::Status& status, base::Arena& arena);

// Of the deadline that ends an exchange: what tells it from a client that is slow.
inline constexpr char kRouteTimeout[] = "the route's timeout passed";
// The same where the client gave less time itself.
inline constexpr char kGrpcTimeout[] = "the request's grpc-timeout passed";

// Whether one of these two is why.
bool IsExchangeTimeout(const absl::Status& reason);

// The exchange's scope was requested: by a deadline, by the client's leaving
// (status 0: nobody to answer), or by the request body's faults.
snapshot::LocalReply ReplyForScope(const absl::Status& reason, base::Arena& arena);

// The same while the client was to send more of the request body: a deadline that passes
// then is no fault of the upstream.
snapshot::LocalReply ReplyForBody(const absl::Status& reason, base::Arena& arena);

}  // namespace portico::proxy

#endif  // DATAPLANE_PROXY_FAILURE_H_
