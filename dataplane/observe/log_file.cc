#include "dataplane/observe/log_file.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"

namespace portico::observe {
namespace {

absl::Status ErrnoStatus(int error, const std::string& path, const char* fix) {
  return absl::ErrnoToStatus(error, absl::StrCat("access log \"", path, "\"", fix));
}

absl::StatusOr<int> OpenForAppend(const std::string& path) {
  // O_NONBLOCK: neither opening nor writing a named pipe may hang.
  const int descriptor =
      open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
  if (descriptor < 0) {
    return ErrnoStatus(errno, path,
                       " cannot be opened: give a file in an existing folder that the "
                       "proxy's user may write");
  }
  return descriptor;
}

bool IsRegular(int descriptor) {
  struct stat status {};
  return fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
}

}  // namespace

absl::StatusOr<std::unique_ptr<LogFile>> LogFile::Open(const std::string& path) {
  if (path == "stdout") {
    return std::unique_ptr<LogFile>(new LogFile(path, STDOUT_FILENO, false));  // owned: returned.
  }
  if (path.empty() || path[0] != '/' || path.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("access log \"", path, "\": give an absolute path or \"stdout\""));
  }
  const absl::StatusOr<int> descriptor = OpenForAppend(path);
  if (!descriptor.ok()) return descriptor.status();
  return std::unique_ptr<LogFile>(new LogFile(path, *descriptor, true));  // owned: returned.
}

LogFile::LogFile(std::string path, int descriptor, bool owned)
    : path_(std::move(path)),
      descriptor_(descriptor),
      owned_(owned),
      chunked_(!IsRegular(descriptor)) {}

LogFile::~LogFile() {
  if (owned_) close(descriptor_);
}

bool LogFile::WaitForRoom(int patience_millis) {
  pollfd entry{descriptor_, POLLOUT, 0};
  const int ready = poll(&entry, 1, stalled_ ? 0 : patience_millis);
  stalled_ = ready == 0;
  return ready != 0;  // An error shows up in the write that follows.
}

absl::Status LogFile::Write(std::string_view lines, int patience_millis, size_t& stored) {
  stored = 0;
  // After half a line, the next one starts on a line of its own.
  if (torn_) {
    if (chunked_ && !WaitForRoom(patience_millis)) return ErrnoStatus(EAGAIN, path_, " is full");
    if (write(descriptor_, "\n", 1) != 1) return ErrnoStatus(errno, path_, " cannot be written");
    torn_ = false;
  }
  while (stored < lines.size()) {
    size_t piece = lines.size() - stored;
    if (chunked_) {
      // A pipe with room takes PIPE_BUF bytes without blocking, even where standard
      // output is shared with others and must not be made non-blocking.
      if (!WaitForRoom(patience_millis)) {
        torn_ = stored > 0 && lines[stored - 1] != '\n';
        return ErrnoStatus(EAGAIN, path_, " is full: its reader does not keep up");
      }
      piece = std::min<size_t>(piece, PIPE_BUF);
    }
    const ssize_t written = write(descriptor_, lines.data() + stored, piece);
    if (written < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (written <= 0) {
      const int error = written == 0 ? EIO : errno;
      torn_ = stored > 0 && lines[stored - 1] != '\n';
      return ErrnoStatus(error, path_, " cannot be written");
    }
    stored += static_cast<size_t>(written);
  }
  return absl::OkStatus();
}

absl::Status LogFile::Reopen() {
  if (!owned_) return absl::OkStatus();
  const absl::StatusOr<int> descriptor = OpenForAppend(path_);
  if (!descriptor.ok()) return descriptor.status();
  close(descriptor_);
  descriptor_ = *descriptor;
  chunked_ = !IsRegular(descriptor_);
  stalled_ = torn_ = false;
  return absl::OkStatus();
}

}  // namespace portico::observe
