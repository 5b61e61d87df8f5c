// A RouteMatch, parsed.
#ifndef DATAPLANE_ROUTING_COMPILED_MATCH_H_
#define DATAPLANE_ROUTING_COMPILED_MATCH_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "api/resource/host.h"
#include "dataplane/routing/conditions.h"
#include "re2/re2.h"

namespace portico::routing {

enum class PathKind : uint8_t {
  kExact,
  kWhole,   // A template without a rest.
  kPrefix,  // A prefix, or a template with a rest.
  kRegex,
};

// Stands for a variable in `CompiledMatch::pattern`; no path contains it.
inline constexpr char kVariableMark = '\0';

class CompiledMatch {
 public:
  // Without duplicates; empty: any.
  std::vector<api::HostPattern> hosts;
  PathKind kind = PathKind::kExact;
  bool has_variable = false;
  // kExact: the path. kWhole and kPrefix: each segment with its leading slash, a
  // variable written as kVariableMark ("/users/\0"); empty for the prefix "/".
  std::string pattern;
  uint16_t segments = 0;  // kWhole and kPrefix.

  std::unique_ptr<const re2::RE2> regex;  // kRegex
  // Every path that the expression matches lies between these in byte order;
  // not bounded if `max` is empty.
  std::string regex_min, regex_max;

  uint16_t methods = kAnyMethod;
  Conditions conditions;

  // Rules of one path are tried in descending order of this, then by name.
  uint32_t precedence = 0;
};

}  // namespace portico::routing

#endif  // DATAPLANE_ROUTING_COMPILED_MATCH_H_
