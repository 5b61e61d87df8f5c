#include "tests/integration/control_plane/fake_proxy.h"

#include <algorithm>
#include <chrono>

namespace portico::testing {
namespace {

// Long enough for a slow machine, short enough for a test to fail rather than hang.
constexpr std::chrono::seconds kPatience(20);

std::string Bytes(const api::Digest& digest) { return {digest.begin(), digest.end()}; }

}  // namespace

void FakeProxy::Connect(size_t per_hello) {
  context_ = std::make_unique<grpc::ClientContext>();
  context_->set_deadline(std::chrono::system_clock::now() + kPatience);
  stream_ = stub_->Stream(context_.get());
  discovery::v1::ProxyMessage message;
  message.mutable_hello()->set_node_id(node_id_);
  message.mutable_hello()->set_build("test");
  message.mutable_hello()->set_applied_revision(revision_);
  size_t left = contents_.size();
  for (const auto& [key, content] : contents_) {
    discovery::v1::ResourceVersion& version = *message.mutable_hello()->add_resources();
    version.set_kind(key.kind);
    version.set_name(key.name);
    version.set_hash(Bytes(api::Sha256(content)));
    --left;
    if (left > 0 && static_cast<size_t>(message.hello().resources_size()) == per_hello) {
      message.mutable_hello()->set_more(true);
      Write(message);
      message.mutable_hello()->clear_resources();
      message.mutable_hello()->clear_more();
    }
  }
  Write(message);
}

grpc::Status FakeProxy::Disconnect() {
  if (stream_ == nullptr) return grpc::Status::OK;
  context_->TryCancel();
  return WaitForEnd();
}

grpc::Status FakeProxy::WaitForEnd() {
  discovery::v1::ServerMessage message;
  while (stream_->Read(&message)) {
  }
  const grpc::Status status = stream_->Finish();
  stream_.reset();
  return status;
}

bool FakeProxy::ReadMessage(discovery::v1::ServerMessage& message) {
  if (!stream_->Read(&message)) return false;
  if (message.has_heartbeat()) ++heartbeats_;
  return true;
}

bool FakeProxy::ReadHeartbeat() {
  discovery::v1::ServerMessage message;
  return ReadMessage(message) && message.has_heartbeat();
}

std::optional<ReceivedSet> FakeProxy::Read() {
  ReceivedSet set;
  discovery::v1::ServerMessage message;
  while (ReadMessage(message)) {
    if (!message.has_chunk()) continue;
    const discovery::v1::Chunk& chunk = message.chunk();
    if (set.chunks > 0 && chunk.nonce() != set.nonce) return std::nullopt;
    set.nonce = chunk.nonce();
    set.base_revision = chunk.base_revision();
    set.revision = chunk.revision();
    ++set.chunks;
    set.largest_chunk_bytes = std::max(set.largest_chunk_bytes, message.ByteSizeLong());
    for (const auto& upsert : chunk.upserts()) {
      set.upserts[{upsert.kind(), upsert.name()}] = upsert.content();
    }
    for (const auto& removal : chunk.removals())
      set.removals[{removal.kind(), removal.name()}] = true;
    if (!chunk.last()) continue;
    set.checksum = chunk.checksum();
    return set;
  }
  return std::nullopt;
}

void FakeProxy::SendReceived(const ReceivedSet& set) {
  discovery::v1::ProxyMessage message;
  message.mutable_received()->set_nonce(set.nonce);
  message.mutable_received()->set_revision(set.revision);
  Write(message);
}

void FakeProxy::SendApplied(const ReceivedSet& set) {
  discovery::v1::ProxyMessage message;
  message.mutable_applied()->set_nonce(set.nonce);
  message.mutable_applied()->set_revision(set.revision);
  Write(message);
}

bool FakeProxy::Apply(const ReceivedSet& set) {
  if (set.base_revision != revision_) return false;
  std::map<api::ResourceKey, std::string> next = contents_;
  for (const auto& [key, content] : set.upserts) next[key] = content;
  for (const auto& [key, unused] : set.removals) {
    if (next.erase(key) != 1) return false;
  }
  std::string text;
  for (const auto& [key, content] : next) {
    text.append(key.kind).push_back('\0');
    text.append(key.name).push_back('\0');
    text.append(Bytes(api::Sha256(content)));
  }
  if (Bytes(api::Sha256(text)) != set.checksum) return false;
  SendReceived(set);
  contents_ = std::move(next);
  revision_ = set.revision;
  SendApplied(set);
  return true;
}

void FakeProxy::Reject(const ReceivedSet& set, const std::string& reason, bool resync) {
  discovery::v1::ProxyMessage message;
  message.mutable_rejected()->set_nonce(set.nonce);
  message.mutable_rejected()->set_revision(set.revision);
  message.mutable_rejected()->set_resync(resync);
  if (!reason.empty()) message.mutable_rejected()->add_violations()->set_reason(reason);
  Write(message);
}

void FakeProxy::SendHeartbeat() {
  discovery::v1::ProxyMessage message;
  message.mutable_heartbeat();
  Write(message);
}

uint64_t FakeProxy::Take() {
  const std::optional<ReceivedSet> set = Read();
  return set.has_value() && Apply(*set) ? set->revision : 0;
}

}  // namespace portico::testing
