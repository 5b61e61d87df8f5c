// An HTTP/2 upstream. Whatever bytes come, and however they are split: every exchange ends, with a
// response or an error, the connection ends, nothing is left, and what waits meanwhile is bounded.
#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/base/arena.h"
#include "dataplane/base/check.h"
#include "dataplane/base/fake_clock.h"
#include "dataplane/event/engine_factory.h"
#include "dataplane/event/frame_pool.h"
#include "dataplane/event/loop.h"
#include "dataplane/event/operation.h"
#include "dataplane/event/task.h"
#include "dataplane/net/byte_stream.h"
#include "dataplane/upstream/h2_client_connection.h"

namespace portico::upstream {
namespace {

using event::OperationAccess;

// What the upstream sends comes in steps, then the end; what it is sent is read and taken, or,
// from some point on, not.
class Wire final : public net::ByteStream {
 public:
  Wire(event::Loop& loop, std::string_view input, size_t step, int takes)
      : loop_(loop), input_(input), step_(step), takes_(takes) {}

  void StartReceive(event::ReceiveOperation& op) override {
    OperationAccess::Begin(op, event::Operation::Kind::kReceive);
    if (input_.empty()) return loop_.CompleteLater(op, 0);
    base::Buffer buffer = op.pool->Allocate(op.size_hint);
    const size_t size = std::min({step_, input_.size(), buffer.capacity()});
    std::memcpy(buffer.data(), input_.data(), size);
    buffer.set_size(size);
    input_.remove_prefix(size);
    op.buffer = std::move(buffer);
    loop_.CompleteLater(op, static_cast<int32_t>(size));
  }
  void StartSend(event::SendOperation& op) override {
    OperationAccess::Begin(op, event::Operation::Kind::kSend);
    if (takes_-- <= 0) {
      send_ = &op;
      return;
    }
    size_t size = 0;
    for (int i = 0; i < op.slice_count; ++i) {
      // Reads all of it, for the sanitizers.
      const auto* bytes = static_cast<const char*>(op.slices[i].iov_base);
      for (size_t k = 0; k < op.slices[i].iov_len; ++k) sum_ += static_cast<uint8_t>(bytes[k]);
      size += op.slices[i].iov_len;
    }
    loop_.CompleteLater(op, static_cast<int32_t>(size));
  }
  void StartHangUpWatch(event::HangUpOperation&) override { PORTICO_CHECK(false); }
  void Cancel(event::Operation& op) override {
    if (&op != send_) return;
    send_ = nullptr;
    loop_.CompleteLater(op, -ECANCELED);
  }
  void ShutdownWrite() override {}
  void Abort() override {}
  net::SocketAddress peer() const override { return {}; }
  net::SocketAddress local() const override { return {}; }

