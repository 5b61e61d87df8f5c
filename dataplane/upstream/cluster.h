// One upstream, as one worker sees it: its endpoints and their connections.
#ifndef DATAPLANE_UPSTREAM_CLUSTER_H_
#define DATAPLANE_UPSTREAM_CLUSTER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "dataplane/base/arena.h"
#include "dataplane/event/await.h"
#include "dataplane/event/cancel.h"
#include "dataplane/event/loop.h"
#include "dataplane/event/task.h"
#include "dataplane/http/stream.h"
#include "dataplane/net/byte_stream.h"
#include "dataplane/observe/worker_metrics.h"
#include "dataplane/snapshot/snapshot.h"
#include "dataplane/upstream/balancer.h"
#include "dataplane/upstream/connection_places.h"
#include "dataplane/upstream/host.h"
#include "dataplane/upstream/limits.h"
#include "dataplane/upstream/pooled_connection.h"
#include "dataplane/upstream/random.h"
#include "dataplane/upstream/subset.h"

namespace portico::upstream {

// What clusters of one worker share. All outlive them.
struct ClusterContext {
  event::Loop& loop;
  observe::WorkerMetrics& metrics;
  Random& random;
  LimitRegistry& limits;
  // Which worker it is, of how many that share the limits and the endpoints.
  uint32_t worker = 0;
  uint32_t workers = 1;
  // Differs from process to process and is the same after a restart: RingKey().
  uint64_t subset_seed = 0;
  // As H2ClientOptions::memory_scarce.
  const bool* memory_scarce = nullptr;
};

// Why there is no connection.
enum class AcquireError : uint8_t {
  kNone,
  kNoHealthyHost,   // None is listed, or all are ejected.
  kOverloaded,      // A circuit breaker is open.
  kConnectFailed,   // Refused, unreachable, reset while connecting.
  kConnectTimeout,  // The upstream's connect_timeout passed.
  kTlsFailed,       // The handshake failed, or its outcome is not what the upstream is to speak.
  kCancelled,       // The exchange's scope was requested; its reason says why.
};

// The result of asking for a connection.
struct Acquired {
  Lease lease;  // Valid if error is kNone.
  AcquireError error = AcquireError::kNone;
  // With kConnectFailed and kTlsFailed, for people: the errno, or what is wrong with whose
  // certificate.
  absl::Status detail;
  // The endpoint that was tried; nullptr if none was.
  Host* host = nullptr;
};

// A connection on its way that will take several requests.
struct Opening {
  explicit Opening(event::Loop& loop) : ended(loop) {}
  event::Event ended;
  // How many more may wait for it.
  uint32_t room = 0;
  // Once it has ended: why there is none; kNone: there is, or who waits looks again.
  AcquireError error = AcquireError::kNone;
  absl::Status detail;
};

// Owned by a ClusterManager; its worker's thread only.
class Cluster final : private PlaceMember {
 public:
  Cluster(ClusterContext& context, std::shared_ptr<const snapshot::UpstreamEntry> entry);
  // Nothing may be in use (idle() and connections() is 0; checked).
  ~Cluster() override;
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  // Takes another revision's content. Endpoints that stay keep their connections
  // and their state; the connections of those that go end with their exchange, as do all
  // where another protocol or other TLS is spoken from now on.
  void Update(std::shared_ptr<const snapshot::UpstreamEntry> entry);
  const std::shared_ptr<const snapshot::UpstreamEntry>& entry() const { return entry_; }

  // The usual case, without waiting: chooses an endpoint (by preference not
  // `avoid`) and takes a connection at rest. False: `out` holds an error, or, with
  // kNone, the chosen host, and AcquireSlow() must be awaited with it.
  bool TryAcquire(event::CancelScope& scope, base::Arena& arena, const Host* avoid, Acquired& out);
  // Opens a connection to the host that TryAcquire() chose, or waits for one when
  // there are as many as allowed.
  event::Task<Acquired> AcquireSlow(event::CancelScope& scope, base::Arena& arena, Host* host);

  // The outcome of an exchange with `host`: a 5xx response, a reset, ... or not.
  void Report(Host& host, bool success);

  // Closes connections that have rested longer than the idle timeout, and forgets
  // endpoints that are no longer listed nor used.
  void CloseIdle(base::MonotonicNanos now);
  // Ends all connections at rest, and the others after their exchange.
  void Close();
  // No exchange is open, none waits.
  bool idle() const { return allowance_.in_flight() == 0; }
  // Open ones, and places that another worker has left to this one and that are on their way.
  size_t connections() const { return connections_.size() + seat_->on_the_way(); }
  // When something was last asked of it.
  base::MonotonicNanos last_used() const { return last_used_; }
  const std::vector<std::unique_ptr<Host>>& hosts() const { return hosts_; }
  ClusterContext& context() { return context_; }

