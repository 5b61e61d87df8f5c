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

bool Cluster::GiveUp(PooledConnection& connection) {
  if (connection.connection->open_streams() > 0 || !limits_->connections.Claim()) return false;
  connection.claimed = true;
  ++giving_up_;
  context_.metrics.upstream_connections_given_up_total.Add();
  CloseResting(connection);
  return true;
}

void Cluster::OnPlaceSought() {
  if (!limits_->connections.sought() || !HasSurplus()) return;
  PooledConnection* oldest = nullptr;
  for (const auto& host : hosts_) {
    for (PooledConnection* front : host->available) {
      if (front->connection->open_streams() > 0) continue;  // HTTP/2.
      if (oldest == nullptr || front->idle_since < oldest->idle_since) oldest = front;
      break;
    }
  }
  // Those that are in use are looked at when their exchange ends.
  if (oldest != nullptr) GiveUp(*oldest);
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
