#include "dataplane/server/server.h"

#include <chrono>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "dataplane/base/log.h"
#include "dataplane/base/thread.h"
#include "dataplane/tls/server_context.h"
#include "dataplane/upstream/subset.h"

namespace portico::server {
namespace {

using base::Severity;

// How often is looked whether a worker has ended.
constexpr std::chrono::milliseconds kDrainStep(5);
// How long workers have to say what they hold.
constexpr std::chrono::milliseconds kObjectsTimeout(250);
// How often is looked whether the last exchange of an old revision has ended; only while there are
// old ones.
constexpr std::chrono::milliseconds kRetiredStep(100);

uint64_t CountUpstreams(const api::ResourceSet& resources) {
  // Ordered by kind.
  auto at = resources.lower_bound({"Upstream", ""});
  uint64_t count = 0;
  while (at != resources.end() && at->first.kind == "Upstream") ++at, ++count;
  return count;
}

}  // namespace

Server::Server(ServerOptions options, const base::Clock& clock, observe::ProxyStatus& status,
               observe::MetricIds& ids, observe::AccessLogService& access_log,
               snapshot::PolicyBuilders policies)
    : options_(std::move(options)),
      clock_(clock),
      status_(status),
      access_log_(access_log),
      builder_(std::move(policies), ids, clock),
      listeners_(options_.workers, options_.listener_addresses) {}

Server::~Server() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (configuration_.joinable()) configuration_.join();
  if (drain_.joinable()) drain_.join();
  for (auto& worker : workers_) {
    worker->ForceClose();
    worker->Join();
  }
}

absl::Status Server::Start() {
  auto engines = event::CreateEngines(options_.io_engine, options_.workers,
                                      options_.io_gather_micros);
  if (!engines.ok()) {
    const std::string engine_name(event::EngineKindName(options_.io_engine));
    return absl::Status(engines.status().code(), absl::StrCat("--io-engine=", engine_name, ": ",
                                                              engines.status().message()));
  }
  engine_choice_.name = event::EngineKindName(engines->kind);
  if (engines->refusal.has_value()) {
    engine_choice_.fallback_reason = engines->refusal->reason;
    engine_choice_.fallback_message = engines->refusal->message;
  }
  for (uint32_t i = 0; i < options_.workers; ++i) {
    workers_.push_back(std::make_unique<Worker>(
        WorkerOptions{.index = i,
                      .workers = options_.workers,
                      .subset_seed = upstream::RingKey(options_.node_id, 0),
                      .max_connections = options_.max_connections,
                      .max_process_connections = options_.max_process_connections,
                      .memory_share = options_.memory_limit / options_.workers,
                      .clock = clock_,
                      .limits = limits_,
                      .access_log = access_log_,
                      .policy_states = builder_.MakeWorkerStates()},
        std::move(engines->engines[i])));
  }
  for (auto& worker : workers_) worker->Start();
  configuration_ = std::thread([this] { RunConfiguration(); });
  drain_ = std::thread([this] { RunDrain(); });
  return absl::OkStatus();
}

std::vector<const event::EngineStats*> Server::engine_stats() const {
  std::vector<const event::EngineStats*> stats;
  for (const auto& worker : workers_) stats.push_back(&worker->engine_stats());
  return stats;
}

std::vector<std::shared_ptr<const observe::WorkerMetrics>> Server::worker_metrics() const {
  std::vector<std::shared_ptr<const observe::WorkerMetrics>> metrics;
  for (const auto& worker : workers_) metrics.push_back(worker->metrics());
  return metrics;
}

observe::WorkerObjects Server::CountObjects() const {
  // Outlives this call in the hands of workers that answer late.
  struct Answers {
    std::mutex mutex;
    std::condition_variable changed;
    size_t count = 0;
    observe::WorkerObjects sum;
  };
  const auto answers = std::make_shared<Answers>();
  size_t asked = 0;
  for (const auto& worker : workers_) {
    if (worker->ended()) continue;
    ++asked;
    worker->CountObjects([answers](const observe::WorkerObjects& objects) {
      const std::lock_guard lock(answers->mutex);
      ++answers->count;
      answers->sum.Add(objects);
      answers->changed.notify_one();
    });
  }
  std::unique_lock lock(answers->mutex);
  answers->changed.wait_for(lock, kObjectsTimeout, [&] { return answers->count == asked; });
  return answers->sum;
}

