#include "dataplane/discovery/client.h"

#include <deque>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "dataplane/base/log.h"
#include "dataplane/discovery/backoff.h"
#include "dataplane/discovery/event_queue.h"
#include "dataplane/discovery/stream.h"

namespace portico::discovery_client {
namespace {

using base::Severity;
using discovery::v1::ProxyMessage;
using discovery::v1::ServerMessage;

constexpr std::string_view kArea = "discovery";
// What an answer holds at most, so that it stays below the size of a message.
constexpr size_t kMaxViolations = 200;

template <typename... Parts>
void Log(Severity severity, const Parts&... parts) {
  base::Log(severity, kArea, absl::StrCat(parts...));
}

class Client final : public DiscoveryClient {
 public:
  Client(ClientOptions options, RevisionSink& sink, const base::Clock& clock,
         observe::ProxyStatus& status, LastGoodCache* cache)
      : options_(std::move(options)),
        sink_(sink),
        clock_(clock),
        status_(status),
        cache_(cache),
        events_(std::make_shared<EventQueue>()),
        backoff_(options_.min_backoff_nanos, options_.max_backoff_nanos),
        random_(std::random_device()()),
        applied_(std::make_shared<const api::ResourceSet>()) {}
  ~Client() override { Shutdown(); }

  void Start(uint64_t revision, ResourceSetPtr applied) override;
  void Shutdown() override;

 private:
  // What one stream is doing.
  struct Conversation {
    Conversation(std::unique_ptr<Stream> opened, uint64_t stream_id,
                 const ChangeSetAssembler::Limits& limits, const base::Clock& clock)
        : stream(std::move(opened)),
          id(stream_id),
          assembler(limits),
          opened_unix(clock.Unix()),
          opened_at(clock.Monotonic()),
          last_heard(opened_at),
          last_sent(opened_at) {}
    const std::unique_ptr<Stream> stream;  // Destroyed after its kEnded.
    const uint64_t id;
    ChangeSetAssembler assembler;
    std::deque<ProxyMessage> outgoing;
    bool writing = false;
    bool broken = false;  // Nothing more can be written.
    bool greeted = false;
    const base::UnixNanos opened_unix;
    const base::MonotonicNanos opened_at;
    base::MonotonicNanos last_heard, last_sent;
    std::string ended_because;  // By us.
  };
  // A revision that the sink has and has not answered.
  struct Offered {
    uint64_t id = 0;
    uint64_t stream = 0, nonce = 0, revision = 0;
    ResourceSetPtr set;
    // 0 if it was accepted before the stream was opened: that says nothing about how
    // fast changes spread.
    base::UnixNanos accepted = 0;
  };

  void Run();
  void RunStream();
  void Pump(Conversation& talk);
  void OnEvent(Conversation& talk, Event& event, bool& ended);
  void OnWritten(Conversation& talk, bool ok);
  void OnMessage(Conversation& talk, ServerMessage& message);
  void OnChunk(Conversation& talk, discovery::v1::Chunk& chunk);
  void Offer(Conversation& talk, AssemblyStep step);
  void OnApplied(Event& event, Conversation* talk);
  void Refuse(Conversation& talk, const AssemblyStep& step, bool resync);
  bool WaitUntil(base::MonotonicNanos deadline, bool for_offer);

  const ClientOptions options_;
  RevisionSink& sink_;
  const base::Clock& clock_;
  observe::ProxyStatus& status_;
  LastGoodCache* const cache_;
  const std::shared_ptr<EventQueue> events_;

  // The thread's.
  Backoff backoff_;
  std::minstd_rand random_;
  uint64_t last_stream_ = 0, last_offer_ = 0;
  uint64_t revision_ = 0;
  ResourceSetPtr applied_;  // Never null.
  std::optional<Offered> offered_;
  std::string last_error_;  // Logged once as long as it stays the same.

