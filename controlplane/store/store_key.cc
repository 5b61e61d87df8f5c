#include "controlplane/store/store_key.h"

#include <fcntl.h>
#include <openssl/mem.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace portico::control {
namespace {

constexpr size_t kMostBytes = 4096;

absl::Status Unusable(const std::string& path, const char* what) {
  return absl::UnavailableError(absl::StrCat("store key file ", path, ": ", what, ": ",
                                             strerror(errno),
                                             ": check the rights of the file and of its folder"));
}

// Reads up to kMostBytes; false: errno says why.
bool ReadAll(int fd, std::string& out) {
  out.resize(kMostBytes);
  size_t size = 0;
  while (size < out.size()) {
    const ssize_t got = read(fd, out.data() + size, out.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  out.resize(size);
  return true;
}

bool SyncFolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool synced = fsync(fd) == 0;
  close(fd);
  return synced;
}

// Whole or not at all: a key of which half was written would make the store unreadable.
absl::Status Create(const std::string& path) {
  StoreKey key;
  RAND_bytes(key.data(), key.size());
  const absl::Cleanup wipe = [&] { OPENSSL_cleanse(key.data(), key.size()); };
  const std::string draft = absl::StrCat(path, ".tmp.", getpid());
  unlink(draft.c_str());
  const int fd = open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return Unusable(path, "cannot be created");
  const bool written =
      write(fd, key.data(), key.size()) == static_cast<ssize_t>(key.size()) && fsync(fd) == 0;
  close(fd);
  // link() and not rename(): never in place of a key that is there.
  const bool placed = written && link(draft.c_str(), path.c_str()) == 0;
  const int error = errno;
  unlink(draft.c_str());
  errno = error;
  if (!placed || !SyncFolderOf(path)) return Unusable(path, "cannot be created");
  return absl::OkStatus();
}

absl::StatusOr<StoreKey> Parse(const std::string& path, const std::string& text) {
  StoreKey key;
  if (text.size() == key.size()) {
    std::copy(text.begin(), text.end(), reinterpret_cast<char*>(key.data()));
    return key;
  }
  const absl::string_view hex = absl::StripAsciiWhitespace(text);
  const bool is_hex =
      hex.size() == 2 * key.size() &&
      std::all_of(hex.begin(), hex.end(), [](unsigned char c) { return absl::ascii_isxdigit(c); });
  if (!is_hex) {
    return absl::FailedPreconditionError(
        absl::StrCat("store key file ", path, ": holds ", text.size(),
                     " bytes: it must hold 32 random bytes or 64 hexadecimal digits; restore it "
                     "from where the store was backed up"));
  }
  std::string bytes = absl::HexStringToBytes(hex);
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(key.data()));
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return key;
}

}  // namespace

absl::StatusOr<StoreKey> ReadStoreKey(const std::string& path, bool create) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 && errno == ENOENT) {
    if (!create) {
      return absl::NotFoundError(absl::StrCat("store key file ", path, " does not exist"));
    }
    if (absl::Status status = Create(path); !status.ok()) return status;
    fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  }
  if (fd < 0) return Unusable(path, "cannot be read");
  const absl::Cleanup close_it = [fd] { close(fd); };
  struct stat info = {};
  if (fstat(fd, &info) != 0) return Unusable(path, "cannot be read");
  if ((info.st_mode & S_IRWXO) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("store key file ", path, ": may be read by everybody: chmod 600 it"));
  }
  std::string text;
  if (!ReadAll(fd, text)) return Unusable(path, "cannot be read");
  absl::StatusOr<StoreKey> key = Parse(path, text);
  OPENSSL_cleanse(text.data(), text.size());
  return key;
}

}  // namespace portico::control
