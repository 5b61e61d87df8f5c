#include "dataplane/base/log.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <string>

#include "dataplane/base/clock.h"

namespace portico::base {
namespace {

const char* Name(Severity severity) {
  switch (severity) {
    case Severity::kInfo:
      return "INFO";
    case Severity::kWarning:
      return "WARNING";
    case Severity::kError:
      return "ERROR";
  }
  return "";
}

}  // namespace

void Log(Severity severity, std::string_view area, std::string_view message) {
  const UnixNanos now = RealClock().Unix();
  const std::time_t seconds = static_cast<std::time_t>(now / kNanosPerSecond);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char when[40];
  const size_t length = std::strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &parts);
  char fraction[8];
  std::snprintf(fraction, sizeof fraction, ".%03dZ",
                static_cast<int>(now % kNanosPerSecond / kNanosPerMilli));

  std::string line(when, length);
  line += fraction;
  line += ' ';
  line += Name(severity);
  line += ' ';
  line += area;
  line += ": ";
  const size_t start = line.size();
  line += message;
  std::replace_if(
      line.begin() + static_cast<std::ptrdiff_t>(start), line.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
  line += '\n';
  // A log that cannot be written is no reason to stop serving.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace portico::base
