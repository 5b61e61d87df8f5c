#include "controlplane/discovery/stream.h"

#include "absl/strings/str_cat.h"
#include "controlplane/model/grpc_status.h"
#include "controlplane/model/log.h"

namespace portico::control {

DiscoveryStream::DiscoveryStream(DiscoveryServer& server, grpc::CallbackServerContext& context,
                                 uint64_t id)
    : server_(server),
      context_(context),
      id_(id),
      session_(server.context_, id, context.peer(), server.options_.hello) {}

void DiscoveryStream::Start() {
  std::lock_guard lock(mutex_);
  if (!finished_) StartRead(&incoming_);
}

void DiscoveryStream::Poke() {
  std::lock_guard lock(mutex_);
  PumpLocked();
}

void DiscoveryStream::Tick() {
  std::lock_guard lock(mutex_);
  if (finished_) return;
  if (ending_.has_value()) return context_.TryCancel();
  if (absl::Status status = session_.OnTick(); !status.ok()) {
    EndLocked(status);
  } else {
    PumpLocked();
  }
}

void DiscoveryStream::End(const absl::Status& status) {
  std::lock_guard lock(mutex_);
  EndLocked(status);
}

void DiscoveryStream::EndLocked(const absl::Status& status) {
  if (finished_ || ending_.has_value()) return;
  if (!status.ok()) {
    LogWarning("discovery", "ending the stream of ",
               session_.node_id().empty() ? context_.peer() : session_.node_id(), ": ",
               status.message());
  }
  if (writing_) {
    ending_ = status;
    return;
  }
  finished_ = true;
  Finish(ToGrpc(status));
}

void DiscoveryStream::PumpLocked() {
  if (finished_ || ending_.has_value() || writing_) return;
  const absl::StatusOr<const discovery::v1::ServerMessage*> next = session_.Next();
  if (!next.ok()) return EndLocked(next.status());
  if (*next == nullptr) return;
  writing_ = true;
  StartWrite(*next);
}

void DiscoveryStream::OnReadDone(bool ok) {
  // The proxy closed its side, or the stream is broken.
  if (!ok) return End(absl::OkStatus());
  bool new_node = false;
  {
    std::lock_guard lock(mutex_);
    if (finished_) return;
    const bool greeted = session_.greeted();
    if (absl::Status status = session_.OnMessage(incoming_); !status.ok()) {
      if (!greeted) server_.context_.metrics.refused_streams.Increment();
      return EndLocked(status);
    }
    new_node = !greeted && session_.greeted();
  }
  // Without the lock: this ends another stream. The node id no longer changes.
  if (new_node && !server_.Claim(session_.node_id(), id_)) {
    return End(absl::AbortedError(absl::StrCat("node id ", session_.node_id(),
                                               " has a newer stream: node ids must be unique")));
  }
  std::lock_guard lock(mutex_);
  PumpLocked();
  if (!finished_) StartRead(&incoming_);
}

void DiscoveryStream::OnWriteDone(bool ok) {
  std::lock_guard lock(mutex_);
  writing_ = false;
  session_.OnWritten();
  if (ending_.has_value()) {
    finished_ = true;
    Finish(ToGrpc(*ending_));
    return;
  }
  if (!ok) return EndLocked(absl::OkStatus());
  PumpLocked();
}

void DiscoveryStream::OnCancel() { End(absl::OkStatus()); }

void DiscoveryStream::OnDone() {
  session_.OnEnd();
  // Destroys this, unless somebody is just calling it.
  server_.Remove(id_, session_.node_id());
}

}  // namespace portico::control
