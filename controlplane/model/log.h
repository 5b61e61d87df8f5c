// The control plane's log: one line an event, on stderr.
#ifndef CONTROLPLANE_MODEL_LOG_H_
#define CONTROLPLANE_MODEL_LOG_H_

#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace portico::control {

enum class LogLevel { kInfo, kWarning, kError };

// "2026-01-02T03:04:05.678Z info store message"; control characters in the message (node ids, texts
// of operators) are escaped, so that one event is one line; at most 4096 bytes of it.
std::string FormatLogLine(absl::Time time, LogLevel level, std::string_view area,
                          std::string_view message);

// Writes one line. Thread-safe: lines do not mix. Callers never pass resource contents: they may
// hold secrets.
void WriteLog(LogLevel level, std::string_view area, std::string_view message);

template <typename... Parts>
void LogInfo(std::string_view area, const Parts&... parts) {
  WriteLog(LogLevel::kInfo, area, absl::StrCat(parts...));
}
template <typename... Parts>
void LogWarning(std::string_view area, const Parts&... parts) {
  WriteLog(LogLevel::kWarning, area, absl::StrCat(parts...));
}
template <typename... Parts>
void LogError(std::string_view area, const Parts&... parts) {
  WriteLog(LogLevel::kError, area, absl::StrCat(parts...));
}

}  // namespace portico::control

#endif  // CONTROLPLANE_MODEL_LOG_H_
