#include "controlplane/model/log.h"

#include <unistd.h>

#include <cstdio>

#include "controlplane/model/clock.h"

namespace portico::control {
namespace {

constexpr size_t kMaxMessageBytes = 4096;

std::string_view NameOf(LogLevel level) {
  switch (level) {
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

}  // namespace

std::string FormatLogLine(absl::Time time, LogLevel level, std::string_view area,
                          std::string_view message) {
  std::string line = absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ ", time, absl::UTCTimeZone());
  line.append(NameOf(level)).append(" ").append(area).append(" ");
  for (const char c : message.substr(0, kMaxMessageBytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == '\n') {
      line.append("\\n");
    } else if (byte < 0x20 || byte == 0x7f) {
      line.append(absl::StrCat("\\x", absl::Hex(byte, absl::kZeroPad2)));
    } else {
      line.push_back(c);
    }
  }
  if (message.size() > kMaxMessageBytes) line.append("...");
  line.push_back('\n');
  return line;
}

void WriteLog(LogLevel level, std::string_view area, std::string_view message) {
  const std::string line = FormatLogLine(RealClock().Now(), level, area, message);
  // One write(2) a line. A log that cannot be written must not stop the control plane.
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace portico::control
