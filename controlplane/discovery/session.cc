#include "controlplane/discovery/session.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "controlplane/model/log.h"

namespace portico::control {
namespace {

using discovery::v1::ProxyMessage;
using discovery::v1::ServerMessage;

const ServerMessage& HeartbeatMessage() {
  static const ServerMessage message = [] {
    ServerMessage heartbeat;
    heartbeat.mutable_heartbeat();
    return heartbeat;
  }();
  return message;
}

bool IsNodeId(const std::string& text, size_t max_bytes) {
  return !text.empty() && text.size() <= max_bytes &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

}  // namespace

Session::Session(const SessionContext& context, uint64_t id, std::string address,
                 const HelloLimits& limits)
    : context_(context),
      id_(id),
      limits_(limits),
      last_sent_(context.clock.Steady()),
      last_heard_(last_sent_) {
  identity_.address = std::move(address);
}

absl::Status Session::OnMessage(const ProxyMessage& message) {
  last_heard_ = context_.clock.Steady();
  if (message.message_case() != ProxyMessage::kHello && !greeted_) {
    return absl::InvalidArgumentError("the first message must be hello");
  }
  switch (message.message_case()) {
    case ProxyMessage::kHello:
      return OnHello(message.hello());
    case ProxyMessage::kReceived:
      return OnReceived(message.received());
    case ProxyMessage::kApplied:
      return OnApplied(message.applied());
    case ProxyMessage::kRejected:
      return OnRejected(message.rejected());
    case ProxyMessage::kHeartbeat:
      context_.fleet.Heard(id_, identity_.node_id);
      return absl::OkStatus();
    case ProxyMessage::MESSAGE_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("a message of a kind this control plane does not know");
}

absl::Status Session::CheckHello(const discovery::v1::Hello& hello) {
  if (greeted_) return absl::InvalidArgumentError("hello: only once on a stream");
  hello_bytes_ += hello.ByteSizeLong();
  const size_t resources = hello_list_.size() + static_cast<size_t>(hello.resources_size());
  if (hello_bytes_ > limits_.max_bytes || resources > limits_.max_resources) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "hello: at most ", limits_.max_resources, " resources and ", limits_.max_bytes, " bytes"));
  }
  if (hello_started_) return absl::OkStatus();
  if (!IsNodeId(hello.node_id(), limits_.max_node_id_bytes)) {
    return absl::InvalidArgumentError(absl::StrCat("hello: node_id must be 1 to ",
                                                   limits_.max_node_id_bytes,
                                                   " printable ASCII characters without spaces"));
  }
  if (hello.labels().size() > limits_.max_labels) {
    return absl::InvalidArgumentError(
        absl::StrCat("hello: at most ", limits_.max_labels, " labels"));
  }
  if (hello.process().size() > limits_.max_process_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("hello: process of at most ", limits_.max_process_bytes, " bytes"));
  }
  bool too_long = hello.build().size() > limits_.max_text_bytes;
  for (const auto& [key, value] : hello.labels()) {
    too_long =
        too_long || key.size() > limits_.max_text_bytes || value.size() > limits_.max_text_bytes;
  }
  if (too_long) {
    return absl::InvalidArgumentError(
        absl::StrCat("hello: build and labels of at most ", limits_.max_text_bytes, " bytes each"));
  }
  return absl::OkStatus();
}

absl::Status Session::OnHello(const discovery::v1::Hello& hello) {
  if (absl::Status status = CheckHello(hello); !status.ok()) return status;
  if (!hello_started_) {
    hello_started_ = true;
    identity_.node_id = hello.node_id();
    identity_.labels.insert(hello.labels().begin(), hello.labels().end());
    identity_.build = hello.build();
    identity_.process = hello.process();
    hello_revision_ = hello.applied_revision();
  }
  for (const discovery::v1::ResourceVersion& version : hello.resources()) {
    HashEntry entry{{version.kind(), version.name()}, {}};
    if (version.hash().size() != entry.hash.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("hello: the hash of ", api::ToString(entry.key), " must be 32 bytes"));
    }
    std::copy(version.hash().begin(), version.hash().end(), entry.hash.begin());
    hello_list_.push_back(std::move(entry));
  }
  return hello.more() ? absl::OkStatus() : Greet();
}

absl::Status Session::Greet() {
  absl::StatusOr<Base> base =
      context_.compiler.Recognize(hello_revision_, std::exchange(hello_list_, {}));
  if (!base.ok()) return base.status();
  base_ = *std::move(base);
  greeted_ = true;
  greeted_at_ = context_.clock.Now();
  rejected_ = context_.fleet.Connected(id_, identity_, base_.revision);
  LogInfo("discovery", "proxy ", identity_.node_id, " at ", identity_.address, " has revision ",
          base_.revision);
  const uint64_t head = context_.catalog.Head()->info.revision;
  if (base_.revision > head) {
    const bool raised = context_.catalog.RaiseFloor(base_.revision);
    LogError(
        "discovery", "proxy ", identity_.node_id, " has revision ", base_.revision,
        ", newer than the store's ", head,
        ": the store was restored from an older copy; the proxy keeps what it has until the next "
        "change",
        raised ? "" : ", and the number is too far ahead to be followed: empty that proxy's cache");
  }
  return absl::OkStatus();
}

