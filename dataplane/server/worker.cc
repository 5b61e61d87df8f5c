#include "dataplane/server/worker.h"

#include <sys/random.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "dataplane/base/check.h"
#include "dataplane/base/log.h"
#include "dataplane/base/thread.h"
#include "dataplane/downstream/listener_options.h"
#include "dataplane/event/frame_pool.h"

namespace portico::server {
namespace {

// How soon ended acceptors are noticed; only while some are retired.
constexpr int64_t kHousekeepingNanos = base::kNanosPerSecond;
constexpr int64_t kDrainHousekeepingNanos = 10 * base::kNanosPerMilli;

upstream::Random SeededRandom() {
  uint64_t seed[4];
  PORTICO_CHECK(getrandom(seed, sizeof seed, 0) == sizeof seed);
  return upstream::Random(seed);
}

}  // namespace

Worker::Worker(WorkerOptions options, std::unique_ptr<event::Engine> engine)
    : index_(options.index),
      max_connections_(options.max_connections),
      max_process_connections_(options.max_process_connections),
      metrics_(std::make_shared<observe::WorkerMetrics>()),
      loop_(std::move(engine), options.clock),
      random_(SeededRandom()),
      access_log_(options.access_log.MakeWriter()),
      context_{.loop = loop_,
               .metrics = *metrics_,
               .access_log = *access_log_,
               .clusters = clusters_,
               .random = random_,
               .policy_states = std::move(options.policy_states),
               .retries = {},
               .active_requests = 0,
               .memory = {.share = options.memory_share},
               .active = nullptr},
      clusters_({loop_, *metrics_, random_, options.limits, options.index, options.workers,
                 options.subset_seed, &context_.memory.shrunk}),
      proxy_(context_) {
  housekeeping_.on_fire = &Worker::OnHousekeeping;
  housekeeping_.context = this;
}

Worker::~Worker() { PORTICO_CHECK(!thread_.joinable()); }

void Worker::Start() {
  thread_ = std::thread([this] {
    base::BecomeServingThread(absl::StrCat("worker-", index_));
    loop_.Run();
    LogLeftOver();
    ended_.store(true, std::memory_order_release);
  });
}

void Worker::Join() {
  if (thread_.joinable()) thread_.join();
}

observe::WorkerObjects Worker::Objects() {
  const base::BufferPool& downstream = loop_.downstream_buffers();
  const base::BufferPool& upstream = loop_.upstream_buffers();
  return {
      .downstream_buffers = downstream.live(),
      .upstream_buffers = upstream.live(),
      .buffer_bytes = downstream.live_bytes() + upstream.live_bytes(),
      .idle_buffer_bytes = downstream.idle_bytes() + upstream.idle_bytes(),
      .lent_buffer_bytes = loop_.engine().stats().lent_buffer_bytes.load(std::memory_order_relaxed),
      .frames = static_cast<uint64_t>(event::LiveFrames()),
      .timers = loop_.timers().armed()};
}

void Worker::LogLeftOver() {
  // Not after a start that failed.
  if (context_.active == nullptr) return;
  // Nothing is open any more: what is still held now is held for ever.
  const observe::WorkerObjects left = Objects();
  base::Log(base::Severity::kInfo, "server",
            absl::StrCat("worker ", index_,
                         " ended, left over: ", left.downstream_buffers + left.upstream_buffers,
                         " buffers, ", left.frames, " coroutine frames, ", left.timers, " timers"));
}

void Worker::CountObjects(std::function<void(const observe::WorkerObjects&)> done) {
  loop_.Post([this, done = std::move(done)] { done(Objects()); });
}

void Worker::Install(std::shared_ptr<const Revision> revision, std::function<void()> done) {
  loop_.Post([this, revision = std::move(revision), done = std::move(done)] {
    Apply(revision);
    done();
  });
}

void Worker::Apply(const std::shared_ptr<const Revision>& revision) {
  auto active = std::make_shared<proxy::ActiveSnapshot>();
  active->snapshot = revision->snapshot;
  active->listeners = revision->listeners;
  context_.active = std::move(active);
  if (draining_) {
    for (const ListenerPlan::Listener& listener : revision->plan.listeners) {
      if (!listener.sockets.empty()) loop_.engine().Close(listener.sockets[index_]);
    }
    return;
  }
  for (const ListenerPlan::Listener& listener : revision->plan.listeners) Listen(listener);
  for (const uint32_t id : revision->plan.removed) Retire(id, /*drain=*/true);
}

void Worker::Listen(const ListenerPlan::Listener& listener) {
  downstream::ConnectionOptions options = downstream::OptionsOf(*listener.entry);
  options.announce_close = &announce_close_;
  options.overloaded = &context_.memory.no_keep_alive;
  options.memory_scarce = &context_.memory.shrunk;
  if (listener.sockets.empty()) {
    for (Listening& listening : listening_) {
      if (listening.id != listener.id) continue;
      listening.acceptor->SetConnectionOptions(options);
      listening.acceptor->SetTls(listener.entry->tls);
    }
    return;
  }
  // It moved: connections made at the old address stay.
  Retire(listener.id, /*drain=*/false);
  downstream::AcceptorOptions acceptor;
  acceptor.listener_id = listener.id;
  acceptor.listener_name = listener.entry->name;
  acceptor.connection = options;
  acceptor.tls = listener.entry->tls;
  acceptor.max_connections = max_connections_;
  acceptor.max_process_connections = max_process_connections_;
  acceptor.group = listener.group;
  acceptor.worker = index_;
  downstream::ConnectionObserver& observer = *this;
  listening_.push_back({std::make_unique<downstream::Acceptor>(loop_, listener.sockets[index_],
                                                               std::move(acceptor), proxy_, observer),
                        listener.id});
  listening_.back().acceptor->Start();
}

void Worker::Retire(uint32_t id, bool drain) {
  // It may have moved before: what was accepted at the old address goes too.
  for (Listening& retired : retired_) {
    if (drain && retired.id == id) retired.acceptor->Drain();
  }
  for (size_t i = 0; i < listening_.size();) {
    if (listening_[i].id != id) {
      ++i;
      continue;
    }
    if (drain) {
      listening_[i].acceptor->Drain();
    } else {
      listening_[i].acceptor->StopAccepting();
    }
    retired_.push_back(std::move(listening_[i]));
    listening_.erase(listening_.begin() + static_cast<std::ptrdiff_t>(i));
    ArmHousekeeping();
  }
}

void Worker::AnnounceDrain() {
  loop_.Post([this] { announce_close_ = true; });
}

void Worker::Drain() {
  loop_.Post([this] {
    announce_close_ = true;
    draining_ = true;
    for (Listening& retired : retired_) retired.acceptor->Drain();
    while (!listening_.empty()) Retire(listening_.back().id, /*drain=*/true);
    ArmHousekeeping();
  });
}

void Worker::ForceClose() {
  loop_.Post([this] {
    draining_ = true;
    while (!listening_.empty()) Retire(listening_.back().id, /*drain=*/true);
    for (Listening& retired : retired_) {
      retired.acceptor->ForceClose(absl::UnavailableError("the proxy is stopping"));
    }
    ArmHousekeeping();
  });
}

void Worker::ArmHousekeeping() {
  loop_.timers().Arm(housekeeping_, loop_.now() + (draining_ ? kDrainHousekeepingNanos : kHousekeepingNanos));
}

void Worker::OnHousekeeping(event::Timer& timer) {
  static_cast<Worker*>(timer.context)->Housekeep();
}

void Worker::Housekeep() {
  std::erase_if(retired_, [](const Listening& retired) { return retired.acceptor->ended(); });
  if (!retired_.empty()) {
    ArmHousekeeping();
    return;
  }
  if (!draining_) return;
  if (!closing_clusters_) {
    closing_clusters_ = true;
    clusters_.Close();
  }
  if (clusters_.connections() == 0) {
    loop_.Stop();
  } else {
    ArmHousekeeping();
  }
}

}  // namespace portico::server
