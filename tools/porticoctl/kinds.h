// Names of the kinds of resources, as people write them.
#ifndef TOOLS_PORTICOCTL_KINDS_H_
#define TOOLS_PORTICOCTL_KINDS_H_

#include <string>
#include <vector>

namespace portico::ctl {

// "Listener", "Route", ... in the order of the Resource message.
std::vector<std::string> AllKinds();

// "routes", "rate-limit-policy", "RateLimitPolicies" as resources name them
// ("Route", "RateLimitPolicy"); empty when there is no such kind.
std::string CanonicalKind(const std::string& text);

}  // namespace portico::ctl

#endif  // TOOLS_PORTICOCTL_KINDS_H_
