// Sends a request upstream and its response downstream.
#ifndef DATAPLANE_PROXY_FORWARD_H_
#define DATAPLANE_PROXY_FORWARD_H_

#include <optional>

#include "dataplane/event/task.h"
#include "dataplane/proxy/exchange.h"
#include "dataplane/snapshot/policy.h"

namespace portico::proxy {

// Tries endpoints until one answers or trying again is not safe, not allowed or not
// affordable (RetryPolicy). Afterwards either the response was begun
// (exchange.response_begun()) and completed or aborted, or the reply to make
// instead is returned.
event::Task<std::optional<snapshot::LocalReply>> Forward(Exchange& exchange);

}  // namespace portico::proxy

#endif  // DATAPLANE_PROXY_FORWARD_H_
