#include "dataplane/server/listener_table.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "dataplane/net/await.h"
#include "dataplane/net/listen.h"

namespace portico::server {
namespace {

// Whether somebody else listens there. The workers' sockets share their port
// (SO_REUSEPORT), which would also share it with another process of this user that
// does the same: each would get a part of the connections, and nobody would know.
absl::Status CheckFree(const net::SocketAddress& address) {
  sockaddr_storage storage = {};
  const socklen_t length = address.ToSockaddr(storage);
  const int fd = ::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return net::ErrnoStatus(errno, "socket");
  // Leaves alone what is merely left over from closed connections.
  const int one = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (address.ip.is_v6()) ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
  const bool taken = ::bind(fd, reinterpret_cast<const sockaddr*>(&storage), length) != 0;
  const int error = errno;
  ::close(fd);
  // Other errors come again, with a better message, when it is bound for good.
  return taken && error == EADDRINUSE ? net::ErrnoStatus(error, "bind") : absl::OkStatus();
}

// One socket for each worker on the same port.
absl::Status BindAll(const net::SocketAddress& wanted, size_t workers,
                     ListenerPlan::Listener& listener) {
  net::SocketAddress address = wanted;
  for (size_t i = 0; i < workers; ++i) {
    absl::StatusOr<int> fd = net::Listen(address, {.reuse_port = true});
    if (!fd.ok()) return fd.status();
    listener.sockets.push_back(*fd);
    // The first one fixes the port for the others.
    absl::StatusOr<net::SocketAddress> local = net::LocalAddress(*fd);
    if (!local.ok()) return local.status();
    address = *local;
  }
  listener.bound = address;
  return absl::OkStatus();
}

v1::Violation BindViolation(const std::string& name, const net::SocketAddress& address,
                            const absl::Status& status) {
  v1::Violation violation;
  violation.mutable_resource()->set_kind("Listener");
  violation.mutable_resource()->set_name(name);
  violation.set_field("spec.address");
  violation.set_value(address.ToString());
  violation.set_reason(absl::StrCat("this proxy cannot listen there: ", status.message()));
  violation.set_fix(
      "choose a free address of the machine, or start the proxy with --listener-address");
  return violation;
}

}  // namespace

ListenerTable::ListenerTable(size_t workers, std::map<std::string, net::SocketAddress> overrides)
    : workers_(workers),
      loads_(std::make_shared<downstream::WorkerLoads>(workers)),
      overrides_(std::move(overrides)) {}

uint32_t ListenerTable::IdFor(const std::string& name) {
  return ids_.try_emplace(name, static_cast<uint32_t>(ids_.size())).first->second;
}

// A listener may take over the address of another one of ours.
bool ListenerTable::HoldsPort(uint16_t port) const {
  for (const auto& [name, bound] : bound_) {
    if (bound.bound.port == port) return true;
  }
  return false;
}

bool ListenerTable::Prepare(const snapshot::Snapshot& snapshot, ListenerPlan& plan,
                            std::vector<v1::Violation>& violations) {
  std::map<std::string, Bound> gone = bound_;
  for (const auto& entry : snapshot.listeners) {
    ListenerPlan::Listener listener;
    listener.id = IdFor(entry->name);
    listener.entry = entry;
    const auto overridden = overrides_.find(entry->name);
    const net::SocketAddress wanted =
        overridden != overrides_.end() ? overridden->second : entry->address;
    gone.erase(entry->name);
    const auto before = bound_.find(entry->name);
    if (before != bound_.end() && before->second.wanted == wanted) {
      listener.bound = before->second.bound;
    } else {
      absl::Status status = HoldsPort(wanted.port) ? absl::OkStatus() : CheckFree(wanted);
      if (status.ok()) status = BindAll(wanted, workers_, listener);
      if (!status.ok()) violations.push_back(BindViolation(entry->name, wanted, status));
      listener.group = std::make_shared<downstream::AcceptGroup>(loads_);
    }
    plan.listeners.push_back(std::move(listener));
  }
  for (const auto& [name, bound] : gone) plan.removed.push_back(bound.id);
  plan.ids = static_cast<uint32_t>(ids_.size());
  if (violations.empty()) return true;
  Discard(plan);
  return false;
}

void ListenerTable::Commit(const ListenerPlan& plan) {
  std::map<std::string, Bound> now;
  for (const ListenerPlan::Listener& listener : plan.listeners) {
    const std::string& name = listener.entry->name;
    const auto overridden = overrides_.find(name);
    now[name] = {listener.id,
                 overridden != overrides_.end() ? overridden->second : listener.entry->address,
                 listener.bound};
  }
  bound_ = std::move(now);
}

void ListenerTable::Discard(ListenerPlan& plan) {
  for (ListenerPlan::Listener& listener : plan.listeners) {
    for (const int fd : listener.sockets) ::close(fd);
    listener.sockets.clear();
  }
}

std::vector<std::pair<std::string, net::SocketAddress>> ListenerTable::Addresses() const {
  std::vector<std::pair<std::string, net::SocketAddress>> addresses;
  for (const auto& [name, bound] : bound_) addresses.emplace_back(name, bound.bound);
  return addresses;
}

}  // namespace portico::server
