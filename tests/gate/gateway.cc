#include "tests/gate/gateway.h"

#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "api/resource/resource.h"
#include "api/resource/text.h"
#include "dataplane/base/check.h"
#include "dataplane/downstream/listener_options.h"
#include "dataplane/filters/registry.h"
#include "tests/gate/counters.h"

namespace portico::gate {
namespace {

// So long does a turn of the loop take; a busy worker's are about this long.
constexpr int64_t kTurnNanos = base::kNanosPerMilli / 10;
constexpr size_t kLogRingBytes = 16 << 20;
constexpr uint32_t kListenerId = 0;
// Requests that an HTTP/2 client has open at one time.
constexpr size_t kStreams = 8;
constexpr int kMostTurnsToConnect = 100;

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "replay: %s\n", what.c_str());
  std::exit(1);
}

// The length of the message that `text` begins with; 0 if that is not known yet.
size_t MessageLength(const std::string& text) {
  const size_t end = text.find("\r\n\r\n");
  if (end == std::string::npos) return 0;
  size_t body = 0;
  for (const char* name : {"\r\ncontent-length: ", "\r\nContent-Length: "}) {
    const size_t at = text.find(name);
    if (at < end) body = std::strtoull(text.c_str() + at + 18, nullptr, 10);
  }
  return end + 4 + body;
}

api::ResourceSet Parse(const std::string& yaml) {
  auto resources = api::ParseResources(yaml, "scenario");
  if (!resources.ok()) Fail(std::string(resources.status().message()));
  api::ResourceSet set;
  for (v1::Resource& resource : *resources) {
    const api::StoredResourcePtr stored = api::MakeStored(std::move(resource));
    set[api::KeyOf(stored->resource)] = stored;
  }
  return set;
}

}  // namespace

bool MessageCounter::Add(const event::SendOperation& op, size_t bytes) {
  if (left_to_read_ > 0) return Read(op);
  received_ += bytes;
  if (received_ < length_) return false;
  if (received_ > length_) Fail("a message is longer than those before it");
  received_ = 0;
  return true;
}

bool MessageCounter::Read(const event::SendOperation& op) {
  for (int i = 0; i < op.slice_count; ++i) {
    text_.append(static_cast<const char*>(op.slices[i].iov_base), op.slices[i].iov_len);
  }
  const size_t length = MessageLength(text_);
  if (length == 0 || text_.size() < length) return false;
  if (text_.size() > length) Fail("bytes behind the end of a message: " + text_);
  if (length_ != 0 && length_ != length) {
    Fail("messages differ in length:\n" + last_ + "\n" + text_);
  }
  length_ = length;
  --left_to_read_;
  last_.swap(text_);
  text_.clear();
  return true;
}

Client::Client(Gateway& gateway, size_t first)
    : gateway_(gateway),
      next_(first),
      most_open_(gateway.scenario_.protocol == Scenario::Protocol::kHttp2OverTls ? kStreams : 1),
      secure_(gateway.scenario_.protocol == Scenario::Protocol::kHttp1
                  ? nullptr
                  : MakeSecureClient(most_open_ > 1)) {}

void Client::Connect() { fd_ = gateway_.engine_->Connect(*this); }

void Client::Go() {
  const std::vector<std::string>& requests = gateway_.scenario_.requests;
  while (open_ < most_open_ && gateway_.to_send_ > 0) {
    ++open_;
    --gateway_.to_send_;
    ++gateway_.open_;
    secure_ == nullptr ? gateway_.engine_->Feed(fd_, requests[next_])
                       : secure_->Send(requests[next_]);
    if (++next_ == requests.size()) next_ = 0;
  }
  if (secure_ != nullptr) Flush();
}

void Client::Flush() {
  secure_->Flush(waiting_);
  if (waiting_.empty() || !gateway_.engine_->AllReceived(fd_)) return;
  fed_.swap(waiting_);
  waiting_.clear();
  gateway_.engine_->Feed(fd_, fed_);
}

void Client::OnSent(const event::SendOperation& op, size_t bytes) {
  if (secure_ != nullptr) return OnSentSecurely(op);
  if (open_ == 0) Fail("a response that nobody asked for");
  if (!responses_.Add(op, bytes)) return;
  if (responses_.last().compare(0, 13, "HTTP/1.1 200 ") != 0) Fail(responses_.last());
  EndRequests(1);
  if (gateway_.last_response_.empty()) gateway_.last_response_ = responses_.last();
  Go();
}

__attribute__((noinline)) void Client::OnSentSecurely(const event::SendOperation& op) {
  const NotCounted not_counted;
  const size_t complete = secure_->Take(op);
  if (complete > open_) Fail("a response that nobody asked for");
  EndRequests(complete);
  if (complete > 0 && gateway_.last_response_.empty())
    gateway_.last_response_ = secure_->last_response();
  Go();
}

void Client::EndRequests(size_t count) {
  open_ -= count;
  gateway_.open_ -= count;
}

