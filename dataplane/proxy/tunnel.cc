#include "dataplane/proxy/tunnel.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "dataplane/event/cancel.h"
#include "dataplane/proxy/failure.h"
#include "dataplane/proxy/websocket_key.h"

namespace portico::proxy {
namespace {

using event::Task;
using http::BodyChunk;

constexpr std::string_view kKey = "sec-websocket-key";
constexpr std::string_view kAccept = "sec-websocket-accept";
constexpr char kIdle[] = "no byte in either direction of the tunnel within the idle timeout";

struct Tunnel {
  Tunnel(Exchange& x, http::ClientStream& upstream)
      : x(x),
        upstream(upstream),
        idle(x.loop()),
        idle_nanos(x.listener->entry->stream_idle_timeout_nanos) {}

  Exchange& x;
  http::ClientStream& upstream;
  event::MovingDeadline idle;
  int64_t idle_nanos;
  bool upstream_failed = false;

  // A byte was carried, or a side has ended.
  void Moved() { idle.Set(x.stream.scope(), x.loop().now() + idle_nanos, kIdle); }
  void SideEnded() {
    idle_nanos = std::min(idle_nanos, kHalfClosedIdleNanos);
    Moved();
  }
  // The other direction is ended, too.
  void Broken(const absl::Status& status, bool by_upstream) {
    if (x.stream.scope().requested()) return;
    upstream_failed = by_upstream;
    x.stream.scope().Request(status);
  }
};

// Before `from` is read: what goes to a client is bounded by what its connection may hold.
void LimitPiece(http::ClientStream& from, http::ServerStream& to) {
  if (!from.BodyBuffered()) from.LimitPiece(to.PieceLimit());
}
void LimitPiece(http::ServerStream&, http::ClientStream&) {}

// One direction, until its side ends. `to_upstream`: from the client.
template <typename From, typename To>
Task<void> Carry(Tunnel& tunnel, From& from, To& to, bool to_upstream) {
  while (true) {
    LimitPiece(from, to);
    absl::StatusOr<BodyChunk> piece = co_await from.ReadBody();
    if (!piece.ok()) {
      tunnel.Broken(piece.status(), /*by_upstream=*/!to_upstream);
      co_return;
    }
    const bool end = piece->end;
    const absl::Status sent = co_await to.SendBody(*std::move(piece));
    if (!sent.ok()) {
      tunnel.Broken(sent, /*by_upstream=*/to_upstream);
      co_return;
    }
    if (end) {
      tunnel.SideEnded();
      co_return;
    }
    tunnel.Moved();
  }
}

// Why a tunnel ended before both of its sides had.
void NoteEnd(const Tunnel& tunnel, const absl::Status& reason) {
  Exchange& x = tunnel.x;
  x.detail = CopyMessage(reason, x.arena());
  if (tunnel.upstream_failed) {
    x.reason = "upstream_reset";
  } else if (absl::IsDeadlineExceeded(reason)) {
    x.reason = reason.message() == kIdle ? "tunnel_idle" : "client_too_slow";
  } else if (absl::IsUnavailable(reason)) {
    x.reason = "tunnel_drained";
  } else {
    x.reason = "client_disconnected";
  }
}

// 101 to an HTTP/1.1 client whose upstream speaks HTTP/2, and so answers no key.
void AddAccept(Exchange& x, http::ResponseHead& head) {
  const http::HeaderField* key = x.request().headers.Find(kKey);
  if (key == nullptr || head.version != http::Version::kHttp2) return;
  head.headers.Set(kAccept, WebSocketAccept(key->value, x.arena()));
}

}  // namespace

void PrepareUpgrade(Exchange& x) {
  http::RequestHead& request = x.request();
  if (request.version != http::Version::kHttp2) return;
  request.headers.Set(kKey, MakeWebSocketKey(x.worker.random, x.arena()));
}

std::optional<snapshot::LocalReply> TakeUpgradeHead(Exchange& x, http::ResponseHead& head) {
  if (x.request().version != http::Version::kHttp2) {
    if (head.status == 101) AddAccept(x, head);
    return std::nullopt;
  }
  if (head.status != 101) {
    if (head.status >= 300) return std::nullopt;
    return snapshot::LocalReply{502, "upstream_protocol_error",
                                "the upstream answered a WebSocket handshake without opening it"};
  }
  const http::HeaderField* key = x.request().headers.Find(kKey);
  const http::HeaderField* accept = head.headers.Find(kAccept);
  if (head.version != http::Version::kHttp2 &&
      (key == nullptr || accept == nullptr ||
       accept->value != WebSocketAccept(key->value, x.arena()))) {
    return snapshot::LocalReply{502, "upstream_protocol_error",
                                "the upstream's Sec-WebSocket-Accept does not answer the key"};
  }
  head.headers.Remove(kAccept);
  head.status = 200;
  head.reason = {};
  head.line = {};
  return std::nullopt;
}

bool IsTunnel(const Exchange& x, const http::ResponseHead& head) {
  if (head.status == 101) return true;
  return head.status == 200 && x.request().version == http::Version::kHttp2;
}

Task<bool> RelayTunnel(Exchange& x, http::ClientStream& upstream, http::ResponseHead& head) {
  BeginResponse(x, head);
  BeginTunnel(x);
  BodyChunk nothing;
  const absl::Status sent = co_await x.stream.SendHead(head, std::move(nothing));
  Tunnel tunnel(x, upstream);
  if (sent.ok()) {
    tunnel.Moved();
    co_await event::Both(Carry(tunnel, x.stream, upstream, /*to_upstream=*/true),
                         Carry(tunnel, upstream, x.stream, /*to_upstream=*/false));
    tunnel.idle.Clear();
  } else {
    tunnel.Broken(sent, /*by_upstream=*/false);
  }
  const absl::Status& reason = x.stream.scope().reason();
  if (reason.ok()) co_return false;
  NoteEnd(tunnel, reason);
  // Whoever stays sees how it ended: a reset for a reset, otherwise an end.
  if (tunnel.upstream_failed || x.reason == "client_disconnected") x.stream.Abort();
  co_return tunnel.upstream_failed;
}

}  // namespace portico::proxy
