// Runs a route's policies in their one order.
#ifndef DATAPLANE_PROXY_POLICIES_H_
#define DATAPLANE_PROXY_POLICIES_H_

#include <optional>

#include "dataplane/http/message.h"
#include "dataplane/snapshot/policy.h"

namespace portico::proxy {

// In the order of PolicyKind; the first reply ends it.
std::optional<snapshot::LocalReply> RunRequestPolicies(snapshot::PolicyContext& context);

// In reverse, then the fields that the request policies left for the response.
void RunResponsePolicies(snapshot::PolicyContext& context, http::ResponseHead& head);

// In reverse, without those fields.
void ApplyResponsePolicies(snapshot::PolicyContext& context, http::ResponseHead& head);

// Only those fields: for the proxy's own replies.
void AddPolicyFields(const snapshot::PolicyContext& context, http::ResponseHead& head);

}  // namespace portico::proxy

#endif  // DATAPLANE_PROXY_POLICIES_H_
