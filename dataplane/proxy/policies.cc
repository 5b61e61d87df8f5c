#include "dataplane/proxy/policies.h"

#include <cstddef>

#include "dataplane/snapshot/snapshot.h"

namespace portico::proxy {

std::optional<snapshot::LocalReply> RunRequestPolicies(snapshot::PolicyContext& context) {
  if (context.route.policies == nullptr) return std::nullopt;
  for (const auto& policy : *context.route.policies) {
    if (policy == nullptr) continue;
    if (auto reply = policy->OnRequest(context)) return reply;
  }
  return std::nullopt;
}

void ApplyResponsePolicies(snapshot::PolicyContext& context, http::ResponseHead& head) {
  if (context.route.policies == nullptr) return;
  const snapshot::PolicyTable& policies = *context.route.policies;
  for (size_t i = snapshot::kPolicyCount; i-- > 0;) {
    if (policies[i] != nullptr) policies[i]->OnResponse(context, head);
  }
}

void RunResponsePolicies(snapshot::PolicyContext& context, http::ResponseHead& head) {
  ApplyResponsePolicies(context, head);
  AddPolicyFields(context, head);
}

void AddPolicyFields(const snapshot::PolicyContext& context, http::ResponseHead& head) {
  for (const http::HeaderField& field : context.response_headers) {
    if (field.name.empty()) continue;
    if (field.id == http::HeaderId::kOther) {
      head.headers.Add(field.name, field.value);
    } else {
      head.headers.Add(field.id, field.value);
    }
  }
}

}  // namespace portico::proxy
