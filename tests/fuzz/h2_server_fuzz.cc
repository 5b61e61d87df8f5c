// A client of HTTP/2. Whatever bytes come, and however they are split: the connection ends, every
// exchange that began has ended, nothing is left, and no more is kept meanwhile than the limits
// say.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "dataplane/base/check.h"
#include "dataplane/base/fake_clock.h"
#include "dataplane/downstream/h2_server_connection.h"
#include "dataplane/event/engine_factory.h"
#include "dataplane/event/frame_pool.h"
#include "dataplane/event/loop.h"
#include "dataplane/event/operation.h"
#include "dataplane/net/byte_stream.h"

namespace portico::downstream {
namespace {

using event::OperationAccess;
using http::BodyChunk;

// What the client sends comes in steps; what it is sent is counted, and taken or not.
class Wire final : public net::ByteStream {
 public:
  Wire(event::Loop& loop, std::string_view input, size_t step, bool takes)
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
    if (!takes_ && sent_ > 0) {
      send_ = &op;
      return;
    }
    size_t size = 0;
    for (int i = 0; i < op.slice_count; ++i) {
      // Reads all of it, for the sanitizers.
      const auto* bytes = static_cast<const char*>(op.slices[i].iov_base);
      for (size_t k = 0; k < op.slices[i].iov_len; ++k)
        sum_ += static_cast<unsigned char>(bytes[k]);
      size += op.slices[i].iov_len;
    }
    sent_ += size;
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
  const bool takes_;
  event::SendOperation* send_ = nullptr;
  size_t sent_ = 0;
  uint64_t sum_ = 0;
};

// Sends back what it gets; the query says how it may go wrong.
class Handler final : public http::ExchangeHandler {
 public:
  event::Task<void> Serve(http::ServerStream& stream, const http::ConnectionInfo&) override {
    ++open;
    const http::RequestHead& request = stream.request();
    PORTICO_CHECK(!request.path.empty() && !request.method_text.empty());
    http::ResponseHead head(stream.arena());
    head.status = request.upgrade.empty() ? 200 : 101;
    head.body = http::BodyKind::kChunked;
    for (const http::HeaderField& field : request.headers) {
      if (field.id == http::HeaderId::kOther && !field.name.empty()) head.headers.Add(field);
    }
    if (request.query == "abort") stream.Abort();
    bool end = request.query == "none";
    absl::Status sent = co_await stream.SendHead(head, BodyChunk());
    while (sent.ok() && !end) {
      absl::StatusOr<BodyChunk> chunk = co_await stream.ReadBody();
      if (!chunk.ok()) break;
      end = chunk->end;
      sent = co_await stream.SendBody(*std::move(chunk));
    }
    --open;
  }
  event::Task<void> ServeError(http::ServerStream& stream, const http::ConnectionInfo&, int status,
                               std::string_view) override {
    http::ResponseHead head(stream.arena());
    head.status = status;
    BodyChunk end;
    end.end = true;
    const absl::Status sent = co_await stream.SendHead(head, std::move(end));
    if (!sent.ok()) stream.Abort();
  }
  int open = 0;
};

class Observer final : public ConnectionObserver {
 public:
  void OnConnectionOpened() override {}
  void OnConnectionClosed() override {}
  void OnProtocolError(std::string_view reason) override { PORTICO_CHECK(!reason.empty()); }
  void OnConnectionRefused(std::string_view) override {}
};

class Owner final : public ConnectionOwner {
 public:
  void OnConnectionEnded(ServerConnection&) override { held.reset(); }
  std::unique_ptr<H2ServerConnection> held;
};

struct Run {
  base::FakeClock clock;
  event::Loop loop{*event::CreateEpollEngine(), clock};
  Handler handler;
  Observer observer;
  Owner owner;
};

void Serve(std::string_view input, size_t step, bool takes) {
  static auto* const run = new Run;  // owned: for ever, by this process.
  {
    ServerContext context{.loop = run->loop,
                          .handler = run->handler,
                          .observer = run->observer,
                          .owner = run->owner,
                          .options = {},
                          .listener_id = 0,
                          .listener_name = "fuzz",
                          .date = {},
                          .arenas = {}};
    context.options.http2_max_streams = 10;
    run->owner.held = std::make_unique<H2ServerConnection>(
        context, std::make_unique<Wire>(run->loop, input, step, takes), http::ConnectionInfo(),
        base::Buffer());
    run->owner.held->Start();
    for (int turn = 0; run->owner.held != nullptr; ++turn) {
      PORTICO_CHECK(turn < 200'000);
      run->loop.RunOnce(0);
      PORTICO_CHECK(run->handler.open <= 10);
      PORTICO_CHECK(run->loop.downstream_buffers().live_bytes() < 8'000'000);
      if (turn > 100) run->clock.Advance(base::kNanosPerSecond);
    }
  }
  PORTICO_CHECK(run->handler.open == 0);
  PORTICO_CHECK(event::LiveFrames() == 0);
  PORTICO_CHECK(run->loop.downstream_buffers().live() == 0);
}

}  // namespace
}  // namespace portico::downstream

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using portico::downstream::Serve;
  if (size < 2) return 0;
  // How it is split, whether the answers are taken, and whether preface and SETTINGS come first.
  const size_t step = data[0] == 0 ? size + 64 : data[0];
  const bool takes = (data[1] & 1) == 0;
  std::string input;
  if ((data[1] & 2) == 0) {
    input.append("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").append(std::string("\0\0\0\4\0\0\0\0\0", 9));
  }
  input.append(reinterpret_cast<const char*>(data) + 2, size - 2);
  Serve(input, step, takes);
  return 0;
}
