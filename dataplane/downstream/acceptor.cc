#include "dataplane/downstream/acceptor.h"

#include <errno.h>
#include <sys/socket.h>

#include <memory>
#include <utility>

#include "dataplane/base/check.h"
#include "dataplane/downstream/opening_connection.h"

namespace portico::downstream {
namespace {

// How long accepting rests when there are no descriptors.
constexpr int64_t kRetryPause = 50 * base::kNanosPerMilli;

bool NoDescriptors(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

Acceptor::Acceptor(event::Loop& loop, int listen_fd, AcceptorOptions options,
                   http::ExchangeHandler& handler, ConnectionObserver& observer)
    : context_{.loop = loop,
               .handler = handler,
               .observer = observer,
               .owner = *this,
               .options = options.connection,
               .tls = std::move(options.tls),
               .listener_id = options.listener_id,
               .listener_name = {},
               .date = {},
               .arenas = {}},
      listen_fd_(listen_fd),
      max_connections_(options.max_connections),
      max_process_connections_(options.max_process_connections),
      group_(options.group != nullptr
                 ? std::move(options.group)
                 : std::make_shared<AcceptGroup>(std::make_shared<WorkerLoads>(1))),
      worker_(options.worker),
      listener_name_(std::move(options.listener_name)) {
  context_.listener_name = listener_name_;
  accept_.fd = listen_fd;
  accept_.context = this;
  accept_.on_complete = &OnAccept;
  retry_.context = this;
  retry_.on_fire = &OnRetry;
}

Acceptor::~Acceptor() {
  if (!started_) CloseListenSocket();
  PORTICO_CHECK(ended());
}

void Acceptor::Start() {
  started_ = accepting_ = true;
  group_->Open(worker_, context_.loop, *this);
  context_.loop.engine().StartAccept(accept_);
}

void Acceptor::StopAccepting() {
  accepting_ = false;
  group_->Close(worker_);
  context_.loop.timers().Disarm(retry_);
  if (!started_) {
    CloseListenSocket();
  } else {
    EndAccept();
  }
}

void Acceptor::EndAccept() {
  if (listen_fd_ < 0) return;
  if (!accept_.pending()) context_.loop.engine().StartAccept(accept_);
  context_.loop.engine().Cancel(accept_);
}

void Acceptor::Drain() {
  draining_ = true;
  StopAccepting();
  for (ServerConnection* c = connections_; c != nullptr; c = c->next) c->Drain();
}

void Acceptor::ForceClose(const absl::Status& reason) {
  draining_ = forced_ = true;
  StopAccepting();
  for (ServerConnection* c = connections_; c != nullptr; c = c->next) c->ForceClose(reason);
}

size_t Acceptor::idle_connections() const {
  size_t idle = 0;
  for (const ServerConnection* c = connections_; c != nullptr; c = c->next) idle += c->idle();
  return idle;
}

void Acceptor::OnAccept(event::Operation& op) {
  Acceptor& self = *static_cast<Acceptor*>(op.context);
  const int32_t result = op.result();
  if (result >= 0) {
    self.Accepted(result, net::SocketAddress::FromSockaddr(self.accept_.peer));
  } else if (self.accepting_ && result != -ECONNABORTED) {
    // Without descriptors the connection stays in the kernel's queue: asking again at
    // once would spin.
    if (NoDescriptors(-result)) self.context_.observer.OnConnectionRefused("no_descriptors");
    self.context_.loop.timers().Arm(self.retry_, self.context_.loop.now() + kRetryPause);
    return;
  }
  if (self.accepting_) {
    self.context_.loop.engine().StartAccept(self.accept_);
  } else if (result >= 0) {
    self.EndAccept();
  } else {
    self.CloseListenSocket();
  }
}

void Acceptor::OnRetry(event::Timer& timer) {
  Acceptor& self = *static_cast<Acceptor*>(timer.context);
  if (self.accepting_ && !self.accept_.pending())
    self.context_.loop.engine().StartAccept(self.accept_);
}

void Acceptor::Accepted(int fd, const net::SocketAddress& peer) {
  if (forced_) {
    context_.loop.engine().Close(fd);
    return;
  }
  if (const std::string_view refused = TakePlaces(); !refused.empty()) {
    context_.observer.OnConnectionRefused(refused);
    context_.loop.engine().Close(fd);
    return;
  }
  if (group_->HandOver(worker_, fd, peer)) {
    context_.observer.OnConnectionHandedOver();
  } else {
    Serve(fd, peer);
  }
}

void Acceptor::TakeHandedOver(int fd, const net::SocketAddress& peer) {
  if (forced_) {
    context_.loop.engine().Close(fd);
    ReturnPlaces();
  } else {
    Serve(fd, peer);
  }
  group_->Arrived(worker_);
}

std::string_view Acceptor::TakePlaces() {
  if (!group_->TakePlace(max_connections_)) return "max_connections";
  if (group_->loads().TakePlace(max_process_connections_)) return {};
  group_->ReturnPlace(max_connections_);
  return "max_process_connections";
}

void Acceptor::ReturnPlaces() {
  group_->Ended(worker_);
  group_->ReturnPlace(max_connections_);
  group_->loads().ReturnPlace(max_process_connections_);
}

bool Acceptor::CountAddress(ServerConnection& connection, const net::IpAddress& address) {
  const uint32_t max = context_.options.max_connections_per_address;
  if (max == 0) return true;
  if (!group_->addresses().Take(address, max)) {
    context_.observer.OnConnectionRefused("max_connections_per_address");
    return false;
  }
  connection.counted_address = address;
  return true;
}

void Acceptor::Serve(int fd, const net::SocketAddress& peer) {
  ++accepted_;
  std::unique_ptr<net::ByteStream> stream = net::MakeTcpStream(context_.loop, fd);
  auto connection = std::make_unique<OpeningConnection>(context_, std::move(stream), peer);
  // Behind a balancer, who the client is comes with its PROXY header.
  if (!context_.options.proxy_protocol && !CountAddress(*connection, peer.ip)) {
    ReturnPlaces();
    return;
  }
  ++count_;
  context_.observer.OnConnectionOpened();
  Hold(std::move(connection));
}

void Acceptor::Hold(std::unique_ptr<ServerConnection> owned) {
  // owned: by this list, until LetGo().
  ServerConnection* connection = owned.release();
  connection->next = connections_;
  if (connections_ != nullptr) connections_->previous = connection;
  connections_ = connection;
  // First: it may answer its first request before Start() returns.
  if (draining_) connection->Drain();
  connection->Start();
}

void Acceptor::OnConnectionReplaced(ServerConnection& from, std::unique_ptr<ServerConnection> to) {
  to->counted_address = from.counted_address;
  LetGo(from);
  Hold(std::move(to));
}

void Acceptor::LetGo(ServerConnection& connection) {
  if (connection.next != nullptr) connection.next->previous = connection.previous;
  if (connection.previous != nullptr) {
    connection.previous->next = connection.next;
  } else {
    connections_ = connection.next;
  }
  const std::unique_ptr<ServerConnection> owned(&connection);
}

void Acceptor::CloseListenSocket() {
  if (listen_fd_ < 0) return;
  const int listen_fd = std::exchange(listen_fd_, -1);
  while (started_ && !forced_) {
    sockaddr_storage peer = {};
    socklen_t length = sizeof(peer);
    const int fd = ::accept4(listen_fd, reinterpret_cast<sockaddr*>(&peer), &length,
                             SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) break;
    Accepted(fd, net::SocketAddress::FromSockaddr(peer));
  }
  context_.loop.engine().Close(listen_fd);
}

void Acceptor::OnConnectionEnded(ServerConnection& connection) {
  if (connection.counted_address) group_->addresses().Return(*connection.counted_address);
  LetGo(connection);
  --count_;
  ReturnPlaces();
  context_.observer.OnConnectionClosed();
}

}  // namespace portico::downstream