 private:
  event::Loop& loop_;
  std::string_view input_;
  const size_t step_;
  int takes_;
  event::SendOperation* send_ = nullptr;
  uint64_t sum_ = 0;
};

struct Owner final : ClientConnectionOwner {
  void OnConnectionUnusable(ClientConnection&) override { PORTICO_CHECK(++unusable == 1); }
  void OnConnectionEnded(ClientConnection&) override { connection.reset(); }
  std::unique_ptr<ClientConnection> connection;
  int unusable = 0;
};

struct Exchange {
  event::CancelScope scope;
  base::Arena arena;
  http::RequestHead head{arena};
  http::ClientStream* stream = nullptr;
  bool done = false;
};

event::Task<absl::Status> Download(Exchange& x) {
  const absl::StatusOr<http::ResponseHead*> head = co_await x.stream->ReadHead();
  if (!head.ok()) co_return head.status();
  PORTICO_CHECK((*head)->status == 101 || ((*head)->status >= 200 && (*head)->status <= 999));
  for (const http::HeaderField& field : (*head)->headers) {
    for (const char c : field.value) PORTICO_CHECK(c != '\r' && c != '\n' && c != '\0');
    for (const char c : field.name) PORTICO_CHECK(c > ' ' && c != ':' && !(c >= 'A' && c <= 'Z'));
  }
  uint64_t size = 0;
  while (true) {
    const absl::StatusOr<http::BodyChunk> piece = co_await x.stream->ReadBody();
    if (!piece.ok()) co_return piece.status();
    size += piece->bytes.size();
    if (!piece->end) continue;
    const bool counted = (*head)->body == http::BodyKind::kLength;
    PORTICO_CHECK(!counted || size == (*head)->content_length);
    co_return absl::OkStatus();
  }
}

event::Task<absl::Status> Upload(Exchange& x, std::string_view body) {
  for (int i = 0; i < 3; ++i) {
    http::BodyChunk chunk;
    chunk.bytes = body;
    chunk.end = i == 2;
    const absl::Status sent = co_await x.stream->SendBody(std::move(chunk));
    if (!sent.ok()) co_return sent;
  }
  co_return absl::OkStatus();
}

event::Task<void> Run(Exchange& x, std::string_view body) {
  http::BodyChunk first;
  first.end = x.head.body == http::BodyKind::kNone;
  const absl::Status sent = co_await x.stream->SendHead(x.head, std::move(first));
  if (sent.ok() && x.head.body != http::BodyKind::kNone) {
    co_await event::Both(Upload(x, body), Download(x));
  } else {
    co_await Download(x);
  }
  if (x.stream->refused()) PORTICO_CHECK(x.stream->unprocessed());
  x.done = true;
}

void Begin(Exchange& x, ClientConnection& connection, int kind, std::string_view body) {
  x.head.method = http::Method::kGet;
  x.head.method_text = "GET";
  x.head.path = "/";
  x.head.authority = "a";
  if (kind == 1) x.head.body = http::BodyKind::kChunked;
  if (kind == 2) {
    x.head.method = http::Method::kHead;
    x.head.method_text = "HEAD";
  }
  if (kind == 3) x.head.upgrade = "websocket";
  x.stream = connection.OpenStream(x.scope, x.arena);
  if (x.stream != nullptr) event::Spawn(Run(x, body));
}

void Fuzz(uint8_t options, uint8_t step, std::string_view input) {
  base::FakeClock clock;
  event::Loop loop(*event::CreateEpollEngine(), clock);
  Owner owner;
  const std::string body(20'000, 'b');
  owner.connection = MakeH2ClientConnection(
      loop,
      std::make_unique<Wire>(loop, input, step == 0 ? 100'000 : step, (options & 16) ? 3 : 1 << 30),
      H2ClientOptions(), owner);
  std::vector<std::unique_ptr<Exchange>> exchanges;
  for (int i = 0; i <= (options & 3); ++i) {
    exchanges.push_back(std::make_unique<Exchange>());
    Begin(*exchanges.back(), *owner.connection, ((options >> 2) + i) & 3, body);
  }
  const int turns = static_cast<int>(input.size() / (step == 0 ? 100'000 : step)) + 20;
  for (int i = 0; i < turns; ++i) {
    loop.RunOnce(0);
    PORTICO_CHECK(loop.upstream_buffers().live_bytes() < (4u << 20));
  }
  for (auto& x : exchanges) {
    if (x->stream != nullptr && !x->done) x->scope.Request(absl::CancelledError("enough"));
  }
  for (int i = 0; i < 10; ++i) loop.RunOnce(0);
  for (auto& x : exchanges) {
    PORTICO_CHECK(x->stream == nullptr || x->done);
    if (x->stream != nullptr) owner.connection->EndStream(x->stream);
  }
  if (owner.connection != nullptr) owner.connection->Close();
  for (int i = 0; i < 50 && owner.connection != nullptr; ++i) {
    clock.Advance(base::kNanosPerSecond);
    loop.RunOnce(0);
  }
  PORTICO_CHECK(owner.connection == nullptr);
  exchanges.clear();
  PORTICO_CHECK(event::LiveFrames() == 0);
  PORTICO_CHECK(loop.upstream_buffers().live() == 0);
  PORTICO_CHECK(loop.timers().armed() == 0);
}

}  // namespace
}  // namespace portico::upstream

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2 || size > 64 * 1024) return 0;
  portico::upstream::Fuzz(data[0], data[1],
                          std::string_view(reinterpret_cast<const char*>(data) + 2, size - 2));
  return 0;
}
