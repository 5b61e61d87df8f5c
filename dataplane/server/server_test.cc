#include "dataplane/server/server.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "api/resource/text.h"
#include "dataplane/net/listen.h"

namespace portico::server {
namespace {

constexpr int kTimeoutMillis = 10'000;

// A blocking client.
class Client {
 public:
  explicit Client(const net::SocketAddress& address) {
    sockaddr_storage storage = {};
    const socklen_t length = address.ToSockaddr(storage);
    fd_ = ::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&storage), length) == 0;
  }
  ~Client() { ::close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return connected_; }
  void Send(std::string_view bytes) {
    EXPECT_EQ(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  // A head and its Content-Length body; what came until then when the peer closes
  // first.
  std::string Response() {
    while (true) {
      const size_t head_end = buffer_.find("\r\n\r\n");
      if (head_end != std::string::npos) {
        const size_t at = buffer_.find("content-length: ");
        const size_t size = at < head_end ? std::stoul(buffer_.substr(at + 16)) : 0;
        const size_t end = head_end + 4 + size;
        if (buffer_.size() >= end) {
          std::string response = buffer_.substr(0, end);
          buffer_.erase(0, end);
          return response;
        }
      }
      if (!More()) return std::exchange(buffer_, "");
    }
  }
  std::string Get(std::string_view path) {
    Send(absl::StrCat("GET ", std::string(path), " HTTP/1.1\r\nHost: test\r\n\r\n"));
    return Response();
  }
  // The peer closes without another byte.
  bool Closes() { return !More() && buffer_.empty(); }

 private:
  bool More() {
    pollfd poll_fd{.fd = fd_, .events = POLLIN, .revents = 0};
    if (::poll(&poll_fd, 1, kTimeoutMillis) != 1) {
      ADD_FAILURE() << "nothing came";
      return false;
    }
    char bytes[4096];
    const ssize_t got = ::recv(fd_, bytes, sizeof(bytes), 0);
    if (got <= 0) return false;
    // Field names have no case.
    for (ssize_t i = 0; i < got; ++i) {
      buffer_.push_back(static_cast<char>(bytes[i] >= 'A' && bytes[i] <= 'Z' ? bytes[i] + 32 : bytes[i]));
    }
    return true;
  }

  int fd_ = -1;
  bool connected_ = false;
  std::string buffer_;
};

std::string Respond(std::string_view body) {
  return absl::StrCat("---\nkind: Route\nname: all\nspec: {match: {path: {prefix: /}}, respond: {status: 200, body: \"",
                      std::string(body), "\"}}\n");
}

std::string Listening(std::string_view name, std::string_view address) {
  return absl::StrCat("---\nkind: Listener\nname: ", std::string(name), "\nspec: {address: \"",
                      std::string(address), "\"}\n");
}

api::ResourceSet Parse(const std::string& yaml) {
  api::ResourceSet set;
  const auto resources = api::ParseResources(yaml, "test");
  EXPECT_TRUE(resources.ok()) << resources.status();
  if (!resources.ok()) return set;
  for (const v1::Resource& resource : *resources) set[api::KeyOf(resource)] = api::MakeStored(resource);
  return set;
}

bool Has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

class ServerTest : public testing::Test {
 protected:
  ServerTest() {
    options_.workers = 2;
    options_.drain_grace_nanos = 0;
    options_.drain_timeout_nanos = 10 * base::kNanosPerSecond;
  }

  void Start() {
    // clock: the loops of real threads wait for it.
    server_ = std::make_unique<Server>(options_, base::RealClock(), status_, ids_, *access_log_,
                                       snapshot::PolicyBuilders{});
    server_->OnListenersChanged([this](const auto& addresses) {
      const std::lock_guard lock(mutex_);
      addresses_ = {addresses.begin(), addresses.end()};
    });
    ASSERT_TRUE(server_->Start().ok());
  }
  Violations Offer(const std::string& yaml) {
    std::promise<Violations> applied;
    server_->Offer(++revision_, Parse(yaml), [&](Violations violations) { applied.set_value(std::move(violations)); });
    return applied.get_future().get();
  }
  void Apply(const std::string& yaml) {
    const Violations violations = Offer(yaml);
    for (const auto& violation : violations) ADD_FAILURE() << violation.DebugString();
  }
  net::SocketAddress AddressOf(const std::string& name = "http") {
    const std::lock_guard lock(mutex_);
    EXPECT_TRUE(addresses_.contains(name));
    return addresses_[name];
  }

  ServerOptions options_;
  observe::ProxyStatus status_;
  observe::MetricIds ids_{1000, 100};
  std::unique_ptr<observe::AccessLogService> access_log_ = observe::AccessLogService::Create(1 << 20);
  std::mutex mutex_;
  std::map<std::string, net::SocketAddress> addresses_;  // Guarded by mutex_.
  uint64_t revision_ = 0;
  std::unique_ptr<Server> server_;
};

const char kHttp[] = "kind: Listener\nname: http\nspec: {address: \"127.0.0.1:0\"}\n";

TEST_F(ServerTest, ARevisionIsLiveOnEveryWorkerOnceItIsSaidToBe) {
  Start();
  EXPECT_FALSE(server_->ready());
  EXPECT_EQ(server_->live(), nullptr);
  Apply(kHttp + Respond("v1"));
  EXPECT_TRUE(server_->ready());
  ASSERT_NE(server_->live(), nullptr);
  EXPECT_EQ(server_->live()->revision, 1u);
  EXPECT_EQ(status_.config_revision.load(), 1u);
  EXPECT_TRUE(status_.ready.load());
  EXPECT_EQ(status_.routes.load(), 1u);
  EXPECT_EQ(status_.upstreams.load(), 0u);

  // The kernel spreads connections over both workers.
  for (int i = 0; i < 64; ++i) {
    Client client(AddressOf());
    const std::string response = client.Get("/x");
    EXPECT_TRUE(Has(response, "http/1.1 200 ok\r\n")) << response;
    EXPECT_TRUE(response.ends_with("\r\n\r\nv1")) << response;
  }
  uint64_t sum = 0;
  for (const auto& metrics : server_->worker_metrics()) {
    EXPECT_GT(metrics->downstream_connections_total.value(), 0u);
    sum += metrics->requests_active_started.value();
  }
  EXPECT_EQ(server_->worker_metrics().size(), 2u);
  EXPECT_EQ(sum, 64u);
}

TEST_F(ServerTest, WhatTheWorkersHoldFollowsTheConnections) {
  Start();
  Apply(kHttp + Respond("v1"));
  const observe::WorkerObjects before = server_->CountObjects();
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(std::make_unique<Client>(AddressOf()));
    EXPECT_TRUE(clients.back()->Get("/").ends_with("v1"));
  }
  const observe::WorkerObjects open = server_->CountObjects();
  EXPECT_GE(open.frames, before.frames + 8);
  EXPECT_GE(open.timers, before.timers + 8);  // A connection rests with its idle timeout.
  clients.clear();
  observe::WorkerObjects after;
  do {
    after = server_->CountObjects();
  } while (after.frames > before.frames || after.timers > before.timers);
  EXPECT_EQ(after.frames, before.frames);
  EXPECT_EQ(after.timers, before.timers);
  EXPECT_EQ(after.downstream_buffers, before.downstream_buffers);
  EXPECT_EQ(after.upstream_buffers, before.upstream_buffers);
  server_->Drain();
  server_->WaitUntilDrained();
  EXPECT_EQ(server_->CountObjects().frames, 0u);
}

TEST_F(ServerTest, OpenConnectionsSeeTheNextRevisionAtTheirNextRequest) {
  Start();
  Apply(kHttp + Respond("v1"));
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 16; ++i) clients.push_back(std::make_unique<Client>(AddressOf()));
  for (int revision = 1; revision <= 5; ++revision) {
    const std::string body = absl::StrCat("v", revision);
    Apply(kHttp + Respond(body));
    for (auto& client : clients) EXPECT_TRUE(client->Get("/").ends_with(body));
  }
}

