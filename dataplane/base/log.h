// The proxy's own log: one line an event, to standard error. Never for requests;
// never secrets.
#ifndef DATAPLANE_BASE_LOG_H_
#define DATAPLANE_BASE_LOG_H_

#include <string_view>

namespace portico::base {

enum class Severity { kInfo, kWarning, kError };

// "2026-11-24T04:40:00.123Z WARNING discovery: no control plane: ..." in one
// write, so that lines of several threads do not mix. Control characters in
// `message` become spaces. Thread-safe.
void Log(Severity severity, std::string_view area, std::string_view message);

}  // namespace portico::base

#endif  // DATAPLANE_BASE_LOG_H_