void Server::OnSent(const event::SendOperation& op, size_t bytes) {
  if (requests_.Add(op, bytes)) gateway_.engine_->Feed(fd_, gateway_.scenario_.response);
}

Gateway::Gateway(Scenario scenario, int connections)
    : scenario_(std::move(scenario)),
      access_log_(observe::AccessLogService::Create(kLogRingBytes)),
      log_writer_(access_log_->MakeWriter()),
      builder_(filters::MakePolicyBuilders(), ids_, clock_),
      engine_(nullptr),
      loop_(
          [this] {
            auto engine = std::make_unique<MemoryEngine>([this](int fd) -> Peer* {
              servers_.push_back(std::make_unique<Server>(*this, fd));
              return servers_.back().get();
            });
            engine_ = engine.get();
            return engine;
          }(),
          clock_),
      clusters_({loop_, metrics_, random_, limits_}),
      context_{.loop = loop_,
               .metrics = metrics_,
               .access_log = *log_writer_,
               .clusters = clusters_,
               .random = random_,
               .policy_states = builder_.MakeWorkerStates(),
               .retries = {},
               .active_requests = 0,
               // Far from reached: what looking costs is part of every request.
               .memory = {.share = uint64_t{1} << 32},
               .active = nullptr},
      proxy_(context_) {
  Install();
  for (int i = 0; i < connections; ++i) {
    // Not all ask for the same route at one time.
    const size_t first = static_cast<size_t>(i) * 7 % scenario_.requests.size();
    clients_.push_back(std::make_unique<Client>(*this, first));
    clients_.back()->Connect();
    Turn();
    for (int turns = 0; !clients_.back()->ready(); ++turns) {
      if (turns == kMostTurnsToConnect) Fail("a handshake does not end");
      Turn();
    }
  }
}

void Gateway::Install() {
  std::vector<v1::Violation> violations;
  auto built = builder_.Build(1, Parse(scenario_.configuration), violations);
  for (const v1::Violation& violation : violations) Fail(violation.ShortDebugString());
  if (!built.ok()) Fail(std::string(built.status().message()));
  auto active = std::make_shared<proxy::ActiveSnapshot>();
  active->snapshot = *std::move(built);
  const std::shared_ptr<const snapshot::ListenerEntry> entry = active->snapshot->listeners.at(0);
  proxy::ListenerRuntime listener{.entry = entry, .access_log = nullptr};
  for (const auto& log : active->snapshot->access_logs) {
    const absl::StatusOr<uint32_t> sink = access_log_->Sink(log->path);
    if (!sink.ok()) Fail(std::string(sink.status().message()));
    listener.access_log = log;
    listener.sink = *sink;
  }
  active->listeners = {listener};
  context_.active = std::move(active);

  downstream::AcceptorOptions options;
  options.listener_id = kListenerId;
  options.listener_name = entry->name;
  options.connection = downstream::OptionsOf(*entry);
  options.tls = entry->tls;
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  downstream::ConnectionObserver& observer = *this;
  acceptor_ =
      std::make_unique<downstream::Acceptor>(loop_, fd, std::move(options), proxy_, observer);
  acceptor_->Start();
}

Gateway::~Gateway() {
  closing_ = true;
  for (const auto& client : clients_) engine_->FeedEnd(client->fd());
  acceptor_->Drain();
  clusters_.Close();
  const auto ended = [this] { return acceptor_->ended() && clusters_.connections() == 0; };
  for (int i = 0; i < 100'000 && !ended(); ++i) Turn();
  PORTICO_CHECK(ended());
}

void Gateway::Turn() {
  clock_.Advance(kTurnNanos);
  loop_.RunOnce(0);
  if (scenario_.protocol != Scenario::Protocol::kHttp1) FlushClients();
}

// These two are the clients' own, and counted out, as Client::OnSentSecurely().
__attribute__((noinline)) void Gateway::StartClients() {
  const NotCounted not_counted;
  for (const auto& client : clients_) client->Go();
}

__attribute__((noinline)) void Gateway::FlushClients() {
  const NotCounted not_counted;
  for (const auto& client : clients_) client->Flush();
}

void Gateway::Run(uint64_t requests) {
  to_send_ = requests;
  StartClients();
  while (open_ > 0) Turn();
}

void Gateway::RunCounted(uint64_t requests) {
  // An HTTP/2 connection at rest has given its streams back, and takes them anew.
  const bool streams = scenario_.protocol == Scenario::Protocol::kHttp2OverTls;
  const uint64_t first = streams ? 2 * clients_.size() * kStreams : 0;
  PORTICO_CHECK(requests > first);
  to_send_ = requests;
  Count(first == 0);
  StartClients();
  while (open_ > 0) {
    Turn();
    if (to_send_ < requests - first) Count(true);
  }
  Count(false);
}

void Gateway::OnProtocolError(std::string_view reason) {
  // Clients over TLS leave without a word.
  if (!closing_) Fail("protocol error: " + std::string(reason));
}
void Gateway::OnConnectionRefused(std::string_view reason) {
  Fail("refused: " + std::string(reason));
}

}  // namespace portico::gate