TEST_F(ServerTest, ARevisionThatIsRefusedChangesNothing) {
  Start();
  Apply(kHttp + Respond("good"));
  const auto live = server_->live();
  const int taken_fd = *net::Listen(*net::SocketAddress::Parse("127.0.0.1:0"));
  const std::string taken = net::LocalAddress(taken_fd)->ToString();
  const struct {
    std::string yaml;
    const char* kind;
    const char* field;
  } cases[] = {
      {kHttp + std::string("---\nkind: Route\nname: all\nspec: {match: {path: {prefix: /}}, upstreams: [{name: nobody}]}\n"),
       "Route", "spec.upstreams[0].name"},
      {kHttp + Respond("bad") + Listening("taken", taken), "Listener", "spec.address"},
      {std::string("kind: Listener\nname: http\nspec: {address: \"127.0.0.1:0\", access_log: log}\n") + Respond("bad") +
           "---\nkind: AccessLog\nname: log\nspec: {path: \"/no/such/folder/access.log\"}\n",
       "AccessLog", "spec.path"},
  };
  uint64_t refused = 0;
  for (const auto& c : cases) {
    const Violations violations = Offer(c.yaml);
    ASSERT_EQ(violations.size(), 1u) << c.yaml;
    EXPECT_EQ(violations[0].resource().kind(), c.kind);
    EXPECT_EQ(violations[0].field(), c.field);
    EXPECT_FALSE(violations[0].reason().empty());
    EXPECT_FALSE(violations[0].fix().empty());
    EXPECT_EQ(server_->live(), live);
    EXPECT_EQ(status_.config_rejected_total.value(), ++refused);
    EXPECT_TRUE(server_->ready());
    EXPECT_TRUE(Client(AddressOf()).Get("/").ends_with("good"));
  }
  ::close(taken_fd);
  // What was refused does not stand in the way of the next.
  Apply(kHttp + Respond("better") + Listening("taken", taken));
  EXPECT_TRUE(Client(AddressOf("taken")).Get("/").ends_with("better"));
}

