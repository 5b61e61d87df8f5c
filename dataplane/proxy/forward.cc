#include "dataplane/proxy/forward.h"

#include <utility>

#include "dataplane/http/trailers.h"
#include "dataplane/proxy/failure.h"
#include "dataplane/proxy/grpc_exchange.h"
#include "dataplane/proxy/policies.h"
#include "dataplane/proxy/tunnel.h"
#include "dataplane/upstream/cluster.h"

namespace portico::proxy {
namespace {

using event::Task;
using http::BodyChunk;
using snapshot::LocalReply;
using upstream::AcquireError;

// One try at one endpoint.
struct Attempt {
  Attempt(Exchange& x, upstream::Cluster& cluster) : x(x), cluster(cluster) {}

  Exchange& x;
  upstream::Cluster& cluster;
  upstream::Acquired acquired;
  // Set when no response was begun.
  std::optional<LocalReply> reply;
  // The request's head was given to the upstream's stream, as was its body as far as
  // upload_done says.
  bool request_sent = false;
  // The request was provably not sent, or processing it twice is harmless.
  bool may_retry = false;
  // The response is complete, or broken: the rest of the request body is moot.
  bool download_done = false;
  // Nothing of the request is left to be sent.
  bool upload_done = false;
  // The last piece of the request body was asked for and did not come.
  bool awaits_client = false;
  // While the piece is asked for that another try may take: what ends the wait for this one.
  event::CancelScope* early_wait = nullptr;

