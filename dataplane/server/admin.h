// The admin endpoint.
#ifndef DATAPLANE_SERVER_ADMIN_H_
#define DATAPLANE_SERVER_ADMIN_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/net/address.h"
#include "dataplane/server/admin_pages.h"
#include "prometheus/collectable.h"

namespace portico::server {

// Serves AdminPages over HTTP/1.1 on threads of its own, far from the workers. Only
// on loopback: who may log in to the machine may look and drain, nobody else.
class AdminServer {
 public:
  // Port 0 takes a free one. `collectables` are what /metrics shows, together with
  // the process_* metrics, which are always there. `hooks` must outlive the server.
  // Errors: InvalidArgument for an address that is not loopback; Unavailable, with
  // the reason, when it cannot be listened on.
  static absl::StatusOr<std::unique_ptr<AdminServer>> Start(
      const net::SocketAddress& address, AdminHooks& hooks,
      std::vector<std::shared_ptr<const prometheus::Collectable>> collectables);
  // Stop().
  virtual ~AdminServer() = default;

  // With the port that was taken.
  virtual net::SocketAddress address() const = 0;
  // Finishes requests that are being answered. No hook is called afterwards.
  virtual void Stop() = 0;
};

}  // namespace portico::server

#endif  // DATAPLANE_SERVER_ADMIN_H_
