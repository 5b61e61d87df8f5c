#include "controlplane/discovery/server.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "controlplane/discovery/stream.h"
#include "controlplane/model/grpc_status.h"
#include "controlplane/model/log.h"

namespace portico::control {
namespace {

// Answers a stream with an error and nothing else.
class Refusal final
    : public grpc::ServerBidiReactor<discovery::v1::ProxyMessage, discovery::v1::ServerMessage> {
 public:
  explicit Refusal(const absl::Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { std::unique_ptr<Refusal> owned(this); }
};

}  // namespace

DiscoveryServer::DiscoveryServer(const SessionContext& context, const DiscoveryOptions& options)
    : context_(context), options_(options), pusher_([this] {
        for (const auto& stream : Streams()) stream->Poke();
        return absl::ZeroDuration();
      }) {}

grpc::ServerBidiReactor<discovery::v1::ProxyMessage, discovery::v1::ServerMessage>*
DiscoveryServer::Stream(grpc::CallbackServerContext* context) {
  std::shared_ptr<DiscoveryStream> stream;
  absl::Status refused;
  {
    std::lock_guard lock(mutex_);
    if (shut_down_) {
      refused = absl::UnavailableError("the control plane is shutting down");
    } else if (streams_.size() >= options_.max_proxies) {
      refused = absl::ResourceExhaustedError(absl::StrCat("the control plane serves at most ",
                                                          options_.max_proxies,
                                                          " proxies: raise --max-proxies"));
    } else {
      const uint64_t id = ++last_id_;
      stream = std::make_shared<DiscoveryStream>(*this, *context, id);
      streams_[id] = stream;
    }
  }
  if (stream == nullptr) {
    context_.metrics.refused_streams.Increment();
    LogWarning("discovery", "refused a stream from ", context->peer(), ": ", refused.message());
    return std::make_unique<Refusal>(refused).release();  // owned: deletes itself in OnDone.
  }
  stream->Start();
  return stream.get();
}

bool DiscoveryServer::Claim(const std::string& node_id, uint64_t id) {
  std::shared_ptr<DiscoveryStream> older;
  {
    std::lock_guard lock(mutex_);
    const auto [position, inserted] = by_node_.try_emplace(node_id, id);
    if (!inserted) {
      if (position->second > id) return false;
      const auto found = streams_.find(std::exchange(position->second, id));
      if (found != streams_.end()) older = found->second;
    }
  }
  if (older != nullptr) {
    context_.metrics.replaced_streams.Increment();
    older->End(absl::AbortedError(absl::StrCat(
        "node id ", node_id, " came again on another stream: node ids must be unique")));
  }
  return true;
}

void DiscoveryServer::Remove(uint64_t id, const std::string& node_id) {
  std::shared_ptr<DiscoveryStream> removed;  // Destroyed without the lock.
  std::lock_guard lock(mutex_);
  if (const auto node = by_node_.find(node_id); node != by_node_.end() && node->second == id) {
    by_node_.erase(node);
  }
  if (const auto found = streams_.find(id); found != streams_.end()) {
    removed = std::move(found->second);
    streams_.erase(found);
  }
}

std::vector<std::shared_ptr<DiscoveryStream>> DiscoveryServer::Streams() {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<DiscoveryStream>> streams;
  streams.reserve(streams_.size());
  for (const auto& [id, stream] : streams_) streams.push_back(stream);
  return streams;
}

void DiscoveryServer::Tick() {
  for (const auto& stream : Streams()) stream->Tick();
}

void DiscoveryServer::Shutdown() {
  {
    std::lock_guard lock(mutex_);
    shut_down_ = true;
  }
  for (const auto& stream : Streams()) {
    stream->End(absl::UnavailableError("the control plane is shutting down"));
  }
}

}  // namespace portico::control