absl::Status Session::CheckAnswer(uint64_t nonce, uint64_t revision, const char* what) const {
  const bool sent = in_flight_ != nullptr && next_chunk_ == in_flight_->chunks.size();
  if (sent && in_flight_->nonce == nonce && in_flight_->revision == revision) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(what, ": nonce ", nonce, " and revision ",
                                                 revision,
                                                 " are not those of the change set in flight"));
}

absl::Status Session::OnReceived(const discovery::v1::Received& received) {
  absl::Status status = CheckAnswer(received.nonce(), received.revision(), "received");
  if (status.ok()) context_.fleet.Received(id_, identity_.node_id, received.revision());
  return status;
}

absl::Status Session::OnApplied(const discovery::v1::Applied& applied) {
  if (absl::Status status = CheckAnswer(applied.nonce(), applied.revision(), "applied");
      !status.ok()) {
    return status;
  }
  const absl::Duration took = context_.clock.Now() - in_flight_->accepted_at;
  // A proxy that connects later applies an old revision: that says nothing about how fast pushes
  // are.
  if (in_flight_->accepted_at >= greeted_at_) {
    context_.metrics.push_seconds.Observe(std::max(0.0, absl::ToDoubleSeconds(took)));
  }
  base_ = Base{.revision = applied.revision(), .content_of = applied.revision(), .hashes = nullptr};
  in_flight_ = nullptr;
  whole_.reset();
  rejected_ = 0;
  context_.fleet.Applied(id_, identity_.node_id, applied.revision());
  return absl::OkStatus();
}

absl::Status Session::OnRejected(const discovery::v1::Rejected& rejected) {
  // A set that cannot be assembled may be refused before its end.
  const bool early = rejected.resync() && in_flight_ != nullptr &&
                     in_flight_->nonce == rejected.nonce() &&
                     in_flight_->revision == rejected.revision();
  if (!early) {
    if (absl::Status status = CheckAnswer(rejected.nonce(), rejected.revision(), "rejected");
        !status.ok()) {
      return status;
    }
  }
  const uint64_t revision = in_flight_->revision;
  in_flight_ = nullptr;
  if (rejected.resync()) {
    context_.metrics.resyncs.Increment();
    LogWarning("discovery", "proxy ", identity_.node_id, " could not assemble revision ", revision);
    if (whole_ == revision) {
      return absl::AbortedError(
          "a whole change set could not be assembled either: reconnect and say what you have");
    }
    whole_ = revision;
    return absl::OkStatus();
  }
  context_.metrics.rejections.Increment();
  LogWarning("discovery", "proxy ", identity_.node_id, " rejected revision ", revision, ": ",
             rejected.violations_size(), " violations",
             rejected.violations_size() == 0 ? "" : ", first: ",
             rejected.violations_size() == 0 ? "" : rejected.violations(0).reason());
  rejected_ = revision;
  whole_.reset();
  context_.fleet.Rejected(id_, identity_.node_id, revision,
                          {rejected.violations().begin(), rejected.violations().end()});
  return absl::OkStatus();
}

absl::Status Session::StartChangeSet() {
  const RevisionPtr head = context_.catalog.Head();
  const uint64_t revision = head->info.revision;
  if (revision < base_.revision || revision == rejected_) return absl::OkStatus();
  // Equal numbers with unequal content happen after the store was restored from an older copy.
  if (revision == base_.revision && base_.content_of == revision) return absl::OkStatus();
  absl::StatusOr<ChangeSetPtr> set = context_.compiler.Compile(base_, head, whole_.has_value());
  if (!set.ok()) return set.status();
  // Remembered for the revision that goes out now, which may be later than the one that failed.
  if (whole_.has_value()) whole_ = revision;
  in_flight_ = *std::move(set);
  next_chunk_ = 0;
  return absl::OkStatus();
}

absl::StatusOr<const ServerMessage*> Session::Next() {
  if (!greeted_) return nullptr;
  if (in_flight_ == nullptr) {
    if (absl::Status status = StartChangeSet(); !status.ok()) return status;
  }
  const absl::Time now = context_.clock.Steady();
  const ServerMessage* next = nullptr;
  if (in_flight_ != nullptr && next_chunk_ < in_flight_->chunks.size()) {
    next = &in_flight_->chunks[next_chunk_++];
    writing_ = in_flight_;
    if (next_chunk_ == in_flight_->chunks.size()) context_.metrics.pushes.Increment();
  } else if (now - last_sent_ >= kHeartbeatInterval) {
    next = &HeartbeatMessage();
  } else {
    return nullptr;
  }
  last_sent_ = now;
  context_.metrics.discovery_sent_bytes.Increment(static_cast<double>(next->ByteSizeLong()));
  return next;
}

void Session::OnWritten() {
  writing_ = nullptr;
  last_sent_ = context_.clock.Steady();
}

absl::Status Session::OnTick() const {
  if (context_.clock.Steady() - last_heard_ <= kSilenceLimit) return absl::OkStatus();
  return absl::DeadlineExceededError(
      absl::StrCat("nothing heard for ", absl::FormatDuration(kSilenceLimit),
                   ": send a heartbeat every ", absl::FormatDuration(kHeartbeatInterval)));
}

void Session::OnEnd() {
  if (!greeted_) return;
  context_.fleet.Disconnected(id_, identity_.node_id);
  LogInfo("discovery", "proxy ", identity_.node_id, " at ", identity_.address, " is gone");
}

}  // namespace portico::control