TEST_F(ServerTest, AListenerThatMovesKeepsItsOldConnections) {
  Start();
  Apply(kHttp + Respond("v1"));
  const net::SocketAddress before = AddressOf();
  Client old(before);
  EXPECT_TRUE(old.Get("/").ends_with("v1"));
  Apply(Listening("http", "127.0.0.2:0") + Respond("v2"));
  EXPECT_NE(AddressOf(), before);
  EXPECT_TRUE(Client(AddressOf()).Get("/").ends_with("v2"));
  EXPECT_TRUE(old.Get("/").ends_with("v2"));
  EXPECT_FALSE(Client(before).connected());
}

// What was accepted at an earlier address of a listener belongs to it still.
TEST_F(ServerTest, AListenerThatMovedAndThenGoesEndsItsOldConnectionsToo) {
  Start();
  Apply(Listening("http", "127.0.0.1:0") + Respond("before"));
  Client old(AddressOf());
  EXPECT_TRUE(Has(old.Get("/"), "before"));
  Apply(Listening("http", "127.0.0.2:0") + Respond("after"));
  EXPECT_TRUE(Has(old.Get("/"), "after"));
  Apply(Listening("other", "127.0.0.1:0") + Respond("other"));
  EXPECT_TRUE(old.Closes());
}

TEST_F(ServerTest, AListenerThatGoesEndsItsConnectionsAtTheirNextRest) {
  Start();
  Apply(kHttp + Listening("other", "127.0.0.1:0") + Respond("v1"));
  const net::SocketAddress before = AddressOf("other");
  Client other(before), http(AddressOf());
  EXPECT_TRUE(other.Get("/").ends_with("v1"));
  Apply(kHttp + Respond("v2"));
  EXPECT_TRUE(other.Closes());
  EXPECT_FALSE(Client(before).connected());
  EXPECT_TRUE(http.Get("/").ends_with("v2"));
  // And comes back.
  Apply(kHttp + Listening("other", "127.0.0.1:0") + Respond("v3"));
  EXPECT_TRUE(Client(AddressOf("other")).Get("/").ends_with("v3"));
}

