#include "dataplane/upstream/pooled_connection.h"

#include <algorithm>

#include "dataplane/upstream/cluster.h"

namespace portico::upstream {

void PooledConnection::OnConnectionUnusable(ClientConnection& /*connection*/) {
  if (!available) return;
  available = false;
  auto& list = host.available;
  if (list.back() == this) {  // The usual case: the last one is taken.
    list.pop_back();
  } else {
    list.erase(std::find(list.begin(), list.end(), this));
  }
}

void PooledConnection::OnConnectionRoom(ClientConnection& /*connection*/) {
  cluster.OfferShared(*this);
}

void PooledConnection::OnConnectionEnded(ClientConnection& ended) {
  OnConnectionUnusable(ended);
  cluster.DropConnection(*this);
}

void Lease::End() {
  if (connection_ == nullptr) return;
  PooledConnection& connection = *std::exchange(connection_, nullptr);
  Cluster& cluster = connection.cluster;
  Host& host = connection.host;
  connection.connection->EndStream(std::exchange(stream_, nullptr));
  cluster.Offer(connection);
  cluster.ReturnRequest(host);
}

}  // namespace portico::upstream
