// A connection in a pool, and the hold that one exchange has on it.
#ifndef DATAPLANE_UPSTREAM_POOLED_CONNECTION_H_
#define DATAPLANE_UPSTREAM_POOLED_CONNECTION_H_

#include <cstddef>
#include <memory>
#include <utility>

#include "dataplane/base/clock.h"
#include "dataplane/http/stream.h"
#include "dataplane/upstream/client_connection.h"
#include "dataplane/upstream/host.h"

namespace portico::upstream {

class Cluster;

// Ties a ClientConnection to its host. Owned by the cluster.
class PooledConnection final : public ClientConnectionOwner {
 public:
  PooledConnection(Cluster& cluster, Host& host) : cluster(cluster), host(host) {}
  void OnConnectionUnusable(ClientConnection& connection) override;
  void OnConnectionRoom(ClientConnection& connection) override;
  void OnConnectionEnded(ClientConnection& connection) override;

  Cluster& cluster;
  Host& host;
  std::unique_ptr<ClientConnection> connection;
  size_t index = 0;          // In the cluster's list.
  bool available = false;    // In the host's list.
  bool multiplexed = false;  // HTTP/2. Constant once it is open.
  // Where an exchange that waits for it keeps its pointer, between being promised
  // to it and being taken; nulled if the connection ends first.
  PooledConnection** promised_to = nullptr;
  base::MonotonicNanos idle_since = 0;
  // It ends so that another worker may open one, and that one counts on it
  // (ConnectionPlaces::Claim()), unless requests on it may take long.
  bool given_up = false;
  bool claimed = false;
};

// One exchange's hold on a connection: gives it back, or ends it, when destroyed.
// Movable.
class Lease {
 public:
  Lease() = default;
  Lease(PooledConnection* connection, http::ClientStream* stream, bool reused)
      : connection_(connection), stream_(stream), reused_(reused) {}
  Lease(Lease&& other) noexcept
      : connection_(std::exchange(other.connection_, nullptr)),
        stream_(std::exchange(other.stream_, nullptr)),
        reused_(other.reused_) {}
  Lease& operator=(Lease&& other) noexcept {
    if (this != &other) {
      End();
      connection_ = std::exchange(other.connection_, nullptr);
      stream_ = std::exchange(other.stream_, nullptr);
      reused_ = other.reused_;
    }
    return *this;
  }
  ~Lease() { End(); }

  explicit operator bool() const { return connection_ != nullptr; }
  http::ClientStream& stream() const { return *stream_; }
  Host& host() const { return connection_->host; }
  // The connection served exchanges before.
  bool reused() const { return reused_; }
  // No function of the stream may be waiting.
  void End();

 private:
  PooledConnection* connection_ = nullptr;
  http::ClientStream* stream_ = nullptr;
  bool reused_ = false;
};

}  // namespace portico::upstream

#endif  // DATAPLANE_UPSTREAM_POOLED_CONNECTION_H_
