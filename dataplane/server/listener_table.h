// Listening sockets across revisions.
#ifndef DATAPLANE_SERVER_LISTENER_TABLE_H_
#define DATAPLANE_SERVER_LISTENER_TABLE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/portico/v1/resource.pb.h"
#include "dataplane/downstream/accept_group.h"
#include "dataplane/net/address.h"
#include "dataplane/snapshot/snapshot.h"

namespace portico::server {

// What a revision means for listening. Sockets in it are open and owned by it
// until Commit() or Discard().
struct ListenerPlan {
  struct Listener {
    // Stable for a name as long as the process runs.
    uint32_t id = 0;
    std::shared_ptr<const snapshot::ListenerEntry> entry;
    // One for each worker if the listener is new or has moved; else empty: workers
    // go on with the sockets they have.
    std::vector<int> sockets;
    // The workers' acceptors of these sockets; nullptr without sockets.
    std::shared_ptr<downstream::AcceptGroup> group;
    net::SocketAddress bound;
  };
  std::vector<Listener> listeners;
  // Listeners of the revision before that this one does not have.
  std::vector<uint32_t> removed;
  // One more than the highest id ever given.
  uint32_t ids = 0;
};

// Binds before anybody switches, so that a revision that cannot be served is
// refused as a whole. Used by the configuration thread only.
class ListenerTable {
 public:
  // `overrides`: addresses to use instead of the configured ones, by name.
  ListenerTable(size_t workers, std::map<std::string, net::SocketAddress> overrides);

  // Binds what is new. False: `violations` says which address is not to be had and
  // why; nothing is left open.
  bool Prepare(const snapshot::Snapshot& snapshot, ListenerPlan& plan,
               std::vector<v1::Violation>& violations);
  // The plan is in force; its sockets belong to the workers.
  void Commit(const ListenerPlan& plan);
  // Closes the plan's sockets.
  static void Discard(ListenerPlan& plan);

  // Name and address, with the ports that the kernel chose, of what is in force.
  std::vector<std::pair<std::string, net::SocketAddress>> Addresses() const;

 private:
  struct Bound {
    uint32_t id = 0;
    net::SocketAddress wanted;
    net::SocketAddress bound;
  };
  uint32_t IdFor(const std::string& name);
  bool HoldsPort(uint16_t port) const;

  const size_t workers_;
  const std::shared_ptr<downstream::WorkerLoads> loads_;
  const std::map<std::string, net::SocketAddress> overrides_;
  std::map<std::string, uint32_t> ids_;
  std::map<std::string, Bound> bound_;  // In force.
};

}  // namespace portico::server

#endif  // DATAPLANE_SERVER_LISTENER_TABLE_H_