void Server::OnListenersChanged(
    std::function<void(const std::vector<std::pair<std::string, net::SocketAddress>>&)> callback) {
  on_listeners_changed_ = std::move(callback);
}

void Server::Offer(uint64_t revision, api::ResourceSet resources,
                   std::function<void(Violations)> done) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back({revision, std::move(resources), std::move(done)});
  }
  changed_.notify_all();
}

std::shared_ptr<const snapshot::Snapshot> Server::live() const {
  const std::lock_guard lock(mutex_);
  return live_;
}

std::vector<std::pair<std::string, int64_t>> Server::certificates() const {
  const std::shared_ptr<const snapshot::Snapshot> snapshot = live();
  std::map<std::string, int64_t> all;
  if (snapshot != nullptr) {
    for (const auto& listener : snapshot->listeners) {
      if (listener->tls == nullptr) continue;
      for (const auto& expiry : listener->tls->expiries()) all[expiry.name] = expiry.not_after;
    }
  }
  return {all.begin(), all.end()};
}

bool Server::ready() const {
  const std::lock_guard lock(mutex_);
  return live_ != nullptr && !drain_wanted_;
}

void Server::RunConfiguration() {
  base::BecomeBackgroundThread("configuration");
  const auto wanted = [this] { return stopping_ || !queue_.empty(); };
  while (true) {
    std::optional<Work> work;
    {
      std::unique_lock lock(mutex_);
      if (retired_.empty()) {
        changed_.wait(lock, wanted);
      } else {
        changed_.wait_for(lock, kRetiredStep, wanted);
      }
      if (stopping_) return;
      if (!queue_.empty()) {
        work = std::move(queue_.front());
        queue_.pop_front();
      }
    }
    if (work) {
      Violations violations = Apply(*work);
      work->done(std::move(violations));
    }
    // Last: it takes long, and nobody waits for it.
    FreeRetired();
  }
}

// Nobody takes a new reference to what is not live any more, so whose count says that it is the
// last one stays that.
void Server::FreeRetired() {
  std::erase_if(retired_, [](const std::shared_ptr<const Revision>& revision) {
    return revision.use_count() == 1 && revision->snapshot.use_count() == 1;
  });
}

Violations Server::Apply(Work& work) {
  Violations violations;
  std::optional<Revision> compiled = Compile(work, violations);
  if (!compiled) {
    status_.config_rejected_total.Add();
    base::Log(Severity::kWarning, "config",
              absl::StrCat("revision ", work.revision, " refused: ", violations.size(),
                           " violations; what was live stays"));
    return violations;
  }
  const size_t changes = compiled->plan.removed.size();
  bool moved = changes > 0;
  for (const auto& listener : compiled->plan.listeners) moved |= !listener.sockets.empty();

  auto revision = std::make_shared<const Revision>(*std::move(compiled));
  InstallOnAll(revision);
  if (installed_ != nullptr) retired_.push_back(std::move(installed_));
  installed_ = revision;
  listeners_.Commit(revision->plan);
  // Before it is ready: who waits for that looks for the addresses then.
  if (moved && on_listeners_changed_) on_listeners_changed_(listeners_.Addresses());
  {
    const std::lock_guard lock(mutex_);
    live_ = revision->snapshot;
    status_.ready.store(!drain_wanted_);
  }
  const snapshot::Snapshot& snapshot = *revision->snapshot;
  status_.config_revision.store(snapshot.revision);
  status_.config_applied_at.store(clock_.Unix());
  status_.config_applied_total.Add();
  status_.routes.store(snapshot.routes.size());
  status_.upstreams.store(CountUpstreams(snapshot.resources));
  base::Log(Severity::kInfo, "config",
            absl::StrCat("revision ", snapshot.revision, " is live: ", snapshot.routes.size(),
                         " routes, ", snapshot.listeners.size(), " listeners"));
  return violations;
}

