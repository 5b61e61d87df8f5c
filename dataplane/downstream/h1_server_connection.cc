#include "dataplane/downstream/h1_server_connection.h"

#include <algorithm>
#include <utility>

#include "dataplane/base/check.h"
#include "dataplane/downstream/h1_server_stream.h"
#include "dataplane/http/trailers.h"

namespace portico::downstream {
namespace {

// What a lingering connection reads and drops at most.
constexpr size_t kMaxLingerBytes = 1 << 20;

}  // namespace

H1ServerConnection::HangUp::HangUp(H1ServerConnection& connection) : connection_(connection) {
  timer_.context = this;
  timer_.on_fire = &Fire;
  Link(*this);
}

H1ServerConnection::HangUp::~HangUp() { Unlink(*this); }

void H1ServerConnection::HangUp::RequestCancel() {
  seen_ = true;
  when_ = connection_.context_.loop.now() + connection_.context_.options.half_close_grace;
  if (connection_.exchange_ != nullptr) ExchangeBegins();
}

void H1ServerConnection::HangUp::ExchangeBegins() {
  if (seen_) connection_.context_.loop.timers().Arm(timer_, when_);
}

void H1ServerConnection::HangUp::ExchangeEnds() { connection_.context_.loop.timers().Disarm(timer_); }

void H1ServerConnection::HangUp::Fire(event::Timer& timer) {
  H1ServerConnection& connection = static_cast<HangUp*>(timer.context)->connection_;
  const absl::Status reason = absl::CancelledError("the client closed the connection");
  connection.write_scope_.Request(reason);
  if (connection.exchange_ != nullptr) connection.exchange_->scope_.Request(reason);
}

H1ServerConnection::H1ServerConnection(ServerContext& context,
                                       std::unique_ptr<net::ByteStream> stream,
                                       const http::ConnectionInfo& info, base::Buffer first_bytes)
    : context_(context),
      stream_(std::move(stream)),
      info_(info),
      watch_(*stream_),
      hang_up_(*this),
      deadline_(context.loop) {
  if (first_bytes) input_.Fill(std::move(first_bytes));
}

H1ServerConnection::~H1ServerConnection() { PORTICO_CHECK(!started_ || ended_); }

void H1ServerConnection::Start() {
  started_ = true;
  event::Spawn(Run());
}

void H1ServerConnection::Drain() {
  if (draining_) return;
  draining_ = true;
  if (resting_) Rest(context_.options.drain_grace, "idle timeout");
}

void H1ServerConnection::Rest(int64_t nanos, const char* what) {
  resting_ = true;
  deadline_.Set(read_scope_, context_.loop.now() + nanos, what);
}

void H1ServerConnection::ForceClose(const absl::Status& reason) {
  // A tunnel's sides see it end in order: what was sent to them is not lost.
  abort_ = exchange_ != nullptr && !exchange_->tunnel_;
  read_scope_.Request(reason);
  write_scope_.Request(reason);
  if (exchange_ != nullptr) exchange_->scope_.Request(reason);
}

event::Task<void> H1ServerConnection::Run() {
  bool open = true;
  while (open) {
    if (input_.empty()) {
      Rest(draining_ ? context_.options.drain_grace : context_.options.idle_timeout,
           "idle timeout");
      net::Receive receive(*stream_, read_scope_, context_.loop.downstream_buffers());
      absl::StatusOr<base::Buffer> bytes = co_await receive;
      resting_ = false;
      deadline_.Clear();
      if (!bytes.ok() || !*bytes) break;
      input_.Fill(std::move(*bytes));
    }
    std::unique_ptr<base::Arena> arena = context_.arenas.Take();
    open = co_await ServeExchange(*arena);
    context_.arenas.Return(std::move(arena));
  }
  if (abort_) {
    stream_->Abort();
  } else if (linger_ || !input_.empty()) {
    co_await Linger();
  }
  input_.Clear();
  co_await watch_.Stop();
  ended_ = true;
  // Destroys this object.
  context_.owner.OnConnectionEnded(*this);
}

bool H1ServerConnection::ParseHead(H1ServerStream& stream, http::H1ParseResult& result) {
  result = stream.parser_.ParseHead(input_.unread(), context_.options.head, stream.request_);
  if (result.state != http::H1ParseResult::State::kDone) return false;
  // Shared first: consuming the last byte lets the buffer go.
  base::Buffer head_bytes = input_.Share();
  input_.Consume(result.consumed);
  http::RequestHead& request = stream.request_;
  if (request.headers.Find(http::HeaderId::kTe) != nullptr) [[unlikely]] {
    request.takes_trailers =
        request.version == http::Version::kHttp11 && http::TakesTrailers(request.headers);
  }
  http::RemoveHopByHopFields(request.headers);
  stream.Begin(std::move(head_bytes), stream.parser_.keep_alive());
  return true;
}

event::Task<bool> H1ServerConnection::ReadHead(H1ServerStream& stream, http::H1ParseResult result) {
  event::Deadline deadline(context_.loop, read_scope_,
                           context_.loop.now() + context_.options.header_timeout,
                           "request header timeout");
  while (result.state == http::H1ParseResult::State::kNeedMore) {
    base::Buffer begun = input_.TakeForMore(context_.loop.downstream_buffers(),
                                            context_.options.head.max_header_bytes);
    net::Receive receive(*stream_, read_scope_, context_.loop.downstream_buffers());
    receive.AppendTo(std::move(begun));
    absl::StatusOr<base::Buffer> bytes = co_await receive;
    if (bytes.ok() && *bytes) {
      input_.Fill(std::move(*bytes));
      if (ParseHead(stream, result)) co_return true;
      continue;
    }
    if (!absl::IsDeadlineExceeded(bytes.status())) co_return false;
    result.state = http::H1ParseResult::State::kError;
    result.status = 408;
    result.reason = "header_timeout";
  }
  context_.observer.OnProtocolError(result.reason);
  stream.Begin(input_.Share(), /*keep_alive=*/false);
  stream.decoder_ = http::BodyDecoder();
  stream.continue_wanted_ = false;
  co_await context_.handler.ServeError(stream, info_, result.status, result.reason);
  linger_ = true;
  co_return false;
}

event::Task<bool> H1ServerConnection::ServeExchange(base::Arena& arena) {
  H1ServerStream stream(*this, arena);
  exchange_ = &stream;
  http::H1ParseResult result;
  bool open = ParseHead(stream, result);
  if (!open) open = co_await ReadHead(stream, result);
  if (open) {
    ++requests_;
    watch_.Watch(hang_up_);
    hang_up_.ExchangeBegins();
    co_await context_.handler.Serve(stream, info_);
    hang_up_.ExchangeEnds();
    if (stream.tunnel_ && !stream.aborted_) {
      open = false;
    } else if (stream.response_ != H1ServerStream::Response::kComplete || stream.aborted_) {
      abort_ = true;
      open = false;
    } else if (stream.body_done()) {
      open = stream.keep_alive_;
    } else {
      open = co_await EndExchange(stream);
    }
  }
  exchange_ = nullptr;
  co_return open;
}

void H1ServerConnection::BeginTunnel() {
  watch_.Unwatch();
  hang_up_.ExchangeEnds();
}

event::Task<bool> H1ServerConnection::EndExchange(H1ServerStream& stream) {
  // The client may be sending: it must be able to read its answer.
  linger_ = true;
  bool open = stream.keep_alive_;
  if (open) open = co_await DropBody(stream);
  linger_ = !open;
  co_return open;
}

event::Task<bool> H1ServerConnection::DropBody(H1ServerStream& stream) {
  if (stream.body_failed_ || read_scope_.requested()) co_return false;
  event::Deadline deadline(context_.loop, read_scope_, context_.loop.now() + context_.options.linger_timeout,
                           "request body timeout");
  uint64_t dropped = 0;
  while (true) {
    const http::H1Input::Piece piece = input_.NextPiece(stream.decoder_, context_.loop.downstream_buffers());
    if (!piece.error.empty()) {
      context_.observer.OnProtocolError(piece.error);
      co_return false;
    }
    dropped += piece.chunk.bytes.size();
    if (dropped > context_.options.max_drain_bytes) co_return false;
    if (piece.chunk.end) co_return true;
    if (!piece.need_more) continue;
    net::Receive receive(*stream_, read_scope_, context_.loop.downstream_buffers());
    absl::StatusOr<base::Buffer> bytes = co_await receive;
    if (!bytes.ok() || !*bytes) co_return false;
    input_.Fill(std::move(*bytes));
  }
}

event::Task<void> H1ServerConnection::Linger() {
  // Closing with bytes unread makes the kernel send a reset, which can overtake the
  // response on its way into the client.
  input_.Clear();
  stream_->ShutdownWrite();
  event::Deadline deadline(context_.loop, write_scope_, context_.loop.now() + context_.options.linger_timeout,
                           "linger timeout");
  size_t dropped = 0;
  while (dropped < kMaxLingerBytes) {
    net::Receive receive(*stream_, write_scope_, context_.loop.downstream_buffers());
    const absl::StatusOr<base::Buffer> bytes = co_await receive;
    if (!bytes.ok() || !*bytes) break;
    dropped += bytes->size();
  }
}

}  // namespace portico::downstream
