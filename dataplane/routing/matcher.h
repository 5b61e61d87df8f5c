// Finds the route of a request. Pure; cost grows with the path, not with the
// number of routes.
#ifndef DATAPLANE_ROUTING_MATCHER_H_
#define DATAPLANE_ROUTING_MATCHER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "api/portico/v1/route.pb.h"

namespace portico::routing {

// What the matcher looks at.
class RequestView {
 public:
  virtual ~RequestView() = default;
  virtual std::string_view host() const = 0;    // lower case, no port
  virtual std::string_view path() const = 0;    // canonical
  virtual std::string_view query() const = 0;   // without "?"
  virtual std::string_view method() const = 0;
  // First value; data() is null if absent. `lower_name` is lower case.
  virtual std::string_view header(std::string_view lower_name) const = 0;
};

// Immutable, shared by all workers.
class Matcher {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  struct Rule {
    std::string name;            // Last tie-break, in byte order.
    const v1::RouteMatch* match;  // Must outlive Build() only.
    uint32_t value;              // What Match() returns.
  };

  // Errors: InvalidArgument naming the rule (bad regex or template).
  static absl::StatusOr<std::shared_ptr<const Matcher>> Build(const std::vector<Rule>& rules);
  virtual ~Matcher() = default;

  // `value` of the winning rule, or kNone. Never allocates.
  virtual uint32_t Match(const RequestView& request) const = 0;
  virtual size_t memory_bytes() const = 0;
};

}  // namespace portico::routing

#endif  // DATAPLANE_ROUTING_MATCHER_H_
