#include "dataplane/discovery/last_good_cache.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "dataplane/base/log.h"
#include "dataplane/base/thread.h"
#include "dataplane/discovery/small_file.h"

namespace portico::discovery_client {
namespace {

using base::Severity;

constexpr size_t kMaxFileBytes = (size_t{1} << 30) + (size_t{64} << 20);

// Node ids may hold anything; two proxies that share a folder must not share a file.
std::string FileNameFor(const std::string& node_id) {
  return absl::StrCat("last-good-", api::ToHex(api::Sha256(node_id)).substr(0, 16), ".cache");
}

class Cache final : public LastGoodCache {
 public:
  Cache(LastGoodCacheOptions options, const base::Clock& clock)
      : options_(std::move(options)),
        clock_(clock),
        path_(absl::StrCat(options_.folder, "/", FileNameFor(options_.node_id))),
        thread_([this] { Run(); }) {}

  ~Cache() override {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  absl::StatusOr<CachedRevision> Load() override;
  void Store(uint64_t revision, std::shared_ptr<const api::ResourceSet> set) override;
  void Flush() override;

  uint64_t writes() const override {
    std::lock_guard lock(mutex_);
    return writes_;
  }
  uint64_t failures() const override {
    std::lock_guard lock(mutex_);
    return failures_;
  }
  const std::string& path() const override { return path_; }

 private:
  struct Waiting {
    uint64_t revision = 0;
    std::shared_ptr<const api::ResourceSet> set;
  };

  void Run();
  void Write(const Waiting& waiting);
  int64_t UntilNextWrite() const;

  const LastGoodCacheOptions options_;
  const base::Clock& clock_;
  const std::string path_;

  mutable std::mutex mutex_;  // Guards what follows; not held while writing.
  std::condition_variable changed_;
  std::optional<Waiting> waiting_;
  std::optional<base::MonotonicNanos> last_write_;
  bool writing_ = false;
  uint32_t flushers_ = 0;
  bool stopping_ = false;
  uint64_t writes_ = 0, failures_ = 0;
  bool failing_ = false;

  std::thread thread_;  // Last: starts when everything else is there.
};

absl::StatusOr<CachedRevision> Cache::Load() {
  absl::StatusOr<std::string> bytes = ReadWholeFile(path_, kMaxFileBytes);
  if (bytes.status().code() == absl::StatusCode::kNotFound) return bytes.status();
  absl::StatusOr<CachedRevision> cached =
      bytes.ok() ? DecodeCache(*std::move(bytes), options_.node_id, options_.key)
                 : absl::StatusOr<CachedRevision>(bytes.status());
  if (cached.ok()) return cached;
  const std::string aside = path_ + ".corrupt";
  const bool moved = rename(path_.c_str(), aside.c_str()) == 0;
  const std::string message = absl::StrCat("the last good revision in ", path_,
                                           " cannot be used: ", cached.status().message(),
                                           moved ? absl::StrCat("; set aside as ", aside) : "");
  base::Log(Severity::kWarning, "cache", message);
  return absl::DataLossError(message);
}

void Cache::Store(uint64_t revision, std::shared_ptr<const api::ResourceSet> set) {
  {
    std::lock_guard lock(mutex_);
    waiting_ = Waiting{revision, std::move(set)};
  }
  changed_.notify_all();
}

void Cache::Flush() {
  std::unique_lock lock(mutex_);
  ++flushers_;
  changed_.notify_all();
  changed_.wait(lock, [this] { return !waiting_ && !writing_; });
  --flushers_;
}

int64_t Cache::UntilNextWrite() const {
  if (!last_write_ || flushers_ > 0 || stopping_) return 0;
  return *last_write_ + options_.min_interval_nanos - clock_.Monotonic();
}

void Cache::Run() {
  base::BecomeBackgroundThread("last-good-cache");
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return waiting_ || stopping_; });
    if (!waiting_) return;
    for (int64_t left = UntilNextWrite(); left > 0; left = UntilNextWrite()) {
      changed_.wait_for(lock, std::chrono::nanoseconds(left));
    }
    const Waiting waiting = *std::exchange(waiting_, std::nullopt);
    writing_ = true;
    last_write_ = clock_.Monotonic();
    lock.unlock();
    Write(waiting);
    lock.lock();
    writing_ = false;
    changed_.notify_all();
  }
}

void Cache::Write(const Waiting& waiting) {
  const std::string bytes =
      EncodeCache(waiting.revision, clock_.Unix(), *waiting.set, options_.node_id, options_.key);
  const absl::Status status =
      bytes.empty() ? absl::InternalError("encryption failed") : WriteFileAtomically(path_, bytes);
  std::lock_guard lock(mutex_);
  ++(status.ok() ? writes_ : failures_);
  if (status.ok() == failing_) {
    failing_ = !status.ok();
    base::Log(status.ok() ? Severity::kInfo : Severity::kWarning, "cache",
              status.ok() ? absl::StrCat(path_, " can be written again")
                          : absl::StrCat("revision ", waiting.revision, " cannot be kept in ",
                                         path_, ": ", status.message(),
                                         "; a restart without a control plane would serve what was "
                                         "kept before"));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<LastGoodCache>> LastGoodCache::Open(LastGoodCacheOptions options,
                                                                   const base::Clock& clock) {
  const auto invalid = [&options](const char* problem) {
    return absl::InvalidArgumentError(
        absl::StrCat("cache folder \"", options.folder, "\" ", problem, ": ", std::strerror(errno),
                     "; give a folder that the proxy's user may write to"));
  };
  if (options.folder.empty()) {
    errno = ENOENT;
    return invalid("is empty");
  }
  if (mkdir(options.folder.c_str(), 0700) != 0 && errno != EEXIST) return invalid("cannot be made");
  struct stat status {};
  if (stat(options.folder.c_str(), &status) != 0) return invalid("cannot be used");
  if (!S_ISDIR(status.st_mode)) {
    errno = ENOTDIR;
    return invalid("cannot be used");
  }
  if (access(options.folder.c_str(), W_OK | X_OK) != 0) return invalid("cannot be used");
  return std::make_unique<Cache>(std::move(options), clock);
}

}  // namespace portico::discovery_client
