#include "dataplane/proxy/tunnel.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/escaping.h"
#include "dataplane/event/cancel.h"
#include "dataplane/proxy/failure.h"

namespace portico::proxy {
namespace {

using event::Task;
using http::BodyChunk;

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

Task<void> CarryToUpstream(Tunnel& tunnel) {
  while (true) {
    absl::StatusOr<BodyChunk> piece = co_await tunnel.x.stream.ReadBody();
    if (!piece.ok()) {
      tunnel.Broken(piece.status(), /*by_upstream=*/false);
      co_return;
    }
    const bool end = piece->end;
    const absl::Status sent = co_await tunnel.upstream.SendBody(*std::move(piece));
    if (!sent.ok()) {
      tunnel.Broken(sent, /*by_upstream=*/true);
      co_return;
    }
    if (end) {
      tunnel.SideEnded();
      co_return;
    }
    tunnel.Moved();
  }
}

Task<void> CarryToClient(Tunnel& tunnel) {
  while (true) {
    absl::StatusOr<BodyChunk> piece = co_await tunnel.upstream.ReadBody();
    if (!piece.ok()) {
      tunnel.Broken(piece.status(), /*by_upstream=*/true);
      co_return;
    }
    const bool end = piece->end;
    const absl::Status sent = co_await tunnel.x.stream.SendBody(*std::move(piece));
    if (!sent.ok()) {
      tunnel.Broken(sent, /*by_upstream=*/false);
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

}  // namespace

void CompleteUpgrade(http::RequestHead& request, upstream::Random& random) {
  constexpr std::string_view kKey = "sec-websocket-key";
  if (request.version != http::Version::kHttp2 || request.upgrade != "websocket" ||
      request.headers.Find(kKey) != nullptr) {
    return;
  }
  const uint64_t nonce[2] = {random.Next(), random.Next()};
  const std::string key =
      absl::Base64Escape(absl::string_view(reinterpret_cast<const char*>(nonce), sizeof(nonce)));
  request.headers.Add(kKey, request.headers.arena().Copy(key));
}

Task<bool> RelayTunnel(Exchange& x, http::ClientStream& upstream, http::ResponseHead& head) {
  if (x.request().version == http::Version::kHttp2) head.headers.Remove("sec-websocket-accept");
  BeginResponse(x, head);
  BeginTunnel(x);
  BodyChunk nothing;
  const absl::Status sent = co_await x.stream.SendHead(head, std::move(nothing));
  Tunnel tunnel(x, upstream);
  if (sent.ok()) {
    tunnel.Moved();
    co_await event::Both(CarryToUpstream(tunnel), CarryToClient(tunnel));
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
