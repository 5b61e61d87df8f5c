#include "dataplane/upstream/cluster.h"

#include <algorithm>
#include <string>
#include <unordered_map>

#include "dataplane/base/check.h"
#include "dataplane/upstream/outlier.h"

namespace portico::upstream {

Cluster::Cluster(ClusterContext& context, std::shared_ptr<const snapshot::UpstreamEntry> entry)
    : context_(context),
      limits_(context.limits.Get(entry->name)),
      seat_(limits_->connections.Join(context.loop, *this)),
      allowance_(limits_) {
  Update(std::move(entry));
}

Cluster::~Cluster() {
  PORTICO_CHECK(idle() && connections() == 0 && first_waiter_ == nullptr);
  limits_->connections.Leave(seat_);
  context_.metrics.upstream_endpoints.Subtract(balanced_);
}

void Cluster::Update(std::shared_ptr<const snapshot::UpstreamEntry> entry) {
  std::unordered_map<std::string, std::unique_ptr<Host>> before;
  std::vector<std::unique_ptr<Host>> unlisted;
  for (auto& host : hosts_) {
    // Of two with one address (127.0.0.1 and ::ffff:127.0.0.1, say) the first stays. A host
    // that is not taken is not moved from.
    if (host->listed && before.try_emplace(host->address_text, std::move(host)).second) continue;
    host->listed = false;
    unlisted.push_back(std::move(host));
  }
  hosts_.clear();
  for (const auto& endpoint : entry->endpoints) {
    std::string address = endpoint.address.ToString();
    const auto found = before.find(address);
    std::unique_ptr<Host> host;
    if (found != before.end()) {
      host = std::move(found->second);
      before.erase(found);
    } else {
      host = std::make_unique<Host>();
      host->address = endpoint.address;
      host->address_text = std::move(address);
      host->ring_key = RingKey(host->address_text, context_.subset_seed);
    }
    host->weight = host->listed_weight = endpoint.weight;
    hosts_.push_back(std::move(host));
  }
  for (auto& [address, host] : before) {
    host->listed = false;
    unlisted.push_back(std::move(host));
  }
  for (auto& host : unlisted) hosts_.push_back(std::move(host));
  const uint32_t max_before = entry_ == nullptr ? 0 : entry_->max_connections;
  const bool same_transport =
      entry_ == nullptr || (entry_->protocol == entry->protocol && entry_->tls == entry->tls);
  entry_ = std::move(entry);
  multiplexes_ = entry_->protocol != v1::UPSTREAM_PROTOCOL_HTTP1;
  if (!same_transport) {
    for (auto& host : hosts_) host->speaks_http1 = false;
    for (auto& connection : connections_) CloseResting(*connection);
  }
  SetSubset();
  MakeBalancer();
  // Who waits looks again.
  for (uint32_t i = max_before; i < entry_->max_connections && first_waiter_ != nullptr; ++i) {
    WakeForRoom();
  }
  for (auto& host : hosts_) {
    if (host->listed) continue;
    // A copy: closing takes them off the list.
    const std::vector<PooledConnection*> resting = host->available;
    for (PooledConnection* connection : resting) CloseResting(*connection);
  }
  DropUnlistedHosts();
}

void Cluster::SetSubset() {
  std::vector<Host*> listed;
  for (auto& host : hosts_) {
    if (host->listed) listed.push_back(host.get());
  }
  subset_.Reset(std::move(listed),
                {.worker = context_.worker,
                 .workers = context_.workers,
                 // The other half is for requests that come together.
                 .max_pairs = std::max<uint32_t>(1, entry_->max_connections / 2)});
}

void Cluster::MakeBalancer() {
  std::vector<Host*> chosen = subset_.Choose(context_.loop.now());
  context_.metrics.upstream_endpoints.Add(chosen.size());
  context_.metrics.upstream_endpoints.Subtract(balanced_);
  balanced_ = chosen.size();
  balancer_ = entry_->least_request ? MakeLeastRequest(std::move(chosen), context_.random)
                                    : MakeRoundRobin(std::move(chosen), context_.random);
}

bool Cluster::TryAcquire(event::CancelScope& scope, base::Arena& arena, const Host* avoid,
                         Acquired& out) {
  last_used_ = context_.loop.now();
  Host* host = balancer_->Pick(last_used_, avoid);
  if (host == nullptr) {
    out.error = AcquireError::kNoHealthyHost;
    return false;
  }
  if (!allowance_.Take(entry_->max_requests)) {
    out.error = AcquireError::kOverloaded;
    return false;
  }
  out.host = host;
  ++host->active_requests;
  // Who waits already is first.
  if (multiplexes_ && first_waiter_ != nullptr) [[unlikely]]
    return false;
  return OpenAvailable(*host, scope, arena, out);
}

bool Cluster::OpenAvailable(Host& host, event::CancelScope& scope, base::Arena& arena,
                            Acquired& out) {
  while (!host.available.empty()) {
    PooledConnection& connection = *host.available.back();
    if (OpenOn(connection, scope, arena, out)) return true;
    // It ended in the same turn of the loop; the pool is told a moment later.
    connection.OnConnectionUnusable(*connection.connection);
  }
  return false;
}

bool Cluster::OpenOn(PooledConnection& connection, event::CancelScope& scope, base::Arena& arena,
                     Acquired& out) {
  ClientConnection& client = *connection.connection;
  const bool reused = client.streams_opened() > 0;
  http::ClientStream* stream = client.OpenStream(scope, arena);
  if (stream == nullptr) return false;
  if (client.open_streams() >= client.max_streams()) connection.OnConnectionUnusable(client);
  out.lease = Lease(&connection, stream, reused);
  out.host = &connection.host;
  out.error = AcquireError::kNone;
  return true;
}

event::Task<Acquired> Cluster::AcquireSlow(event::CancelScope& scope, base::Arena& arena,
                                           Host* host) {
  Acquired out;
  out.host = host;
  if (multiplexes_) {
    const bool shared = co_await ShareOpening(scope, arena, *host, out);
    if (shared) co_return out;
  }
  bool again = false;
  bool place = TakePlace();
  while (!place) {
    const bool others_first = multiplexes_ && !again && first_waiter_ != nullptr;
    if (!others_first && OpenResting(scope, arena, out)) {
      MoveRequest(*host, out.lease.host());
      // There may be room for more.
      if (multiplexes_) WakeForRoom();
      co_return out;
    }
    if (!TryTake(limits_->pending, entry_->max_pending_requests)) {
      out.error = AcquireError::kOverloaded;
      break;
    }
    PooledConnection* promised = nullptr;
    absl::Status waited;
    place = NeedsPlace() && SeekPlace();
    if (!place) waited = co_await WaitForConnection(scope, again, &promised, &place);
    limits_->pending.fetch_sub(1, std::memory_order_relaxed);
    again = true;
    if (promised != nullptr) {
      promised->promised_to = nullptr;
      if (waited.ok() && OpenOn(*promised, scope, arena, out)) {
        MoveRequest(*host, promised->host);
        co_return out;
      }
      Offer(*promised);
    }
    if (!waited.ok()) {
      if (place) ReturnPlace(/*claimed=*/false);
      out.error = AcquireError::kCancelled;
      break;
    }
    // Where there is room on a connection, no other one is opened.
    if (!place && !(multiplexes_ && !host->available.empty())) place = TakePlace();
  }
  if (out.error == AcquireError::kNone) co_return co_await Connect(scope, arena, host);
  ReturnRequest(*host);
  co_return out;
}

void Cluster::MoveRequest(Host& from, Host& to) {
  --from.active_requests;
  ++to.active_requests;
}

bool Cluster::OpenResting(event::CancelScope& scope, base::Arena& arena, Acquired& out) {
  PooledConnection* useless = nullptr;
  for (auto& host : hosts_) {
    while (!host->available.empty()) {
      PooledConnection& connection = *host->available.back();
      if (!host->Available(context_.loop.now())) {
        useless = &connection;
        break;
      }
      if (OpenOn(connection, scope, arena, out)) return true;
      connection.OnConnectionUnusable(*connection.connection);
    }
  }
  // An ejected endpoint must not hold the room that the others need.
  if (useless != nullptr) CloseResting(*useless);
  return false;
}

event::Task<absl::Status> Cluster::WaitForConnection(event::CancelScope& scope, bool in_front,
                                                     PooledConnection** promised, bool* place) {
  Waiter waiter(context_.loop);
  if (first_waiter_ == nullptr) {
    first_waiter_ = last_waiter_ = &waiter;
  } else if (in_front) {
    waiter.next = std::exchange(first_waiter_, &waiter);
  } else {
    last_waiter_ = last_waiter_->next = &waiter;
  }
  const absl::Status waited = co_await waiter.ready.Wait(scope);
  RemoveWaiter(waiter);
  *place = waiter.place;
  if (waiter.place) --granted_;
  if (first_waiter_ == nullptr && seat_->seeking()) limits_->connections.EndSeek(seat_);
  // Room that was offered to it after it was cancelled is for the next in line.
  if (!waited.ok() && waiter.ready.is_set() && waiter.connection == nullptr && !waiter.place) {
    WakeForRoom();
  }
  *promised = waiter.connection;
  if (waiter.connection != nullptr) waiter.connection->promised_to = promised;
  co_return waited;
}

Cluster::Waiter* Cluster::PopWaiter() {
  Waiter* waiter = first_waiter_;
  if (waiter != nullptr) RemoveWaiter(*waiter);
  return waiter;
}

void Cluster::RemoveWaiter(Waiter& waiter) {
  Waiter* previous = nullptr;
  for (Waiter* at = first_waiter_; at != nullptr; previous = at, at = at->next) {
    if (at != &waiter) continue;
    (previous == nullptr ? first_waiter_ : previous->next) = at->next;
    if (last_waiter_ == at) last_waiter_ = previous;
    return;
  }
}

void Cluster::ReturnRequest(Host& host) {
  --host.active_requests;
  allowance_.Return();
}

void Cluster::WakeForRoom() {
  if (Waiter* waiter = PopWaiter(); waiter != nullptr) waiter->ready.Set();
}

void Cluster::Offer(PooledConnection& connection) {
  if (connection.multiplexed) [[unlikely]]
    return OfferShared(connection);
  ClientConnection& client = *connection.connection;
  if (!client.reusable() || !connection.host.listed || closing_) {
    client.Close();
    return;
  }
  if (limits_->connections.sought() && HasSurplus() && GiveUp(connection)) return;
  if (Waiter* waiter = PopWaiter(); waiter != nullptr) {
    // Out of the host's list until the waiter runs.
    connection.OnConnectionUnusable(client);
    waiter->connection = &connection;
    connection.promised_to = &waiter->connection;
    waiter->ready.Set();
    return;
  }
  MakeAvailable(connection);
}

void Cluster::MakeAvailable(PooledConnection& connection) {
  connection.idle_since = context_.loop.now();
  if (connection.available) return;
  connection.available = true;
  connection.host.available.push_back(&connection);
}

void Cluster::Report(Host& host, bool success) {
  if (success) {
    ReportSuccess(host);
    return;
  }
  const OutlierOptions options{entry_->outlier_enabled, entry_->outlier_failures,
                               entry_->outlier_base_ejection_nanos, entry_->outlier_max_percent};
  if (ReportFailure(host, hosts_, options, context_.loop.now())) {
    context_.metrics.outlier_ejections_total.Add();
    // Others stand in for it.
    if (subset_.partial()) MakeBalancer();
  }
}

void Cluster::DropConnection(PooledConnection& connection) {
  if (connection.promised_to != nullptr) *connection.promised_to = nullptr;
  context_.metrics.upstream_connections_closed_total.Add();
  const bool claimed = connection.claimed;
  if (connection.given_up) --giving_up_;
  const size_t index = connection.index;
  std::swap(connections_[index], connections_.back());
  connections_[index]->index = index;
  connections_.pop_back();
  ReturnPlace(claimed);
}

// Not as soon as the last request has ended: who tells of that request's fate still
// looks at its host.
void Cluster::DropUnlistedHosts() {
  const auto in_use = [this](const Host& host) {
    return host.active_requests > 0 ||
           std::any_of(connections_.begin(), connections_.end(),
                       [&](const auto& connection) { return &connection->host == &host; });
  };
  std::erase_if(hosts_,
                [&](const std::unique_ptr<Host>& host) { return !host->listed && !in_use(*host); });
}

void Cluster::CloseIdle(base::MonotonicNanos now) {
  DropUnlistedHosts();
  if (now >= subset_.stale_at()) MakeBalancer();
  for (auto& host : hosts_) {
    // The longest at rest are in front.
    auto& list = host->available;
    if (multiplexes_) {
      // But those that are in use are among them. A copy: closing takes them off the list.
      const std::vector<PooledConnection*> all = list;
      for (PooledConnection* connection : all) {
        if (connection->connection->open_streams() == 0 &&
            now - connection->idle_since >= entry_->idle_timeout_nanos) {
          CloseResting(*connection);
        }
      }
      continue;
    }
    while (!list.empty() && list.front()->connection->open_streams() == 0 &&
           now - list.front()->idle_since >= entry_->idle_timeout_nanos) {
      CloseResting(*list.front());
    }
  }
}

void Cluster::Close() {
  closing_ = true;
  for (auto& connection : connections_) CloseResting(*connection);
}

}  // namespace portico::upstream