 private:
  friend class Lease;
  friend class PooledConnection;

  // Waits for a connection of any host to be free, or for room to open one.
  struct Waiter {
    explicit Waiter(event::Loop& loop) : ready(loop) {}
    event::Event ready;
    PooledConnection* connection = nullptr;
    bool place = false;  // It may open one: the place is taken.
    Waiter* next = nullptr;
  };

  // What a connection is made of: bytes, and what is spoken over them.
  struct Transport {
    std::unique_ptr<net::ByteStream> stream;  // nullptr: there is an error.
    bool http2 = false;
    AcquireError error = AcquireError::kNone;
    absl::Status detail;
  };
  // TCP and TLS, within the connect timeout. Not the scope's fault: kConnectTimeout.
  event::Task<Transport> OpenTransport(event::CancelScope& scope, const Host& host,
                                       const snapshot::UpstreamEntry& entry);
  event::Task<Acquired> Connect(event::CancelScope& scope, base::Arena& arena, Host* host);
  // The connection over `transport`, in the cluster's list.
  PooledConnection& AddConnection(Host& host, Transport transport, bool secure);
  // Waits for connections of `host` that others open. True: `out` is the answer.
  event::Task<bool> ShareOpening(event::CancelScope& scope, base::Arena& arena, Host& host,
                                 Acquired& out);
  // Takes one that can take more of this endpoint.
  bool OpenAvailable(Host& host, event::CancelScope& scope, base::Arena& arena, Acquired& out);
  // At the end of the line, or in front for one that was woken and found nothing.
  event::Task<absl::Status> WaitForConnection(event::CancelScope& scope, bool in_front,
                                              PooledConnection** promised, bool* place);
  // Takes a connection at rest of any endpoint: there may be as many as allowed.
  bool OpenResting(event::CancelScope& scope, base::Arena& arena, Acquired& out);
  // The request counts for the host whose connection it got.
  static void MoveRequest(Host& from, Host& to);
  // One more connection may be opened.
  void WakeForRoom();
  bool OpenOn(PooledConnection& connection, event::CancelScope& scope, base::Arena& arena,
              Acquired& out);
  void ReturnRequest(Host& host);
  void Offer(PooledConnection& connection);
  // For HTTP/2: there may be room for more requests.
  void OfferShared(PooledConnection& connection);
  void MakeAvailable(PooledConnection& connection);
  void RemoveWaiter(Waiter& waiter);
  Waiter* PopWaiter();
  void DropConnection(PooledConnection& connection);
  void DropUnlistedHosts();
  // The endpoints that are listed, to choose from.
  void SetSubset();
  void MakeBalancer();

  // One of the process's places for a connection.
  bool TakePlace();
  // A connection has ended, or was not opened. `claimed`: see PooledConnection.
  void ReturnPlace(bool claimed);
  // Less than a quarter of an even share of the places, and always when there is none: it
  // may ask other workers for one instead of waiting for its own.
  bool NeedsPlace() const;
  // More than an even share. When all places are taken and somebody needs one, somebody has.
  bool HasSurplus() const;
  // Asks the other workers. True if a place was free after all, and is taken.
  bool SeekPlace();
  // Ends a connection so that another worker may open one: now if it is at rest, or as soon as the
  // requests on it have ended (HTTP/2). False if that is not needed any more, or the connection
  // cannot be spared.
  bool GiveUp(PooledConnection& connection);
  // Of one that is in use. At most one at a time takes no more requests for the sake of others.
  bool CanSpare(const PooledConnection& connection) const;
  void OnPlaceSought() override;
  void OnPlaceGranted() override;
  static void CloseResting(PooledConnection& connection);

  ClusterContext& context_;
  std::shared_ptr<const snapshot::UpstreamEntry> entry_;
  std::shared_ptr<SharedLimits> limits_;
  std::shared_ptr<ConnectionPlaces::Seat> seat_;
  RequestAllowance allowance_;
  std::vector<std::unique_ptr<Host>> hosts_;
  Subset subset_;
  std::unique_ptr<Balancer> balancer_;
  size_t balanced_ = 0;  // Endpoints in it.
  std::vector<std::unique_ptr<PooledConnection>> connections_;
  size_t giving_up_ = 0;  // Of them, on their way out for other workers.
  size_t opening_ = 0;  // Connections that are being opened.
  size_t granted_ = 0;  // Waiters with a place that have not run yet.
  Waiter* first_waiter_ = nullptr;
  Waiter* last_waiter_ = nullptr;
  base::MonotonicNanos last_used_ = 0;
  // Connections may take several requests at a time.
  bool multiplexes_ = false;
  bool closing_ = false;
};

}  // namespace portico::upstream

#endif  // DATAPLANE_UPSTREAM_CLUSTER_H_