TEST_F(ServerTest, ListenerAddressesMayBeGivenAtStart) {
  options_.listener_addresses = {{"http", *net::SocketAddress::Parse("127.0.0.3:0")}};
  Start();
  Apply(Listening("http", "192.0.2.1:80") + Respond("here"));
  EXPECT_EQ(AddressOf().ip.ToString(), "127.0.0.3");
  EXPECT_TRUE(Client(AddressOf()).Get("/").ends_with("here"));
}

TEST_F(ServerTest, OffersAreTakenInTheirOrder) {
  Start();
  std::vector<std::string> order;
  std::promise<void> all;
  for (int i = 1; i <= 20; ++i) {
    const bool good = i % 2 == 0;
    const std::string yaml = good ? kHttp + Respond(absl::StrCat("v", i)) : "kind: Route\nname: x\nspec: {}\n";
    server_->Offer(static_cast<uint64_t>(i), Parse(yaml), [&, i](Violations violations) {
      order.push_back(absl::StrCat(i, violations.empty() ? " live" : " refused"));
      if (i == 20) all.set_value();
    });
  }
  all.get_future().get();
  ASSERT_EQ(order.size(), 20u);
  for (int i = 1; i <= 20; ++i) {
    EXPECT_EQ(order[static_cast<size_t>(i - 1)], absl::StrCat(i, i % 2 == 0 ? " live" : " refused"));
  }
  EXPECT_EQ(status_.config_revision.load(), 20u);
  EXPECT_EQ(status_.config_applied_total.value(), 10u);
  EXPECT_TRUE(Client(AddressOf()).Get("/").ends_with("v20"));
}

TEST_F(ServerTest, ADrainAnnouncesItselfBeforeItEndsAccepting) {
  options_.drain_grace_nanos = 300 * base::kNanosPerMilli;
  Start();
  Apply(kHttp + Respond("v1"));
  Client keep_alive(AddressOf()), resting(AddressOf());
  EXPECT_FALSE(Has(keep_alive.Get("/"), "connection: close"));
  EXPECT_FALSE(Has(resting.Get("/"), "connection: close"));
  server_->Drain();
  server_->Drain();
  EXPECT_FALSE(server_->ready());
  EXPECT_FALSE(status_.ready.load());
  EXPECT_TRUE(status_.draining.load());
  // Still served, and told to leave.
  std::string response;
  while (!Has(response, "connection: close")) {
    response = keep_alive.Get("/");
    ASSERT_TRUE(response.ends_with("v1")) << response;
  }
  EXPECT_TRUE(keep_alive.Closes());
  EXPECT_TRUE(Client(AddressOf()).Get("/").ends_with("v1"));
  EXPECT_TRUE(resting.Closes());
  server_->WaitUntilDrained();
  EXPECT_FALSE(Client(AddressOf()).connected());
  // A revision that comes late finds workers that have ended.
  EXPECT_TRUE(Offer(kHttp + Respond("v2")).empty());
  EXPECT_FALSE(server_->ready());
}

// An upstream that takes connections and requests and never answers.
class SilentUpstream {
 public:
  SilentUpstream() : fd_(*net::Listen(*net::SocketAddress::Parse("127.0.0.1:0"))) {}
  ~SilentUpstream() { ::close(fd_); }
  std::string Yaml() const {
    return absl::StrCat("---\nkind: Upstream\nname: silent\nspec: {endpoints: [{address: \"",
                        net::LocalAddress(fd_)->ToString(),
                        "\"}]}\n---\nkind: Route\nname: all\nspec: {match: {path: {prefix: /}}, "
                        "upstreams: [{name: silent}]}\n");
  }
  // Takes a connection over, waits for a request on it and answers.
  void AnswerOne(std::string_view body) {
    pollfd poll_fd{.fd = fd_, .events = POLLIN, .revents = 0};
    ASSERT_EQ(::poll(&poll_fd, 1, kTimeoutMillis), 1);
    const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    char bytes[4096];
    EXPECT_GT(::recv(fd, bytes, sizeof(bytes), 0), 0);
    const std::string response =
        absl::StrCat("HTTP/1.1 200 OK\r\nContent-Length: ", body.size(), "\r\n\r\n", std::string(body));
    EXPECT_EQ(::send(fd, response.data(), response.size(), MSG_NOSIGNAL), static_cast<ssize_t>(response.size()));
    ::close(fd);
  }
  // Waits until a connection is there, without taking it.
  void WaitForConnection() {
    pollfd poll_fd{.fd = fd_, .events = POLLIN, .revents = 0};
    ASSERT_EQ(::poll(&poll_fd, 1, kTimeoutMillis), 1);
  }

