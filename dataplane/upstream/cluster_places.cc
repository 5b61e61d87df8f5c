// The part of a cluster that shares `max_connections` with the other workers.
#include <algorithm>

#include "dataplane/upstream/cluster.h"

namespace portico::upstream {

bool Cluster::TakePlace() { return limits_->connections.Take(entry_->max_connections); }

void Cluster::ReturnPlace(bool claimed) {
  limits_->connections.Return(entry_->max_connections, claimed);
  // Even if it went to another worker: the first in line sees then that it has to seek.
  WakeForRoom();
}

bool Cluster::NeedsPlace() const {
  const size_t least = std::max<size_t>(1, entry_->max_connections / (4 * context_.workers));
  return connections_.size() + opening_ + granted_ < least;
}

bool Cluster::HasSurplus() const {
  return connections_.size() - giving_up_ > entry_->max_connections / context_.workers;
}

bool Cluster::SeekPlace() {
  ConnectionPlaces& places = limits_->connections;
  // One that goes on already is of those who came before and wait.
  const bool sought = seat_->seeking();
  places.Seek(seat_);
  if (!TakePlace()) return false;
  if (!sought) places.EndSeek(seat_);
  return true;
}

bool Cluster::CanSpare(const PooledConnection& connection) const {
  // One of HTTP/2 may never be at rest. Where it is the only one it is kept: until the last of its
  // requests has ended, be it a stream of hours, this worker could serve nobody else.
  return connection.multiplexed && giving_up_ == 0 &&
         std::any_of(connections_.begin(), connections_.end(), [&](const auto& other) {
           return other.get() != &connection && other->connection->reusable() &&
                  other->host.listed;
         });
}

bool Cluster::GiveUp(PooledConnection& connection) {
  const bool at_rest = connection.connection->open_streams() == 0;
  // Nobody can count on one that is in use: the first place that comes free is taken.
  if (at_rest ? !limits_->connections.Claim() : !CanSpare(connection)) return false;
  connection.claimed = at_rest;
  connection.given_up = true;
  ++giving_up_;
  context_.metrics.upstream_connections_given_up_total.Add();
  CloseResting(connection);
  return true;
}

void Cluster::OnPlaceSought() {
  if (!limits_->connections.sought() || !HasSurplus()) return;
  PooledConnection* oldest = nullptr;
  PooledConnection* least_busy = nullptr;  // HTTP/2.
  for (const auto& host : hosts_) {
    for (PooledConnection* front : host->available) {
      const uint32_t streams = front->connection->open_streams();
      if (streams > 0) {
        if (least_busy == nullptr || streams < least_busy->connection->open_streams()) {
          least_busy = front;
        }
        continue;
      }
      if (oldest == nullptr || front->idle_since < oldest->idle_since) oldest = front;
      break;
    }
  }
  // Those that take no more now are looked at when an exchange of theirs ends.
  if (oldest != nullptr) {
    GiveUp(*oldest);
  } else if (least_busy != nullptr) {
    GiveUp(*least_busy);
  }
}

void Cluster::OnPlaceGranted() {
  bool place = true;
  while (place) {
    Waiter* waiter = PopWaiter();
    if (waiter == nullptr) {
      ReturnPlace(/*claimed=*/false);
      return;
    }
    waiter->place = true;
    ++granted_;
    waiter->ready.Set();
    place = first_waiter_ != nullptr && NeedsPlace() && SeekPlace();
  }
}

void Cluster::CloseResting(PooledConnection& connection) {
  connection.OnConnectionUnusable(*connection.connection);
  connection.connection->Close();
}

}  // namespace portico::upstream
