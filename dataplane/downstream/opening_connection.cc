#include "dataplane/downstream/opening_connection.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "dataplane/base/check.h"
#include "dataplane/downstream/h1_server_connection.h"
#include "dataplane/downstream/h2_server_connection.h"
#include "dataplane/net/await.h"
#include "dataplane/net/proxy_protocol.h"

namespace portico::downstream {
namespace {

// What a client begins with that knows that we speak HTTP/2 (RFC 9113 section 3.4). No other
// request line has this method, so its first bytes are enough.
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n";
// A record with a handshake message (RFC 8446 section 5.1).
constexpr char kHandshakeRecord = 22;

constexpr std::string_view kPlainHttpReply =
    "HTTP/1.1 400 Bad Request\r\n"
    "content-type: application/json\r\n"
    "content-length: 97\r\n"
    "connection: close\r\n"
    "\r\n"
    "{\"error\": \"plain HTTP was sent to a port that speaks https only\", "
    "\"reason\": \"plain_http_on_tls\"}\n";

// Whether it can be the beginning of an HTTP/1 request, which is no TLS.
bool LooksLikeHttp(std::string_view bytes) {
  const std::string_view method = bytes.substr(0, 3);
  return std::all_of(method.begin(), method.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

}  // namespace

OpeningConnection::OpeningConnection(ServerContext& context,
                                     std::unique_ptr<net::ByteStream> stream,
                                     const net::SocketAddress& peer)
    : context_(context), stream_(std::move(stream)), deadline_(context.loop) {
  info_.peer = peer;
  info_.listener_id = context.listener_id;
  info_.listener_name = context.listener_name;
}

OpeningConnection::~OpeningConnection() { PORTICO_CHECK(!started_ || ended_); }

void OpeningConnection::Start() {
  started_ = true;
  event::Spawn(Run());
}

void OpeningConnection::Drain() {
  if (draining_) return;
  draining_ = true;
  if (resting_) Rest(context_.options.drain_grace, "idle timeout");
}

void OpeningConnection::ForceClose(const absl::Status& reason) { scope_.Request(reason); }

void OpeningConnection::Rest(int64_t nanos, const char* what) {
  resting_ = true;
  if (draining_) nanos = std::min(nanos, context_.options.drain_grace);
  deadline_.Set(scope_, context_.loop.now() + nanos, what);
}

event::Task<void> OpeningConnection::Run() {
  const bool open = co_await Open();
  resting_ = false;
  deadline_.Clear();
  ended_ = true;
  // Both destroy this object.
  if (open) {
    context_.owner.OnConnectionReplaced(*this, Next());
  } else {
    input_.Clear();
    context_.owner.OnConnectionEnded(*this);
  }
}

event::Task<bool> OpeningConnection::Open() {
  if (context_.options.proxy_protocol) {
    const bool open = co_await ReadProxyHeader();
    if (!open) co_return false;
  }
  if (context_.tls != nullptr) {
    const bool open = co_await MakeHandshake();
    co_return open;
  }
  const bool open = co_await ReadFirstBytes();
  co_return open;
}

event::Task<bool> OpeningConnection::ReceiveMore(size_t limit) {
  base::BufferPool& pool = context_.loop.downstream_buffers();
  base::Buffer begun = input_.TakeForMore(pool, limit);
  net::Receive receive(*stream_, scope_, pool);
  receive.AppendTo(std::move(begun));
  absl::StatusOr<base::Buffer> bytes = co_await receive;
  if (!bytes.ok() || !*bytes) {
    if (base::Buffer rest = receive.TakeUnused()) input_.Fill(std::move(rest));
    co_return false;
  }
  resting_ = false;
  input_.Fill(*std::move(bytes));
  co_return true;
}

event::Task<bool> OpeningConnection::ReadProxyHeader() {
  Rest(context_.options.header_timeout, "PROXY header timeout");
  net::ProxyParseResult result;
  bool more = true;
  while (more) {
    result = net::ParseProxyHeader(input_.unread());
    if (result.state != net::ProxyParseResult::kNeedMore) break;
    more = co_await ReceiveMore(net::kMaxProxyHeader);
  }
  if (result.state == net::ProxyParseResult::kError) {
    context_.observer.OnProtocolError("proxy_protocol");
  }
  // Otherwise, whoever this is expects nothing from us.
  if (result.state != net::ProxyParseResult::kDone) co_return false;
  deadline_.Clear();
  input_.Consume(result.header.consumed);
  if (result.header.source.has_value()) info_.peer = *result.header.source;
  co_return context_.owner.CountAddress(*this, info_.peer.ip);
}

event::Task<bool> OpeningConnection::MakeHandshake() {
  Rest(context_.options.tls_handshake_timeout, "TLS handshake timeout");
  if (input_.empty()) {
    // One that sends nothing has not failed.
    const bool more = co_await ReceiveMore(base::BufferPool::kSmall);
    if (!more) co_return false;
  }
  resting_ = false;
  if (input_.unread().front() != kHandshakeRecord && LooksLikeHttp(input_.unread())) {
    context_.observer.OnProtocolError("plain_http_on_tls");
    co_await RefusePlainHttp();
    co_return false;
  }
  event::Loop& loop = context_.loop;
  std::unique_ptr<tls::TlsStream> stream = tls::MakeTlsServerStream(
      loop, std::move(stream_), context_.tls, loop.downstream_buffers(), input_.unread());
  tls_ = stream.get();
  stream_ = std::move(stream);
  input_.Clear();
  const absl::Status status = co_await tls_->Handshake(scope_);
  if (!status.ok()) {
    context_.observer.OnProtocolError("tls_handshake_failed");
    context_.observer.OnHandshakeFailed(tls_->failure());
    co_return false;
  }
  context_.observer.OnHandshake(tls_->info());
  info_.tls = &tls_->info();
  info_.secure = true;
  co_return true;
}

event::Task<void> OpeningConnection::RefusePlainHttp() {
  net::Send send(*stream_, scope_);
  send.Add(kPlainHttpReply);
  const absl::Status sent = co_await send;
  if (!sent.ok()) co_return;
  stream_->ShutdownWrite();
  input_.Clear();
  deadline_.Set(scope_, context_.loop.now() + context_.options.linger_timeout, "linger timeout");
  // Bounded: what comes is a request's head, and hardly any body.
  for (int i = 0; i < 16; ++i) {
    net::Receive receive(*stream_, scope_, context_.loop.downstream_buffers());
    const absl::StatusOr<base::Buffer> bytes = co_await receive;
    if (!bytes.ok() || !*bytes) break;
  }
}

event::Task<bool> OpeningConnection::ReadFirstBytes() {
  if (input_.empty()) {
    Rest(context_.options.idle_timeout, "idle timeout");
    const bool more = co_await ReceiveMore(base::BufferPool::kSmall);
    if (!more) co_return false;
  }
  if (!context_.options.http2) co_return true;
  deadline_.Set(scope_, context_.loop.now() + context_.options.header_timeout, "preface timeout");
  while (true) {
    const std::string_view begun = input_.unread().substr(0, kPreface.size());
    if (!kPreface.starts_with(begun)) co_return true;
    preface_ = begun.size() == kPreface.size();
    if (preface_) co_return true;
    const bool more = co_await ReceiveMore(base::BufferPool::kSmall);
    if (!more) co_return false;
  }
}

std::unique_ptr<ServerConnection> OpeningConnection::Next() {
  base::Buffer first_bytes =
      input_.TakeForMore(context_.loop.downstream_buffers(), base::BufferPool::kSmall);
  const bool http2 = tls_ != nullptr ? tls_->info().application == "h2" : preface_;
  if (http2) {
    return std::make_unique<H2ServerConnection>(context_, std::move(stream_), info_,
                                                std::move(first_bytes));
  }
  return std::make_unique<H1ServerConnection>(context_, std::move(stream_), info_,
                                              std::move(first_bytes));
}

}  // namespace portico::downstream
