// One line about a resource, for lists.
#ifndef TOOLS_PORTICOCTL_SUMMARY_H_
#define TOOLS_PORTICOCTL_SUMMARY_H_

#include <string>

#include "api/portico/v1/resource.pb.h"

namespace portico::ctl {

// "GET /users/{id} -> users", "2 endpoints", "100 per 60s by consumer", ...
std::string Summary(const v1::Resource& resource);

}  // namespace portico::ctl

#endif  // TOOLS_PORTICOCTL_SUMMARY_H_
