// One exchange for tests of filters, without a proxy around it.
#ifndef DATAPLANE_FILTERS_FILTER_FIXTURE_H_
#define DATAPLANE_FILTERS_FILTER_FIXTURE_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "api/resource/resource.h"
#include "dataplane/base/fake_clock.h"
#include "dataplane/snapshot/policy.h"
#include "dataplane/snapshot/snapshot.h"

namespace portico::filters {

// Fails the test when the text is no valid YAML.
api::ResourceSet ParseSet(const std::string& yaml);

// BeginSnapshot, then Build for the route of this name; fails the test on errors.
std::shared_ptr<const snapshot::Policy> BuildPolicy(snapshot::PolicyBuilder& builder, const api::ResourceSet& set,
                                                    const std::string& route);

// A route of that name and nothing else.
snapshot::RouteEntry NamedRoute(std::string name);

// A request from 192.0.2.1 for GET http://api.example.com/users/42 on route "users".
class TestExchange {
 public:
  explicit TestExchange(const base::Clock& clock, snapshot::PolicyWorkerStates* states = nullptr);

  std::optional<snapshot::LocalReply> Request(const snapshot::Policy& policy) { return policy.OnRequest(context); }
  // First value, or "(none)".
  std::string RequestHeader(std::string_view name) const { return Value(context.request.headers, name); }
  std::string ResponseHeader(std::string_view name) const { return Value(context.response_headers, name); }

  static std::string Value(const http::HeaderList& headers, std::string_view name);

  base::Arena arena;
  http::RequestHead request;
  snapshot::RouteEntry route;
  snapshot::PolicyContext context;
};

}  // namespace portico::filters

#endif  // DATAPLANE_FILTERS_FILTER_FIXTURE_H_
