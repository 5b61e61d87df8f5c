// What must be true of a request besides host, path and common methods.
#ifndef DATAPLANE_ROUTING_CONDITIONS_H_
#define DATAPLANE_ROUTING_CONDITIONS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "api/portico/v1/route.pb.h"
#include "dataplane/routing/matcher.h"
#include "re2/re2.h"

namespace portico::routing {

// One bit for each method of RFC 9110 section 9 and PATCH; kOtherMethod for all others.
inline constexpr uint16_t kOtherMethod = 1 << 15;
inline constexpr uint16_t kAnyMethod = UINT16_MAX;
uint16_t MethodBit(std::string_view method);

// Compiles `pattern` to match whole texts. `field` names it in errors.
absl::StatusOr<std::unique_ptr<const re2::RE2>> CompileRegex(std::string_view pattern,
                                                             std::string_view field);
bool MatchesWhole(const re2::RE2& regex, std::string_view text);

struct HeaderCondition {
  enum class Kind : uint8_t { kPresent, kAbsent, kExact, kPrefix, kRegex };
  std::string name;  // Lower case.
  Kind kind = Kind::kPresent;
  std::string text;
  std::unique_ptr<const re2::RE2> regex;

  bool Holds(const RequestView& request) const;
};

struct QueryCondition {
  enum class Kind : uint8_t { kPresent, kAbsent, kExact, kRegex };
  std::string name;
  Kind kind = Kind::kPresent;
  std::string text;
  std::unique_ptr<const re2::RE2> regex;

  // Looks at the first parameter of that name. A value that is longer than 4096
  // bytes matches no regular expression. "+" stands for itself.
  bool Holds(std::string_view query) const;
};

struct Conditions {
  // Of the methods without a bit of their own; empty: none.
  std::vector<std::string> other_methods;
  std::vector<HeaderCondition> headers;
  std::vector<QueryCondition> query;

  bool empty() const { return other_methods.empty() && headers.empty() && query.empty(); }
  bool HoldOtherMethod(std::string_view method) const;
  // Headers and query.
  bool Hold(const RequestView& request) const;
};

// Reads methods, headers and query of `match`. `methods` becomes a set of method bits.
// Errors: InvalidArgument naming the field.
absl::StatusOr<Conditions> CompileConditions(const v1::RouteMatch& match, uint16_t& methods);

}  // namespace portico::routing

#endif  // DATAPLANE_ROUTING_CONDITIONS_H_