  http::ClientStream& upstream_stream() const { return acquired.lease.stream(); }
};

bool IsRetriableStatus(int status) { return status == 502 || status == 503 || status == 504; }

bool HasBody(const http::RequestHead& request) { return request.body != http::BodyKind::kNone; }

bool MayRepeat(const http::RequestHead& request) {
  return http::IsIdempotent(request.method) && !HasBody(request);
}

// Another try is allowed by the route and affordable now. Takes from the budget.
bool TakeRetry(Exchange& x) {
  if (x.attempts >= x.route->attempts) return false;
  if (!x.worker.retries.Take(x.worker.active_requests)) {
    x.worker.metrics.retries_refused_total.Add();
    return false;
  }
  x.worker.metrics.retries_total.Add();
  return true;
}

// No other try is to send what was read of the body.
void SpendBody(Exchange& x) {
  x.body_spent = true;
  if (x.owned != nullptr) x.owned->body.reset();
}

// The upstream failed before its response was begun.
void FailBeforeResponse(Attempt& attempt, const absl::Status& status) {
  Exchange& x = attempt.x;
  if (x.stream.scope().requested()) {
    attempt.reply = attempt.awaits_client ? ReplyForBody(x.stream.scope().reason(), x.arena())
                                          : ReplyForScope(x.stream.scope().reason(), x.arena());
    // It had the whole request and did not answer; a slow client, or one that gives little time,
    // is no fault of it.
    if (attempt.reply->reason == "upstream_timeout" && attempt.upload_done) {
      attempt.cluster.Report(attempt.acquired.lease.host(), false);
    }
    return;
  }
  const http::ClientStream& stream = attempt.upstream_stream();
  // Who refuses a stream, because it goes away or has enough, is not broken; nor is who takes no
  // tunnels.
  if (!stream.refused() && !absl::IsFailedPrecondition(status)) {
    attempt.cluster.Report(attempt.acquired.lease.host(), false);
  }
  attempt.reply = ReplyForUpstream(status, x.arena());
  // A body that was read in part and is not kept cannot be sent again. Whether an upstream that
  // closed without an answer had acted on the request cannot be known (RFC 9110 section 9.2.2),
  // unless it says that it had not.
  const bool safe =
      stream.refused() || (http::IsIdempotent(x.request().method) && stream.unprocessed());
  attempt.may_retry = safe && !x.body_spent;
}

// A deadline passed while the client was to take bytes: that of the route, or that for
// clients that take nothing.
bool ClientTooSlow(const Exchange& x, const absl::Status& sent) {
  if (!absl::IsDeadlineExceeded(sent)) return false;
  const event::CancelScope& scope = x.stream.scope();
  return !scope.requested() || IsExchangeTimeout(scope.reason());
}

// The response was begun and cannot be completed: the client must see that.
void FailDuringResponse(Attempt& attempt, const absl::Status& status, bool upstream_failed) {
  Exchange& x = attempt.x;
  if (!upstream_failed && ClientTooSlow(x, status)) {
    x.reason = "client_too_slow";
    x.detail = CopyMessage(status, x.arena());
  } else if (x.stream.scope().requested()) {
    const LocalReply reply = ReplyForScope(x.stream.scope().reason(), x.arena());
    x.reason = reply.reason;
    x.detail = reply.message;
    if (upstream_failed && IsExchangeTimeout(x.stream.scope().reason()) &&
        OweGrpcStatus(x, /*deadline=*/true)) {
      return;
    }
  } else {
    x.reason = upstream_failed ? "upstream_reset" : "client_disconnected";
    x.detail = CopyMessage(status, x.arena());
    if (upstream_failed) {
      attempt.cluster.Report(attempt.acquired.lease.host(), false);
      if (OweGrpcStatus(x, /*deadline=*/false)) return;
    }
  }
  x.stream.Abort();
}

// The last piece of the response: trailers tell how a gRPC exchange ended.
void EndResponse(Attempt& attempt, BodyChunk& piece) {
  const std::optional<bool> success = TakeLastPiece(attempt.x, piece);
  if (success.has_value()) attempt.cluster.Report(attempt.acquired.lease.host(), *success);
}

// Response body, piece by piece: a piece is asked for when the one before was
// taken.
Task<void> RelayResponseBody(Attempt& attempt) {
  Exchange& x = attempt.x;
  // No policy looks at bodies: from here on their bytes need not be seen.
  http::ClientStream& from = attempt.upstream_stream();
  if (x.front->TakesPipes()) from.UsePipes();
  const bool shares = x.request().version == http::Version::kHttp2;
  while (true) {
    if (shares && !from.BodyBuffered()) from.LimitPiece(x.stream.PieceLimit());
    absl::StatusOr<BodyChunk> piece = co_await from.ReadBody();
    if (!piece.ok()) {
      FailDuringResponse(attempt, piece.status(), /*upstream_failed=*/true);
      co_return;
    }
    const bool end = piece->end;
    if (piece->trailers != nullptr) [[unlikely]]
      EndResponse(attempt, *piece);
    const absl::Status sent = co_await x.front->SendBody(*std::move(piece));
    if (!sent.ok()) {
      FailDuringResponse(attempt, sent, /*upstream_failed=*/false);
      co_return;
    }
    if (end) co_return;
  }
}

// The request was sent, or not. False: there is nothing more to do.
bool EndSendHead(Attempt& attempt, const absl::Status& sent, bool more_to_upload) {
  // After another failure to send there may be a response that says why.
  if (!sent.ok() &&
      (attempt.x.stream.scope().requested() || attempt.upstream_stream().unprocessed())) {
    FailBeforeResponse(attempt, sent);
    return false;
  }
  attempt.request_sent = true;
  attempt.upload_done = !more_to_upload;
  return true;
}

// The response head is there. False: another try is made instead.
bool TakeResponseHead(Attempt& attempt, http::ResponseHead& head) {
  Exchange& x = attempt.x;
  x.upstream_duration = x.loop().now() - x.sent_upstream;
  if (x.grpc == Grpc::kNone) [[likely]] {
    attempt.cluster.Report(attempt.acquired.lease.host(), head.status < 500);
  } else if (const std::optional<bool> success = TakeGrpcHead(x, head); success.has_value()) {
    attempt.cluster.Report(attempt.acquired.lease.host(), *success);
  }
  if (x.owned != nullptr && HasBody(x.request())) [[unlikely]]
    SpendBody(x);
  if (IsRetriableStatus(head.status) && MayRepeat(x.request()) && x.attempts < x.route->attempts) {
    attempt.may_retry = TakeRetry(x);
    if (attempt.may_retry) return false;
  }
  RunResponsePolicies(*x.policy, head);
  if (head.headers.Find(http::HeaderId::kXRequestId) == nullptr) {
    head.headers.Add(http::HeaderId::kXRequestId, x.request_id);
  }
  return true;
}

// Response head and body; before them the request, if it has no body. One frame for
// all of it: this is what most exchanges do.
Task<void> Download(Attempt& attempt) {
  Exchange& x = attempt.x;
  http::ClientStream& from = attempt.upstream_stream();
  if (!attempt.request_sent) {
    x.sent_upstream = x.loop().now();
    BodyChunk nothing;
    nothing.end = true;
    const absl::Status sent = co_await from.SendHead(x.request(), std::move(nothing));
    if (!EndSendHead(attempt, sent, /*more_to_upload=*/false)) co_return;
  }
  absl::StatusOr<http::ResponseHead*> received = co_await from.ReadHead();
  if (!received.ok()) {
    FailBeforeResponse(attempt, received.status());
    co_return;
  }
  http::ResponseHead& head = **received;
  if (!TakeResponseHead(attempt, head)) co_return;
  if (!x.request().upgrade.empty()) [[unlikely]] {
    attempt.reply = TakeUpgradeHead(x, head);
    if (attempt.reply.has_value()) {
      attempt.cluster.Report(attempt.acquired.lease.host(), false);
      co_return;
    }
    if (IsTunnel(x, head)) {
      attempt.upload_done = true;
      if (co_await RelayTunnel(x, from, head)) {
        attempt.cluster.Report(attempt.acquired.lease.host(), false);
      }
      co_return;
    }
  }
  BodyChunk first;
  if (head.body == http::BodyKind::kNone) {
    first.end = true;
  } else if (from.BodyBuffered()) {
    absl::StatusOr<BodyChunk> piece = co_await from.ReadBody();
    if (!piece.ok()) {
      FailBeforeResponse(attempt, piece.status());
      attempt.may_retry = false;
      co_return;
    }
    first = *std::move(piece);
  }
  const bool end = first.end;
  if (first.trailers != nullptr) [[unlikely]]
    EndResponse(attempt, first);
  BeginResponse(x, head);
  const absl::Status sent = co_await x.front->SendHead(head, std::move(first));
  if (!sent.ok()) {
    FailDuringResponse(attempt, sent, /*upstream_failed=*/false);
  } else if (!end) {
    co_await RelayResponseBody(attempt);
  }
}

Task<void> DownloadBesideUpload(Attempt& attempt) {
  co_await Download(attempt);
  attempt.download_done = true;
  if (attempt.upload_done) co_return;
  if (attempt.may_retry && attempt.upstream_stream().refused()) {
    // What the client sends is for the next try. Sending to this one ends by itself.
    if (attempt.early_wait != nullptr) attempt.early_wait->Request(absl::CancelledError("refused"));
    co_return;
  }
  // Nobody needs the rest of the request body; what was cut cannot be sent again.
  attempt.may_retry = false;
  attempt.x.stream.scope().Request(absl::CancelledError("answered"));
}

// Another one of `piece`; bytes that are few are copied, so that they hold no buffer.
BodyChunk CopyOf(const BodyChunk& piece, base::Arena& arena) {
  constexpr size_t kFew = 1024;
  BodyChunk copy;
  if (piece.bytes.size() <= kFew) {
    copy.bytes = arena.Copy(piece.bytes);
  } else {
    copy.owner = piece.owner.Share();
    copy.bytes = piece.bytes;
  }
  copy.trailers = piece.trailers;
  copy.end = piece.end;
  return copy;
}

// Upstreams that speak HTTP/2 may say that they did not act on a request: then even one that must
// not be repeated is, as long as its body is still here.
bool MayBeRefused(const Exchange& x) {
  return x.upstream->protocol != v1::UPSTREAM_PROTOCOL_HTTP1;
}

// `piece` goes to the upstream and is, as the first one, kept for another try; two are too many.
void KeepOrSpend(Exchange& x, BodyChunk& piece) {
  if (piece.trailers != nullptr) piece.trailers = http::SafeTrailers(piece.trailers, x.arena());
  const bool kept = x.has_kept_body();
  if (kept && piece.size() == 0) {
    x.owned->body->trailers = piece.trailers;
    x.owned->body->end = piece.end;
  } else if (kept || x.body_spent || piece.pipe != nullptr || !MayBeRefused(x)) {
    if (piece.size() > 0) SpendBody(x);
  } else {
    x.Own().body = CopyOf(piece, x.arena());
  }
}

Task<void> ReadEarlyPiece(Exchange& x, Exchange::EarlyPiece& early) {
  early.piece = co_await x.front->ReadBody();
  early.ready.Set();
}

// Uploads as long as another try could still send all of the body. It takes over the wait for the
// client, too. True: there is more.
Task<bool> UploadWhatIsKept(Attempt& attempt) {
  Exchange& x = attempt.x;
  std::optional<Exchange::EarlyPiece>& early = x.Own().early;
  while (!x.body_spent) {
    // Nobody would end the wait.
    if (attempt.download_done) co_return false;
    if (!early.has_value()) {
      early.emplace(x.loop());
      early->reading.Spawn(ReadEarlyPiece(x, *early));
    }
    attempt.awaits_client = true;
    {
      event::ChildScope wait(x.stream.scope());
      attempt.early_wait = &wait;
      const absl::Status waited = co_await early->ready.Wait(wait);
      attempt.early_wait = nullptr;
      // What has come in the same moment is for the next try, too.
      if (!waited.ok() || attempt.download_done) co_return false;
    }
    absl::StatusOr<BodyChunk> piece = std::move(early->piece);
    early.reset();
    if (!piece.ok()) {
      x.stream.scope().Request(piece.status());
      co_return false;
    }
    attempt.awaits_client = false;
    const bool end = piece->end;
    KeepOrSpend(x, *piece);
    const absl::Status sent = co_await attempt.upstream_stream().SendBody(*std::move(piece));
    if (!sent.ok() || end) co_return false;
  }
  co_return true;
}

// Nobody waits for the client's next piece any more.
Task<void> EndEarlyPiece(Exchange& x) {
  Exchange::EarlyPiece& early = *x.owned->early;
  if (early.reading.running() == 0) co_return;
  x.stream.scope().Request(absl::CancelledError("answered"));
  co_await early.reading.Join();
}

Task<void> Upload(Attempt& attempt) {
  Exchange& x = attempt.x;
  if (attempt.upstream_stream().TakesPipes()) x.front->UsePipes();
  bool end = false;
  if (MayBeRefused(x)) {
    const bool more = co_await UploadWhatIsKept(attempt);
    end = !more;
  }
  while (!end) {
    attempt.awaits_client = true;
    absl::StatusOr<BodyChunk> piece = co_await x.front->ReadBody();
    if (!piece.ok()) {
      // The response, if it is still awaited, is moot: the request is not whole.
      if (!attempt.download_done) x.stream.scope().Request(piece.status());
      break;
    }
    attempt.awaits_client = false;
    end = piece->end;
    if (piece->size() > 0) x.body_spent = true;
    if (piece->trailers != nullptr)
      piece->trailers = http::SafeTrailers(piece->trailers, x.arena());
    // An upstream that no longer reads may have answered: Download() sees that, or
    // the broken connection.
    if (!(co_await attempt.upstream_stream().SendBody(*std::move(piece))).ok()) break;
  }
  attempt.upload_done = true;
}

// A request with a body, and its response, over the acquired connection.
Task<void> UploadAndDownload(Attempt& attempt) {
  Exchange& x = attempt.x;
  const http::RequestHead& request = x.request();
  x.sent_upstream = x.loop().now();
  BodyChunk first;
  bool upload = true;
  if (x.has_kept_body()) {
    first = CopyOf(*x.owned->body, x.arena());
    upload = !first.end;
  } else if (!request.expect_continue && !x.has_early_piece() && x.front->BodyBuffered()) {
    absl::StatusOr<BodyChunk> piece = co_await x.front->ReadBody();
    if (!piece.ok()) {
      if (!x.stream.scope().requested()) x.stream.scope().Request(piece.status());
      attempt.reply = ReplyForScope(x.stream.scope().reason(), x.arena());
      co_return;
    }
    first = *std::move(piece);
    upload = !first.end;
    KeepOrSpend(x, first);
  }
  const absl::Status sent = co_await attempt.upstream_stream().SendHead(request, std::move(first));
  if (!EndSendHead(attempt, sent, upload)) co_return;
  if (upload && sent.ok()) {
    co_await event::Both(Upload(attempt), DownloadBesideUpload(attempt));
  } else {
    co_await Download(attempt);
  }
}

// The upstream of this request: one of the route's, by weight.
upstream::Cluster& ChooseCluster(Exchange& x) {
  const std::shared_ptr<const snapshot::UpstreamEntry>* chosen = &x.route->upstream;
  if (*chosen == nullptr) {
    const std::vector<snapshot::RouteDetails::Target>& targets = x.route->details->targets;
    const uint32_t point = x.worker.random.Below(targets.back().cumulative_weight);
    size_t target = 0;
    while (point >= targets[target].cumulative_weight) ++target;
    chosen = &targets[target].upstream;
  }
  x.upstream = chosen->get();
  x.policy->upstream = x.upstream->name;
  return x.worker.clusters.Get(*chosen, x.pinned->snapshot->revision);
}

// Notes what was asked for a connection; false if there is none.
bool EndAcquire(Attempt& attempt) {
  Exchange& x = attempt.x;
  const upstream::Acquired& acquired = attempt.acquired;
  if (acquired.host != nullptr) x.endpoint = x.arena().Copy(acquired.host->address_text);
  if (acquired.error == AcquireError::kNone) return true;
  attempt.reply = ReplyForAcquire(acquired, x.stream.scope().reason(), x.arena());
  attempt.may_retry = acquired.error == AcquireError::kConnectFailed ||
                      acquired.error == AcquireError::kConnectTimeout ||
                      acquired.error == AcquireError::kTlsFailed;
  return false;
}

}  // namespace

Task<std::optional<LocalReply>> Forward(Exchange& x) {
  upstream::Cluster& cluster = ChooseCluster(x);
  const upstream::Host* avoid = nullptr;
  while (true) {
    ++x.attempts;
    Attempt attempt(x, cluster);
    if (!cluster.TryAcquire(x.stream.scope(), x.arena(), avoid, attempt.acquired) &&
        attempt.acquired.error == AcquireError::kNone) {
      attempt.acquired =
          co_await cluster.AcquireSlow(x.stream.scope(), x.arena(), attempt.acquired.host);
    }
    if (attempt.acquired.host != nullptr) avoid = attempt.acquired.host;
    if (EndAcquire(attempt)) {
      if (HasBody(x.request())) {
        co_await UploadAndDownload(attempt);
      } else {
        co_await Download(attempt);
      }
    }
    if (x.attempts > 1) x.worker.retries.Return();
    // A retriable response took its retry already.
    const bool took_retry = attempt.may_retry && !attempt.reply.has_value();
    if (took_retry || (attempt.may_retry && TakeRetry(x))) continue;
    if (x.has_early_piece()) [[unlikely]]
      co_await EndEarlyPiece(x);
    co_return attempt.reply;
  }
}

}  // namespace portico::proxy
