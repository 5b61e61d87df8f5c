// A file, a pipe or standard output that lines are appended to.
#ifndef DATAPLANE_OBSERVE_LOG_FILE_H_
#define DATAPLANE_OBSERVE_LOG_FILE_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace portico::observe {

// For one thread.
class LogFile {
 public:
  // An absolute path (created with mode 0640) or "stdout".
  // Errors: InvalidArgument for another name; what open(2) says, with the path.
  static absl::StatusOr<std::unique_ptr<LogFile>> Open(const std::string& path);
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  // Writes whole lines. A reader of a pipe that takes nothing is waited for once,
  // at most `patience_millis`; after that not at all until it reads again.
  // Errors: what write(2) says. `stored` is how many bytes arrived in any case.
  absl::Status Write(std::string_view lines, int patience_millis, size_t& stored);

  // Opens the path anew; nothing to do for "stdout". On error the old file stays.
  absl::Status Reopen();

  const std::string& path() const { return path_; }

 private:
  LogFile(std::string path, int descriptor, bool owned);
  bool WaitForRoom(int patience_millis);

  const std::string path_;
  int descriptor_;
  const bool owned_;      // False for standard output.
  bool chunked_;          // Not a regular file: writes must stay below PIPE_BUF.
  bool stalled_ = false;  // The reader did not read the last time.
  bool torn_ = false;     // The last line stored is not complete.
};

}  // namespace portico::observe

#endif  // DATAPLANE_OBSERVE_LOG_FILE_H_
