// The part of a cluster that opens connections, and that shares those that take several requests.
#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "dataplane/net/await.h"
#include "dataplane/tls/tls_stream.h"
#include "dataplane/upstream/cluster.h"
#include "dataplane/upstream/h1_client_connection.h"
#include "dataplane/upstream/h2_client_connection.h"

namespace portico::upstream {
namespace {

// Requests that wait for one connection to be opened, besides the one that opens it: what it
// will take, if its peer says nothing else.
constexpr uint32_t kSharers = H2ClientOptions().max_streams - 1;

absl::Status TlsFailure(const Host& host, absl::string_view what) {
  return absl::UnavailableError(absl::StrCat(host.address_text, ": ", what));
}

}  // namespace

event::Task<Cluster::Transport> Cluster::OpenTransport(event::CancelScope& scope, const Host& host,
                                                       const snapshot::UpstreamEntry& entry) {
  event::Loop& loop = context_.loop;
  Transport out;
  event::ChildScope connecting(scope);
  event::Deadline deadline(loop, connecting, loop.now() + entry.connect_timeout_nanos,
                           "connect timeout");
  net::Connect connect(loop, connecting, host.address);
  absl::StatusOr<std::unique_ptr<net::ByteStream>> connected = co_await connect;
  if (!connected.ok()) {
    out.error = AcquireError::kConnectFailed;
    out.detail = connected.status();
  } else if (entry.tls == nullptr) {
    out.stream = *std::move(connected);
    out.http2 = entry.protocol == v1::UPSTREAM_PROTOCOL_HTTP2;
  } else {
    std::unique_ptr<tls::TlsStream> stream =
        tls::MakeTlsClientStream(loop, *std::move(connected), entry.tls, loop.upstream_buffers());
    const absl::Status shaken = co_await stream->Handshake(connecting);
    if (!shaken.ok()) {
      out.error = AcquireError::kTlsFailed;
      out.detail = TlsFailure(host, shaken.message());
    } else {
      out.http2 = stream->info().application == "h2";
      if (entry.protocol == v1::UPSTREAM_PROTOCOL_HTTP2 && !out.http2) {
        out.error = AcquireError::kTlsFailed;
        out.detail = TlsFailure(host, "the endpoint does not choose h2 (ALPN)");
      } else {
        out.stream = std::move(stream);
      }
    }
    if (out.error == AcquireError::kTlsFailed && !scope.requested()) {
      context_.metrics.upstream_tls_handshake_failures_total.Add();
    }
  }
  if (out.error == AcquireError::kNone) co_return out;
  if (scope.requested()) {
    out.error = AcquireError::kCancelled;
  } else if (connecting.requested()) {
    out.error = AcquireError::kConnectTimeout;
  }
  co_return out;
}

PooledConnection& Cluster::AddConnection(Host& host, Transport transport, bool secure) {
  auto pooled = std::make_unique<PooledConnection>(*this, host);
  PooledConnection& connection = *pooled;
  observe::WorkerMetrics& metrics = context_.metrics;
  connection.multiplexed = transport.http2;
  if (transport.http2) {
    H2ClientOptions options;
    options.secure = secure;
    options.metrics = &metrics;
    options.memory_scarce = context_.memory_scarce;
    connection.connection =
        MakeH2ClientConnection(context_.loop, std::move(transport.stream), options, connection);
    metrics.upstream_http2_connections_total.Add();
  } else {
    connection.connection = MakeH1ClientConnection(context_.loop, std::move(transport.stream),
                                                   H1ClientOptions{}, connection);
  }
  if (secure) metrics.upstream_tls_connections_total.Add();
  metrics.upstream_connections_total.Add();
  connection.index = connections_.size();
  connections_.push_back(std::move(pooled));
  return connection;
}

event::Task<Acquired> Cluster::Connect(event::CancelScope& scope, base::Arena& arena, Host* host) {
  Acquired out;
  out.host = host;
  // A newer revision may come meanwhile.
  const std::shared_ptr<const snapshot::UpstreamEntry> entry = entry_;
  std::shared_ptr<Opening> opening;
  if (multiplexes_ && !host->speaks_http1) {
    opening = std::make_shared<Opening>(context_.loop);
    opening->room = kSharers;
    host->opening = opening;
  }
  ++opening_;
  Transport transport = co_await OpenTransport(scope, *host, *entry);
  --opening_;
  out.error = transport.error;
  out.detail = std::move(transport.detail);
  if (out.error == AcquireError::kNone) {
    host->speaks_http1 = !transport.http2;
    PooledConnection& connection =
        AddConnection(*host, std::move(transport), entry->tls != nullptr);
    ClientConnection& client = *connection.connection;
    const bool opened = OpenOn(connection, scope, arena, out);
    const bool outdated = entry->protocol != entry_->protocol || entry->tls != entry_->tls;
    if (!opened || outdated || !host->listed || closing_) {
      client.Close();
    } else if (connection.multiplexed) {
      OfferShared(connection);
    }
    if (!opened) {
      out.error = AcquireError::kConnectFailed;
      out.detail = absl::UnavailableError("closed by the upstream at once");
    }
  } else {
    ReturnPlace(/*claimed=*/false);
  }
  if (opening != nullptr) {
    if (host->opening == opening) host->opening.reset();
    // The others do not leave because this one did.
    if (out.error != AcquireError::kCancelled) {
      opening->error = out.error;
      opening->detail = out.detail;
    }
    opening->ended.Set();
  }
  if (out.error == AcquireError::kNone) co_return out;
  ReturnRequest(*host);
  if (out.error == AcquireError::kCancelled) co_return out;
  context_.metrics.upstream_connect_failures_total.Add();
  Report(*host, false);
  co_return out;
}

event::Task<bool> Cluster::ShareOpening(event::CancelScope& scope, base::Arena& arena, Host& host,
                                        Acquired& out) {
  while (host.opening != nullptr && host.opening->room > 0) {
    const std::shared_ptr<Opening> opening = host.opening;
    if (!TryTake(limits_->pending, entry_->max_pending_requests)) {
      out.error = AcquireError::kOverloaded;
      break;
    }
    --opening->room;
    const absl::Status waited = co_await opening->ended.Wait(scope);
    limits_->pending.fetch_sub(1, std::memory_order_relaxed);
    if (!waited.ok()) {
      out.error = AcquireError::kCancelled;
      break;
    }
    if (opening->error != AcquireError::kNone) {
      out.error = opening->error;
      out.detail = opening->detail;
      break;
    }
    if (OpenAvailable(host, scope, arena, out)) co_return true;
  }
  if (out.error == AcquireError::kNone) co_return false;
  ReturnRequest(host);
  co_return true;
}

void Cluster::OfferShared(PooledConnection& connection) {
  ClientConnection& client = *connection.connection;
  if (!client.reusable() || !connection.host.listed || closing_) {
    client.Close();
    return;
  }
  if (limits_->connections.sought() && HasSurplus() && GiveUp(connection)) return;
  if (client.open_streams() < client.max_streams()) {
    MakeAvailable(connection);
    WakeForRoom();
    return;
  }
  connection.OnConnectionUnusable(client);
  // A peer that takes no request at all, and whose connection nobody would look at again.
  if (client.open_streams() == 0) client.Close();
}

}  // namespace portico::upstream