std::optional<Revision> Server::Compile(Work& work, Violations& violations) {
  auto snapshot = builder_.Build(work.revision, std::move(work.resources), violations);
  if (!snapshot.ok()) {
    if (violations.empty()) {
      v1::Violation& violation = violations.emplace_back();
      violation.set_reason(std::string(snapshot.status().message()));
    }
    return std::nullopt;
  }
  Revision revision;
  revision.snapshot = *std::move(snapshot);
  if (!listeners_.Prepare(*revision.snapshot, revision.plan, violations)) return std::nullopt;
  revision.listeners.resize(revision.plan.ids);
  for (const auto& listener : revision.plan.listeners) {
    revision.listeners[listener.id].entry = listener.entry;
  }
  if (!OpenAccessLogs(revision, violations)) {
    ListenerTable::Discard(revision.plan);
    return std::nullopt;
  }
  return revision;
}

bool Server::OpenAccessLogs(Revision& revision, Violations& violations) {
  for (proxy::ListenerRuntime& listener : revision.listeners) {
    if (listener.entry == nullptr || listener.entry->access_log.empty()) continue;
    for (const auto& log : revision.snapshot->access_logs) {
      if (log->name != listener.entry->access_log) continue;
      const absl::StatusOr<uint32_t> sink = access_log_.Sink(log->path);
      if (!sink.ok()) {
        v1::Violation& violation = violations.emplace_back();
        violation.mutable_resource()->set_kind("AccessLog");
        violation.mutable_resource()->set_name(log->name);
        violation.set_field("spec.path");
        violation.set_value(log->path);
        violation.set_reason(std::string(sink.status().message()));
        violation.set_fix("name a file in a folder that the proxy may write to, or stdout");
        continue;
      }
      listener.access_log = log;
      listener.sink = *sink;
    }
  }
  return violations.empty();
}

void Server::InstallOnAll(std::shared_ptr<const Revision> revision) {
  struct Progress {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<bool> done;
  };
  const auto progress = std::make_shared<Progress>();
  progress->done.resize(workers_.size());
  for (size_t i = 0; i < workers_.size(); ++i) {
    workers_[i]->Install(revision, [progress, i] {
      const std::lock_guard lock(progress->mutex);
      progress->done[i] = true;
      progress->changed.notify_one();
    });
  }
  // A worker that ends in a drain may not come to it any more.
  const auto all_done = [&] {
    for (size_t i = 0; i < workers_.size(); ++i) {
      if (!progress->done[i] && !workers_[i]->ended()) return false;
    }
    return true;
  };
  std::unique_lock lock(progress->mutex);
  while (!progress->changed.wait_for(lock, kDrainStep, all_done)) {
  }
}

void Server::Drain() {
  {
    const std::lock_guard lock(mutex_);
    if (!drain_wanted_) base::Log(Severity::kInfo, "server", "drain begins: not ready any more");
    drain_wanted_ = true;
    status_.ready.store(false);
    status_.draining.store(true);
  }
  changed_.notify_all();
}

void Server::WaitUntilDrained() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return drained_; });
}

// True when all workers have ended within the time.
bool Server::WaitForWorkers(int64_t nanos) {
  const base::MonotonicNanos until = clock_.Monotonic() + nanos;
  std::unique_lock lock(mutex_);
  while (true) {
    bool ended = true;
    for (auto& worker : workers_) ended &= worker->ended();
    if (ended || stopping_) return ended;
    if (clock_.Monotonic() >= until) return false;
    changed_.wait_for(lock, kDrainStep, [this] { return stopping_; });
  }
}

void Server::RunDrain() {
  base::BecomeBackgroundThread("drain");
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return stopping_ || drain_wanted_; });
    if (stopping_) return;
  }
  // First phase: everything is served, but clients are told to leave, and balancers
  // see that the proxy is not ready.
  for (auto& worker : workers_) worker->AnnounceDrain();
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::nanoseconds(options_.drain_grace_nanos),
                      [this] { return stopping_; });
  }
  for (auto& worker : workers_) worker->Drain();
  if (!WaitForWorkers(options_.drain_timeout_nanos)) {
    base::Log(Severity::kWarning, "server", "drain timeout: open exchanges are cut");
    for (auto& worker : workers_) worker->ForceClose();
    WaitForWorkers(options_.drain_timeout_nanos);
  }
  base::Log(Severity::kInfo, "server", "drained");
  {
    const std::lock_guard lock(mutex_);
    drained_ = true;
  }
  changed_.notify_all();
}

}  // namespace portico::server
