// The rules of matching, written as plainly as possible: what the real matcher is
// compared with in tests.
#ifndef DATAPLANE_ROUTING_NAIVE_MATCHER_H_
#define DATAPLANE_ROUTING_NAIVE_MATCHER_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "api/portico/v1/route.pb.h"
#include "dataplane/routing/matcher.h"

namespace portico::routing {

// A request made of plain fields.
struct TestRequest final : RequestView {
  std::string host_, path_ = "/", query_, method_ = "GET";
  std::map<std::string, std::string> headers_;

  std::string_view host() const override { return host_; }
  std::string_view path() const override { return path_; }
  std::string_view query() const override { return query_; }
  std::string_view method() const override { return method_; }
  std::string_view header(std::string_view lower_name) const override;
};

struct NaiveRule {
  std::string name;
  v1::RouteMatch match;
};

// The index of the winning rule, or Matcher::kNone. Looks at every rule; compiles
// regular expressions each time. Rules must be valid, names unique.
uint32_t NaiveMatch(const std::vector<NaiveRule>& rules, const RequestView& request);

}  // namespace portico::routing

#endif  // DATAPLANE_ROUTING_NAIVE_MATCHER_H_
