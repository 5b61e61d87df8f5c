// What the admin endpoint says, without the network.
#ifndef DATAPLANE_SERVER_ADMIN_PAGES_H_
#define DATAPLANE_SERVER_ADMIN_PAGES_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/snapshot/snapshot.h"
#include "prometheus/collectable.h"

namespace portico::server {

// What the admin endpoint needs from the proxy. Thread-safe.
class AdminHooks {
 public:
  virtual ~AdminHooks() = default;
  // A complete revision is live on all workers, and no drain has begun.
  virtual bool Ready() const = 0;
  // nullptr before the first revision.
  virtual std::shared_ptr<const snapshot::Snapshot> Live() const = 0;
  // Begins to drain; returns at once. May be called again.
  virtual void RequestDrain() = 0;
};

struct AdminRequest {
  std::string method, path;
  // Header fields; nullopt if absent.
  std::optional<std::string> host, origin;
  // Query parameters of /config; nullopt if absent.
  std::optional<std::string> kind, name;
};

struct AdminResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string allow;  // Of a 405
  std::string body;
};

// Answers one request; docs/admin.md lists them. Thread-safe.
class AdminPages {
 public:
  // `hooks` must outlive it.
  AdminPages(AdminHooks& hooks,
             std::vector<std::shared_ptr<const prometheus::Collectable>> collectables)
      : hooks_(hooks), collectables_(std::move(collectables)) {}

  AdminResponse Answer(const AdminRequest& request) const;

 private:
  AdminResponse Ready() const;
  AdminResponse Metrics() const;
  AdminResponse Config(const AdminRequest& request) const;
  AdminResponse Drain() const;

  AdminHooks& hooks_;
  const std::vector<std::shared_ptr<const prometheus::Collectable>> collectables_;
};

// True for a Host field that names this machine by loopback: "localhost",
// "127.0.0.1", "[::1]", each with or without a port.
bool IsLoopbackHost(const std::string& host);

}  // namespace portico::server

#endif  // DATAPLANE_SERVER_ADMIN_PAGES_H_
