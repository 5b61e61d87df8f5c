// Accepts connections of one listening socket on one worker and holds them.
#ifndef DATAPLANE_DOWNSTREAM_ACCEPTOR_H_
#define DATAPLANE_DOWNSTREAM_ACCEPTOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "dataplane/downstream/accept_group.h"
#include "dataplane/downstream/connection.h"
#include "dataplane/downstream/server_context.h"
#include "dataplane/event/loop.h"
#include "dataplane/event/operation.h"
#include "dataplane/event/timer.h"
#include "dataplane/http/handler.h"
#include "dataplane/net/address.h"

namespace portico::downstream {

struct AcceptorOptions {
  uint32_t listener_id = 0;
  std::string listener_name;
  ConnectionOptions connection;
  // Ends TLS; nullptr: cleartext.
  std::shared_ptr<const tls::ServerContext> tls = nullptr;
  // Connections open at once, of all of `group`; above, new ones are closed at once.
  // 0: no limit.
  uint32_t max_connections = 0;
  // The same for all listeners of the process.
  uint32_t max_process_connections = 0;
  // The acceptors that even out their connections, and the place of this one, below the
  // number of workers. nullptr: it is alone.
  std::shared_ptr<AcceptGroup> group;
  size_t worker = 0;
};

// Owned by one worker; everything on its thread. Life: Start(), then Drain() or
// ForceClose(), run the loop until ended(), destroy.
class Acceptor final : public ConnectionOwner {
 public:
  // Takes `listen_fd`, a listening non-blocking socket. `loop`, `handler` and
  // `observer` outlive it.
  Acceptor(event::Loop& loop, int listen_fd, AcceptorOptions options,
           http::ExchangeHandler& handler, ConnectionObserver& observer);
  // Aborts unless ended() or never started.
  ~Acceptor() override;
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  void Start();
  // New limits: connections heed them from their next request on.
  void SetConnectionOptions(const ConnectionOptions& options) { context_.options = options; }
  // For handshakes that begin from now on; connections that are open stay as they are.
  void SetTls(std::shared_ptr<const tls::ServerContext> tls) { context_.tls = std::move(tls); }
  // Ends accepting; connections that are open stay as they are.
  void StopAccepting();
  // Also lets every connection end at its next rest.
  void Drain();
  // Also ends every connection now.
  void ForceClose(const absl::Status& reason);
  // Nothing is accepted and no connection is left.
  bool ended() const {
    return !accepting_ && listen_fd_ < 0 && count_ == 0 && group_->quiet(worker_);
  }

  size_t connections() const { return count_; }
  // Those with no exchange. Walks the list.
  size_t idle_connections() const;
  uint64_t accepted() const { return accepted_; }

  void OnConnectionEnded(ServerConnection& connection) override;
  void OnConnectionReplaced(ServerConnection& from, std::unique_ptr<ServerConnection> to) override;
  bool CountAddress(ServerConnection& connection, const net::IpAddress& address) override;
  // A connection that another worker has accepted. It is served whatever the state:
  // nobody else knows of it.
  void TakeHandedOver(int fd, const net::SocketAddress& peer);

 private:
  static void OnAccept(event::Operation& op);
  static void OnRetry(event::Timer& timer);
  // Cancels the accept, again after each connection that it brings all the same, until
  // the engine has no more.
  void EndAccept();
  void Accepted(int fd, const net::SocketAddress& peer);
  // A place of the listener and one of the process, or why there is none.
  std::string_view TakePlaces();
  // One that this worker was to serve, or has served, is no more.
  void ReturnPlaces();
  void Serve(int fd, const net::SocketAddress& peer);
  // The list takes it and starts it.
  void Hold(std::unique_ptr<ServerConnection> connection);
  // Out of the list, and destroyed.
  void LetGo(ServerConnection& connection);
  // Takes what the kernel has accepted already, then closes the socket: closing it
  // alone would reset those connections.
  void CloseListenSocket();

  // Owned by this worker.
  ServerContext context_;
  int listen_fd_;
  const uint32_t max_connections_;
  const uint32_t max_process_connections_;
  const std::shared_ptr<AcceptGroup> group_;
  const size_t worker_;
  const std::string listener_name_;
  bool started_ = false;
  bool accepting_ = false;
  bool draining_ = false;
  bool forced_ = false;
  event::AcceptOperation accept_;
  // Armed while there are no descriptors.
  event::Timer retry_;
  ServerConnection* connections_ = nullptr;
  size_t count_ = 0;
  uint64_t accepted_ = 0;
};

}  // namespace portico::downstream

#endif  // DATAPLANE_DOWNSTREAM_ACCEPTOR_H_