 private:
  int fd_;
};

TEST_F(ServerTest, ADrainWaitsForOpenExchanges) {
  Start();
  SilentUpstream upstream;
  Apply(kHttp + upstream.Yaml());
  EXPECT_EQ(status_.upstreams.load(), 1u);
  Client client(AddressOf());
  client.Send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
  upstream.WaitForConnection();
  server_->Drain();
  std::thread answer([&] { upstream.AnswerOne("late"); });
  EXPECT_TRUE(client.Response().ends_with("late"));
  EXPECT_TRUE(client.Closes());
  answer.join();
  server_->WaitUntilDrained();
}

bool GoesSoon(const std::weak_ptr<const snapshot::Snapshot>& snapshot) {
  for (int waited = 0; !snapshot.expired() && waited < kTimeoutMillis; waited += 10)
    ::poll(nullptr, 0, 10);
  return snapshot.expired();
}

TEST_F(ServerTest, AnOldRevisionGoesAfterItsLastExchange) {
  Start();
  SilentUpstream upstream;
  Apply(kHttp + upstream.Yaml());
  Client client(AddressOf());
  client.Send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
  upstream.WaitForConnection();
  const std::weak_ptr<const snapshot::Snapshot> first = server_->live();
  Apply(kHttp + Respond("v2"));
  const std::weak_ptr<const snapshot::Snapshot> second = server_->live();
  Apply(kHttp + Respond("v3"));
  EXPECT_TRUE(GoesSoon(second));
  EXPECT_FALSE(first.expired());
  std::thread answer([&] { upstream.AnswerOne("late"); });
  EXPECT_TRUE(client.Response().ends_with("late"));
  answer.join();
  EXPECT_TRUE(GoesSoon(first));
}

TEST_F(ServerTest, ADrainCutsWhatDoesNotEndInTime) {
  options_.drain_timeout_nanos = 50 * base::kNanosPerMilli;
  Start();
  SilentUpstream upstream;
  Apply(kHttp + upstream.Yaml());
  Client client(AddressOf());
  client.Send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
  upstream.WaitForConnection();
  server_->Drain();
  server_->WaitUntilDrained();
  EXPECT_FALSE(Has(client.Response(), "200"));
}

TEST_F(ServerTest, ItMayEndWithoutADrainWhateverIsOpen) {
  Start();
  SilentUpstream upstream;
  Apply(kHttp + upstream.Yaml());
  Client resting(AddressOf()), waiting(AddressOf()), half(AddressOf());
  waiting.Send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
  half.Send("GET / HT");
  upstream.WaitForConnection();
  server_.reset();
  EXPECT_TRUE(resting.Closes());
}

TEST_F(ServerTest, ItMayEndWithoutARevision) {
  Start();
  server_.reset();
}

TEST_F(ServerTest, ConnectionsHaveABound) {
  options_.workers = 1;
  options_.max_connections = 2;
  Start();
  Apply(kHttp + Respond("v1"));
  Client first(AddressOf()), second(AddressOf());
  EXPECT_TRUE(first.Get("/").ends_with("v1"));
  EXPECT_TRUE(second.Get("/").ends_with("v1"));
  Client third(AddressOf());
  EXPECT_TRUE(third.Closes());
  EXPECT_TRUE(first.Get("/").ends_with("v1"));
}

}  // namespace
}  // namespace portico::server
