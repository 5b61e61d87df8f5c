#include "dataplane/observe/access_log.h"

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "dataplane/base/log.h"
#include "dataplane/base/thread.h"
#include "dataplane/observe/access_log_format.h"
#include "dataplane/observe/access_log_ring.h"
#include "dataplane/observe/log_file.h"

namespace portico::observe {
namespace {

constexpr size_t kBatchBytes = 64 * 1024;
constexpr size_t kMaxSinks = 256;
constexpr int kPipePatienceMillis = 200;
// How long the thread sleeps between two looks at the rings.
constexpr std::chrono::milliseconds kMinWait{1}, kMaxWait{20};

class Writer final : public AccessLogWriter {
 public:
  explicit Writer(std::shared_ptr<AccessLogRing> ring) : ring_(std::move(ring)) {}
  ~Writer() override { ring_->closed.store(true, std::memory_order_release); }
  bool Write(uint32_t sink, const AccessRecord& record) override {
    return ring_->Push(sink, record);
  }

 private:
  const std::shared_ptr<AccessLogRing> ring_;
};

class Service final : public AccessLogService {
 public:
  explicit Service(size_t ring_bytes) : ring_bytes_(ring_bytes), thread_([this] { Run(); }) {}

  ~Service() override {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  absl::StatusOr<uint32_t> Sink(const std::string& path) override;
  std::unique_ptr<AccessLogWriter> MakeWriter() override;
  void Reopen() override { AwaitPass(/*reopen=*/true); }
  void Flush() override { AwaitPass(/*reopen=*/false); }
  uint64_t dropped() const override;

 private:
  // One destination. `file` is never null, and used by the thread only.
  struct Destination {
    std::unique_ptr<LogFile> file;
    std::string batch;
    size_t lines = 0;
    bool failing = false;
  };

  void AwaitPass(bool reopen);
  void Run();
  // Everything that is in the rings goes to the files. Returns how full the fullest
  // ring was, 0 to 1.
  double Pass(bool reopen);
  void Store(Destination& destination);
  void ReopenAll(const std::vector<Destination*>& destinations);

  const size_t ring_bytes_;
  std::atomic<uint64_t> lost_{0};  // Formatted, but not stored.
  AccessLogFormatter formatter_;   // The thread's.

  mutable std::mutex mutex_;  // Guards what follows; held briefly, never by a worker.
  std::condition_variable wake_, passed_;
  std::map<std::string, uint32_t> sinks_;
  std::vector<std::unique_ptr<Destination>> destinations_;  // By sink
  std::vector<std::shared_ptr<AccessLogRing>> rings_;
  uint64_t dropped_by_gone_rings_ = 0;
  uint64_t wanted_passes_ = 0;  // A pass that begins after a wish ends it.
  uint64_t done_passes_ = 0;
  bool reopen_wanted_ = false;
  bool stopping_ = false;

  std::thread thread_;  // Last: starts when everything else is there.
};

absl::StatusOr<uint32_t> Service::Sink(const std::string& path) {
  std::lock_guard lock(mutex_);
  if (const auto found = sinks_.find(path); found != sinks_.end()) return found->second;
  if (destinations_.size() >= kMaxSinks) {
    return absl::ResourceExhaustedError(
        absl::StrCat("access log \"", path, "\": at most ", kMaxSinks,
                     " different paths in the life of a proxy; restart it to forget old ones"));
  }
  absl::StatusOr<std::unique_ptr<LogFile>> file = LogFile::Open(path);
  if (!file.ok()) return file.status();
  const uint32_t sink = static_cast<uint32_t>(destinations_.size());
  destinations_.push_back(std::make_unique<Destination>());
  destinations_.back()->file = *std::move(file);
  sinks_.emplace(path, sink);
  return sink;
}

std::unique_ptr<AccessLogWriter> Service::MakeWriter() {
  auto ring = std::make_shared<AccessLogRing>(ring_bytes_);
  std::lock_guard lock(mutex_);
  rings_.push_back(ring);
  return std::make_unique<Writer>(std::move(ring));
}

uint64_t Service::dropped() const {
  std::lock_guard lock(mutex_);
  uint64_t dropped = lost_.load(std::memory_order_relaxed) + dropped_by_gone_rings_;
  for (const auto& ring : rings_) dropped += ring->dropped();
  return dropped;
}

void Service::AwaitPass(bool reopen) {
  std::unique_lock lock(mutex_);
  const uint64_t wish = ++wanted_passes_;
  reopen_wanted_ = reopen_wanted_ || reopen;
  wake_.notify_all();
  passed_.wait(lock, [&] { return done_passes_ >= wish; });
}

void Service::Run() {
  base::BecomeBackgroundThread("access-log", base::kFollowingNiceness);
  // Signals are for the main thread; a closed pipe shall be an error, not a signal.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);

  std::chrono::milliseconds pause = kMaxWait;
  for (bool stop = false; !stop;) {
    uint64_t wish;
    bool reopen;
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, pause, [&] { return stopping_ || wanted_passes_ != done_passes_; });
      wish = wanted_passes_;
      reopen = std::exchange(reopen_wanted_, false);
      stop = stopping_;
    }
    // Workers wake nobody, so the pause follows how fast they fill their rings.
    const double fill = Pass(reopen);
    if (fill > 0.25) pause = std::max(kMinWait, pause / 2);
    if (fill < 0.0625) pause = std::min(kMaxWait, pause * 2);
    {
      std::lock_guard lock(mutex_);
      done_passes_ = wish;
    }
    passed_.notify_all();
  }
}

double Service::Pass(bool reopen) {
  std::vector<std::shared_ptr<AccessLogRing>> rings;
  std::vector<Destination*> destinations;
  {
    std::lock_guard lock(mutex_);
    rings = rings_;
  }
  double fill = 0;
  std::vector<const AccessLogRing*> gone;
  for (const auto& ring : rings) {
    // Read before the drain: what a writer put there before it went is then drained.
    const bool closed = ring->closed.load(std::memory_order_acquire);
    const size_t bytes = ring->Drain([&](uint32_t sink, const AccessRecord& record) {
      if (sink >= destinations.size()) {
        // A sink that came up during this pass.
        std::lock_guard lock(mutex_);
        destinations.clear();
        for (const auto& destination : destinations_) destinations.push_back(destination.get());
      }
      if (sink >= destinations.size()) {
        lost_.fetch_add(1, std::memory_order_relaxed);
        return;
      }
      Destination& destination = *destinations[sink];
      formatter_.AppendLine(record, destination.batch);
      ++destination.lines;
      if (destination.batch.size() >= kBatchBytes) Store(destination);
    });
    fill = std::max(fill, static_cast<double>(bytes) / static_cast<double>(ring->capacity()));
    if (closed) gone.push_back(ring.get());
  }
  {
    std::lock_guard lock(mutex_);
    destinations.clear();
    for (const auto& destination : destinations_) destinations.push_back(destination.get());
    std::erase_if(rings_, [&](const std::shared_ptr<AccessLogRing>& ring) {
      if (std::find(gone.begin(), gone.end(), ring.get()) == gone.end()) return false;
      dropped_by_gone_rings_ += ring->dropped();
      return true;
    });
  }
  for (Destination* destination : destinations) Store(*destination);
  if (reopen) ReopenAll(destinations);
  return fill;
}

void Service::Store(Destination& destination) {
  if (destination.batch.empty()) return;
  size_t stored = 0;
  const absl::Status status =
      destination.file->Write(destination.batch, kPipePatienceMillis, stored);
  if (!status.ok()) {
    const auto kept = std::count(destination.batch.begin(),
                                 destination.batch.begin() + static_cast<ptrdiff_t>(stored), '\n');
    lost_.fetch_add(destination.lines - static_cast<size_t>(kept), std::memory_order_relaxed);
  }
  // Once per change, not once per batch: the log may be on the same full disk.
  if (status.ok() == destination.failing) {
    destination.failing = !status.ok();
    const std::string text = status.ok() ? absl::StrCat("access log \"", destination.file->path(),
                                                        "\" can be written again")
                                         : std::string(status.message()) + "; records are lost";
    base::Log(status.ok() ? base::Severity::kInfo : base::Severity::kWarning, "access log", text);
  }
  destination.batch.clear();
  destination.lines = 0;
}

void Service::ReopenAll(const std::vector<Destination*>& destinations) {
  for (Destination* destination : destinations) {
    if (const absl::Status status = destination->file->Reopen(); !status.ok()) {
      base::Log(base::Severity::kWarning, "access log",
                absl::StrCat(status.message(), "; going on with the old file"));
    }
  }
}

}  // namespace

std::unique_ptr<AccessLogService> AccessLogService::Create(size_t ring_bytes) {
  return std::make_unique<Service>(ring_bytes);
}

}  // namespace portico::observe