  std::mutex start_mutex_;  // Guards the thread's start and end.
  std::thread thread_;
};

void Client::Start(uint64_t revision, ResourceSetPtr applied) {
  std::lock_guard lock(start_mutex_);
  if (thread_.joinable() || events_->stopped()) return;
  revision_ = revision;
  if (applied != nullptr) applied_ = std::move(applied);
  thread_ = std::thread([this] { Run(); });
}

void Client::Shutdown() {
  std::lock_guard lock(start_mutex_);
  events_->Stop();
  if (thread_.joinable()) thread_.join();
}

void Client::Run() {
  while (!events_->stopped()) {
    // Hello must say what is live, so an open question is settled first.
    while (offered_ && !events_->stopped()) {
      WaitUntil(clock_.Monotonic() + options_.heartbeat_nanos, /*for_offer=*/true);
    }
    if (events_->stopped()) return;
    RunStream();
    const double random = std::uniform_real_distribution<double>(0, 1)(random_);
    WaitUntil(clock_.Monotonic() + backoff_.Next(random), /*for_offer=*/false);
  }
}

// Returns at the deadline, or earlier when stopped or (`for_offer`) when the sink
// has answered.
bool Client::WaitUntil(base::MonotonicNanos deadline, bool for_offer) {
  for (;;) {
    const int64_t left = deadline - clock_.Monotonic();
    if (left <= 0) return false;
    std::optional<Event> event = events_->Take(left);
    if (!event) return false;
    if (event->kind == Event::Kind::kApplied) OnApplied(*event, nullptr);
    if (for_offer && !offered_) return true;
  }
}

void Client::RunStream() {
  absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = MakeChannel(options_.channel);
  if (!channel.ok()) {
    if (const std::string error(channel.status().message()); error != last_error_) {
      last_error_ = error;
      Log(Severity::kWarning, "cannot connect to the control plane: ", error);
    }
    return;
  }
  const uint64_t id = ++last_stream_;
  Conversation talk(Stream::Open(*std::move(channel), id, events_), id, options_.limits, clock_);
  talk.outgoing = MakeHello(options_.identity, revision_, *applied_);

  bool ended = false;
  while (!ended) {
    const bool closing = !talk.ended_because.empty();
    if (!closing) Pump(talk);
    const base::MonotonicNanos now = clock_.Monotonic();
    const base::MonotonicNanos deadline = closing
                                              ? now + base::kNanosPerSecond
                                              : std::min(talk.last_heard + options_.silence_nanos,
                                                         talk.last_sent + options_.heartbeat_nanos);
    std::optional<Event> event = events_->Take(deadline - now, /*even_if_stopped=*/closing);
    if (event) OnEvent(talk, *event, ended);
    if (closing || ended) continue;
    if (events_->stopped()) {
      talk.ended_because = "the proxy is shutting down";
    } else if (clock_.Monotonic() - talk.last_heard >= options_.silence_nanos) {
      talk.ended_because = "nothing heard from the control plane for too long";
    }
    if (!talk.ended_because.empty()) talk.stream->Cancel();
  }
  status_.control_plane_connected.store(false);
  if (clock_.Monotonic() - talk.opened_at >= options_.stable_nanos) backoff_.Reset();
}

// Writes what waits, one message at a time.
void Client::Pump(Conversation& talk) {
  if (talk.writing || talk.broken) return;
  const base::MonotonicNanos now = clock_.Monotonic();
  if (talk.outgoing.empty()) {
    if (now - talk.last_sent < options_.heartbeat_nanos) return;
    talk.outgoing.emplace_back().mutable_heartbeat();
  }
  talk.writing = true;
  talk.last_sent = now;
  talk.stream->Write(std::move(talk.outgoing.front()));
  talk.outgoing.pop_front();
}

void Client::OnEvent(Conversation& talk, Event& event, bool& ended) {
  if (event.kind == Event::Kind::kApplied) return OnApplied(event, &talk);
  if (event.stream != talk.id) return;
  switch (event.kind) {
    case Event::Kind::kRead:
      if (!event.ok) {
        talk.broken = true;
        talk.stream->Release();
        return;
      }
      talk.last_heard = clock_.Monotonic();
      if (talk.ended_because.empty()) OnMessage(talk, event.message);
      talk.stream->ReadNext();
      return;
    case Event::Kind::kWritten:
      return OnWritten(talk, event.ok);
    case Event::Kind::kEnded: {
      ended = true;
      std::string why = talk.ended_because.empty() ? event.error : talk.ended_because;
      if (why.empty()) why = "the control plane ended the stream";
      if (events_->stopped() || why == last_error_) return;
      last_error_ = why;
      Log(Severity::kWarning, talk.greeted ? "lost the control plane at " : "no control plane at ",
          options_.channel.address, ": ", why, "; serving revision ", revision_,
          " and trying again");
      return;
    }
    case Event::Kind::kApplied:
      return;
  }
}

void Client::OnWritten(Conversation& talk, bool ok) {
  talk.writing = false;
  if (!ok) {
    talk.broken = true;
    // Reading may go on without an end when only the writing side is broken.
    talk.stream->Cancel();
    return;
  }
  if (talk.greeted || !talk.outgoing.empty()) return;
  talk.greeted = true;
  last_error_.clear();
  status_.control_plane_connected.store(true);
  status_.control_plane_connects_total.Add();
  Log(Severity::kInfo, "connected to the control plane at ", options_.channel.address,
      " with revision ", revision_);
}

void Client::OnMessage(Conversation& talk, ServerMessage& message) {
  if (message.has_chunk()) return OnChunk(talk, *message.mutable_chunk());
  // A control plane that is content with what we have says so by its silence and
  // its heartbeats. Messages of a kind this build does not know count as such.
  status_.config_from_cache.store(false);
}

void Client::OnChunk(Conversation& talk, discovery::v1::Chunk& chunk) {
  if (offered_) {
    AssemblyStep step;
    step.nonce = chunk.nonce();
    step.revision = chunk.revision();
    step.error = "a change set came while another one was being applied";
    return Refuse(talk, step, /*resync=*/true);
  }
  AssemblyStep step = talk.assembler.Add(revision_, *applied_, std::move(chunk));
  switch (step.kind) {
    case AssemblyStep::Kind::kMore:
    case AssemblyStep::Kind::kIgnored:
      return;
    case AssemblyStep::Kind::kComplete:
      return Offer(talk, std::move(step));
    case AssemblyStep::Kind::kResync:
      return Refuse(talk, step, /*resync=*/true);
    case AssemblyStep::Kind::kRefused:
      return Refuse(talk, step, /*resync=*/false);
  }
}

void Client::Refuse(Conversation& talk, const AssemblyStep& step, bool resync) {
  discovery::v1::Rejected& rejected = *talk.outgoing.emplace_back().mutable_rejected();
  rejected.set_nonce(step.nonce);
  rejected.set_revision(step.revision);
  rejected.set_resync(resync);
  rejected.mutable_violations()->Add(step.violations.begin(), step.violations.end());
  if (resync) {
    status_.control_plane_resyncs_total.Add();
    Log(Severity::kWarning, "revision ", step.revision, " could not be put together: ", step.error,
        "; asking for all of it");
  } else {
    Log(Severity::kWarning, "revision ", step.revision,
        " refused: ", step.violations.empty() ? "" : step.violations.front().reason());
  }
}

void Client::Offer(Conversation& talk, AssemblyStep step) {
  discovery::v1::Received& received = *talk.outgoing.emplace_back().mutable_received();
  received.set_nonce(step.nonce);
  received.set_revision(step.revision);
  Pump(talk);
  offered_ = Offered{
      .id = ++last_offer_,
      .stream = talk.id,
      .nonce = step.nonce,
      .revision = step.revision,
      .set = step.set,
      .accepted = step.accepted_unix_nanos >= talk.opened_unix ? step.accepted_unix_nanos : 0};
  const auto done = [events = events_, id = last_offer_](ApplyResult result) {
    Event event;
    event.kind = Event::Kind::kApplied;
    event.offer = id;
    event.result = std::move(result);
    events->Push(std::move(event));
  };
  // Nothing to nothing: there is nothing to serve, and nobody becomes ready by it.
  if (step.set->empty() && step.removals == 0) return done({});
  sink_.Offer(step.revision, *step.set, done);
}

// `talk` is null between streams.
void Client::OnApplied(Event& event, Conversation* talk) {
  if (!offered_ || event.offer != offered_->id) return;
  const Offered offered = *std::exchange(offered_, std::nullopt);
  if (event.result.empty()) {
    // Whoever deletes everything must not see it again after a restart. But nothing that
    // follows on nothing is not kept: it would make a new process ready.
    const bool keep = !offered.set->empty() || !applied_->empty();
    revision_ = offered.revision;
    applied_ = offered.set;
    backoff_.Reset();
    status_.config_from_cache.store(false);
    if (offered.accepted > 0) {
      status_.config_propagation.Observe(clock_.Unix() - offered.accepted);
    }
    if (cache_ != nullptr && keep) cache_->Store(revision_, applied_);
  }
  if (talk == nullptr || talk->id != offered.stream) return;
  ProxyMessage& answer = talk->outgoing.emplace_back();
  if (event.result.empty()) {
    answer.mutable_applied()->set_nonce(offered.nonce);
    answer.mutable_applied()->set_revision(offered.revision);
  } else {
    discovery::v1::Rejected& rejected = *answer.mutable_rejected();
    rejected.set_nonce(offered.nonce);
    rejected.set_revision(offered.revision);
    if (event.result.size() > kMaxViolations) event.result.resize(kMaxViolations);
    rejected.mutable_violations()->Add(event.result.begin(), event.result.end());
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<DiscoveryClient>> DiscoveryClient::Create(
    ClientOptions options, RevisionSink& sink, const base::Clock& clock,
    observe::ProxyStatus& status, LastGoodCache* cache) {
  if (absl::Status valid = CheckChannelOptions(options.channel); !valid.ok()) return valid;
  if (options.identity.node_id.empty()) {
    return absl::InvalidArgumentError(
        "the node id is empty: give a name that is unique in the fleet");
  }
  if (options.identity.process.empty()) {
    std::random_device random;
    options.identity.process = absl::StrCat(absl::Hex(random(), absl::kZeroPad8),
                                            absl::Hex(random(), absl::kZeroPad8));
  }
  return std::make_unique<Client>(std::move(options), sink, clock, status, cache);
}

}  // namespace portico::discovery_client
