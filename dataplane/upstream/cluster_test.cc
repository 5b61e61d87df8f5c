#include "dataplane/upstream/cluster.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "dataplane/base/fake_clock.h"
#include "dataplane/event/run_task.h"
#include "dataplane/upstream/cluster_manager.h"
#include "dataplane/upstream/test_server.h"

namespace portico::upstream {
namespace {

using base::kNanosPerMilli;
using base::kNanosPerSecond;
using event::Task;
using Endpoint = snapshot::UpstreamEntry::Endpoint;

constexpr uint64_t kSeed[4] = {1, 2, 3, 4};

// One request, from asking for a connection to the end of its response.
struct Request {
  ~Request() { EXPECT_TRUE(!started || done); }
  event::CancelScope scope;
  base::Arena arena;
  bool started = false, acquired = false, done = false;
  bool keep = false;  // The lease stays until End().
  AcquireError error = AcquireError::kNone;
  absl::Status detail;
  std::string endpoint;
  bool reused = false;
  absl::Status status;  // Of the exchange.
  int code = 0;
  std::string body;
  Lease lease;
};

Task<absl::Status> Exchange(Request& request) {
  http::RequestHead head(request.arena);
  head.method = http::Method::kGet;
  head.method_text = "GET";
  head.target = head.path = "/";
  head.authority = "test";
  http::BodyChunk nothing;
  nothing.end = true;
  http::ClientStream& stream = request.lease.stream();
  const absl::Status sent = co_await stream.SendHead(head, std::move(nothing));
  if (!sent.ok()) co_return sent;
  const absl::StatusOr<http::ResponseHead*> response = co_await stream.ReadHead();
  if (!response.ok()) co_return response.status();
  request.code = (*response)->status;
  while (true) {
    const absl::StatusOr<http::BodyChunk> piece = co_await stream.ReadBody();
    if (!piece.ok()) co_return piece.status();
    request.body += piece->bytes;
    if (piece->end) co_return absl::OkStatus();
  }
}

Task<void> Get(Cluster& cluster, Request& request, const Host* avoid) {
  request.started = true;
  Acquired acquired;
  if (!cluster.TryAcquire(request.scope, request.arena, avoid, acquired) &&
      acquired.error == AcquireError::kNone) {
    acquired = co_await cluster.AcquireSlow(request.scope, request.arena, acquired.host);
  }
  request.error = acquired.error;
  request.detail = acquired.detail;
  if (acquired.host != nullptr) request.endpoint = acquired.host->address_text;
  if (acquired.error == AcquireError::kNone) {
    request.acquired = true;
    request.reused = acquired.lease.reused();
    request.lease = std::move(acquired.lease);
    request.status = co_await Exchange(request);
    if (!request.keep) request.lease.End();
  }
  request.done = true;
}

class ClusterTest : public testing::Test {
 protected:
  ClusterTest() : random_(kSeed), loop_(*event::CreateEpollEngine(), clock_) {}
  ~ClusterTest() override {
    if (cluster_ != nullptr) {
      cluster_->Close();
      EXPECT_TRUE(event::RunUntil(loop_, [this] { return cluster_->connections() == 0; }));
      EXPECT_TRUE(cluster_->idle());
      EXPECT_EQ(Shared()->connections.load(), 0);
      EXPECT_EQ(Shared()->pending.load(), 0);
      for (const auto& host : cluster_->hosts()) EXPECT_EQ(host->active_requests, 0u);
      cluster_.reset();
    }
    EXPECT_EQ(metrics_.upstream_connections_total.value(),
              metrics_.upstream_connections_closed_total.value());
    EXPECT_EQ(loop_.timers().armed(), 0u);
    EXPECT_EQ(loop_.upstream_buffers().live(), 0u);
    EXPECT_EQ(event::LiveFrames(), 0);
  }

  static std::shared_ptr<snapshot::UpstreamEntry> Entry(const std::vector<net::SocketAddress>& addresses) {
    auto entry = std::make_shared<snapshot::UpstreamEntry>();
    entry->name = "users";
    for (const net::SocketAddress& address : addresses) entry->endpoints.push_back({address, 1});
    entry->connect_timeout_nanos = 5 * kNanosPerSecond;
    entry->idle_timeout_nanos = 60 * kNanosPerSecond;
    entry->max_connections = entry->max_pending_requests = entry->max_requests = 1024;
    entry->outlier_failures = 5;
    entry->outlier_base_ejection_nanos = 30 * kNanosPerSecond;
    entry->outlier_max_percent = 100;
    return entry;
  }
  Cluster& Make(std::shared_ptr<const snapshot::UpstreamEntry> entry) {
    cluster_ = std::make_unique<Cluster>(context_, std::move(entry));
    return *cluster_;
  }
  void Start(Request& request, const Host* avoid = nullptr) {
    event::Spawn(Get(*cluster_, request, avoid));
  }
  bool Acquires(Request& request) {
    return event::RunUntil(loop_, [&] { return request.acquired; });
  }
  bool Ends(Request& request) {
    return event::RunUntil(loop_, [&] { return request.done; });
  }
  void Turns(int turns = 5) {
    for (int i = 0; i < turns; ++i) loop_.RunOnce(0);
  }
  // A whole exchange over an accepted connection.
  void Serve(TestServer& server, int fd, Request& request) {
    EXPECT_NE(server.Answer(fd), "");
    EXPECT_TRUE(Ends(request));
    EXPECT_TRUE(request.status.ok()) << request.status;
    EXPECT_EQ(request.code, 200);
    EXPECT_EQ(request.body, "ok");
  }
  // What all workers count together.
  std::shared_ptr<SharedLimits> Shared() { return limits_.Get(cluster_->entry()->name); }
  Host& HostAt(const net::SocketAddress& address) {
    for (const auto& host : cluster_->hosts()) {
      if (host->address == address && host->listed) return *host;
    }
    ADD_FAILURE() << "no host " << address.ToString();
    return *cluster_->hosts().front();
  }

  base::FakeClock clock_;
  observe::WorkerMetrics metrics_;
  Random random_;
  LimitRegistry limits_;
  event::Loop loop_;
  ClusterContext context_{loop_, metrics_, random_, limits_};
  std::unique_ptr<Cluster> cluster_;
};

TEST_F(ClusterTest, AConnectionServesOneRequestAfterAnother) {
  TestServer server(loop_);
  Make(Entry({server.address()}));
  int fd = -1;
  for (int i = 0; i < 3; ++i) {
    Request request;
    Start(request);
    if (i == 0) fd = server.Accept();
    Serve(server, fd, request);
    EXPECT_EQ(request.reused, i > 0);
    EXPECT_EQ(request.endpoint, server.address().ToString());
  }
  EXPECT_TRUE(server.Quiet());
  EXPECT_EQ(metrics_.upstream_connections_total.value(), 1u);
  EXPECT_EQ(cluster_->last_used(), loop_.now());
}

TEST_F(ClusterTest, TheMostRecentlyUsedConnectionIsTakenFirst) {
  TestServer server(loop_);
  Make(Entry({server.address()}));
  Request first, second;
  Start(first);
  const int first_fd = server.Accept();
  Start(second);
  const int second_fd = server.Accept();
  Serve(server, second_fd, second);
  Serve(server, first_fd, first);
  for (int i = 0; i < 2; ++i) {
    Request request;
    Start(request);
    Serve(server, first_fd, request);
  }
}

TEST_F(ClusterTest, ConnectionsThatRestTooLongAreClosed) {
  TestServer server(loop_);
  Make(Entry({server.address()}));
  Request first, second;
  Start(first);
  const int first_fd = server.Accept();
  Start(second);
  const int second_fd = server.Accept();
  Serve(server, first_fd, first);
  clock_.Advance(kNanosPerSecond);
  Turns();
  Serve(server, second_fd, second);
  clock_.Advance(59 * kNanosPerSecond - 1);
  Turns();
  cluster_->CloseIdle(loop_.now());
  EXPECT_FALSE(server.Closed(first_fd));
  clock_.Advance(1);
  Turns();
  cluster_->CloseIdle(loop_.now());
  EXPECT_TRUE(server.Closed(first_fd));
  EXPECT_FALSE(server.Closed(second_fd));
  EXPECT_EQ(cluster_->connections(), 1u);
}

TEST_F(ClusterTest, AConnectionThatThePeerClosesIsNotUsedAgain) {
  TestServer server(loop_);
  Make(Entry({server.address()}));
  Request first;
  Start(first);
  int fd = server.Accept();
  Serve(server, fd, first);
  server.Close(fd);
  EXPECT_TRUE(event::RunUntil(loop_, [this] { return cluster_->connections() == 0; }));
  Request second;
  Start(second);
  fd = server.Accept();
  Serve(server, fd, second);
  EXPECT_FALSE(second.reused);
}

TEST_F(ClusterTest, ARefusedConnectIsAnErrorAndAFailureOfTheEndpoint) {
  TestServer server(loop_);
  const net::SocketAddress refusing = RefusingAddress();
  Make(Entry({refusing, server.address()}));
  Host& other = HostAt(server.address());
  for (uint32_t i = 1; i <= 5; ++i) {
    EXPECT_TRUE(HostAt(refusing).Available(loop_.now()));
    Request request;
    Start(request, &other);
    ASSERT_TRUE(Ends(request));
    EXPECT_EQ(request.error, AcquireError::kConnectFailed);
    EXPECT_NE(request.detail.message().find("ECONNREFUSED"), std::string::npos) << request.detail;
    EXPECT_EQ(request.endpoint, refusing.ToString());
    EXPECT_EQ(metrics_.upstream_connect_failures_total.value(), i);
  }
  // The fifth in a row ejects it for 30 s: also those who would rather avoid the
  // other get the other.
  EXPECT_EQ(metrics_.outlier_ejections_total.value(), 1u);
  EXPECT_FALSE(HostAt(refusing).Available(loop_.now()));
  Request request;
  Start(request, &other);
  Serve(server, server.Accept(), request);
  clock_.Advance(30 * kNanosPerSecond);
  Turns();
  EXPECT_TRUE(HostAt(refusing).Available(loop_.now()));
}

TEST_F(ClusterTest, WithoutAnAvailableEndpointThereIsNothingToWaitFor) {
  Make(Entry({}));
  Request request;
  Start(request);
  EXPECT_TRUE(request.done);
  EXPECT_EQ(request.error, AcquireError::kNoHealthyHost);
  EXPECT_EQ(request.endpoint, "");
}

TEST_F(ClusterTest, AConnectThatNobodyAnswersTimesOut) {
  TestServer server(loop_, /*backlog=*/0);
  server.FillBacklog();
  Make(Entry({server.address()}));
  Request request;
  Start(request);
  clock_.Advance(5 * kNanosPerSecond - 2 * kNanosPerMilli);
  Turns();
  EXPECT_FALSE(request.done);
  clock_.Advance(3 * kNanosPerMilli);
  ASSERT_TRUE(Ends(request));
  EXPECT_EQ(request.error, AcquireError::kConnectTimeout);
  EXPECT_FALSE(request.scope.requested());
  EXPECT_EQ(HostAt(server.address()).consecutive_failures, 1u);
}

TEST_F(ClusterTest, AConnectEndsWithItsExchangeAndBlamesNobody) {
  TestServer server(loop_, /*backlog=*/0);
  server.FillBacklog();
  Make(Entry({server.address()}));
  Request request;
  Start(request);
  Turns();
  request.scope.Request(absl::CancelledError("the client left"));
  ASSERT_TRUE(Ends(request));
  EXPECT_EQ(request.error, AcquireError::kCancelled);
  EXPECT_EQ(HostAt(server.address()).consecutive_failures, 0u);
  EXPECT_EQ(metrics_.upstream_connect_failures_total.value(), 0u);
}

TEST_F(ClusterTest, ARetryAvoidsTheEndpointThatFailed) {
  TestServer one(loop_), two(loop_);
  Make(Entry({one.address(), two.address()}));
  for (TestServer* avoided : {&one, &two, &one, &one}) {
    TestServer& wanted = avoided == &one ? two : one;
    Host& host = HostAt(wanted.address());
    Request request;
    Start(request, &HostAt(avoided->address()));
    ASSERT_TRUE(Acquires(request));
    EXPECT_EQ(request.endpoint, wanted.address().ToString());
    if (request.reused) {
      request.scope.Request(absl::CancelledError("enough"));
      EXPECT_TRUE(Ends(request));
    } else {
      Serve(wanted, wanted.Accept(), request);
    }
    EXPECT_EQ(host.active_requests, 0u);
  }
}

TEST_F(ClusterTest, AnExchangeThatIsNotCompleteEndsItsConnection) {
  TestServer server(loop_);
  Make(Entry({server.address()}));
  Request request;
  Start(request);
  const int fd = server.Accept();
  EXPECT_NE(server.ReadHead(fd), "");
  request.scope.Request(absl::CancelledError("the client left"));
  ASSERT_TRUE(Ends(request));
  EXPECT_TRUE(absl::IsCancelled(request.status)) << request.status;
  EXPECT_TRUE(server.Closed(fd));
  EXPECT_EQ(cluster_->connections(), 0u);
}

// Circuit breakers.

TEST_F(ClusterTest, WhoFindsNoRoomWaitsInLine) {
  TestServer server(loop_);
  auto entry = Entry({server.address()});
  entry->max_connections = 1;
  Make(entry);
  Request requests[4];
  for (Request& request : requests) Start(request);
  const int fd = server.Accept();
  Turns();
  EXPECT_EQ(Shared()->pending.load(), 3);
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(Acquires(requests[i]));
    for (int later = i + 1; later < 4; ++later) EXPECT_FALSE(requests[later].acquired);
    EXPECT_EQ(requests[i].reused, i > 0);
    Serve(server, fd, requests[i]);
  }
  EXPECT_EQ(metrics_.upstream_connections_total.value(), 1u);
  EXPECT_TRUE(server.Quiet());
}

TEST_F(ClusterTest, WhoLeavesTheLineHoldsUpNobody) {
  TestServer server(loop_);
  auto entry = Entry({server.address()});
  entry->max_connections = 1;
  Make(entry);
  Request first, leaver, last;
  Start(first);
  const int fd = server.Accept();
  Start(leaver);
  Start(last);
  leaver.scope.Request(absl::CancelledError("the client left"));
  ASSERT_TRUE(Ends(leaver));
  EXPECT_EQ(leaver.error, AcquireError::kCancelled);
  EXPECT_EQ(Shared()->pending.load(), 1);
  Serve(server, fd, first);
  Serve(server, fd, last);
}

TEST_F(ClusterTest, WhoLeavesWhenPromisedAConnectionPassesTheRoomOn) {
  TestServer server(loop_);
  auto entry = Entry({server.address()});
  entry->max_connections = 1;
  Make(entry);
  Request first, leaver, last;
  first.keep = true;
  Start(first);
  const int fd = server.Accept();
  Start(leaver);
  Start(last);
  Serve(server, fd, first);
  first.lease.End();
  leaver.scope.Request(absl::CancelledError("the client left"));
  ASSERT_TRUE(Ends(leaver));
  // Its connection had begun an exchange and is gone: the next one opens another.
  const int next_fd = leaver.acquired ? server.Accept() : fd;
  Serve(server, next_fd, last);
}

TEST_F(ClusterTest, AConnectionThatEndsWhilePromisedMakesRoom) {
  TestServer server(loop_);
  auto entry = Entry({server.address()});
  entry->max_connections = 1;
  Make(entry);
  Request first, second, third;
  first.keep = true;
  Start(first);
  const int fd = server.Accept();
  Start(second);
  Start(third);
  Serve(server, fd, first);
  // Both happen before the waiter runs.
  server.Close(fd);
  first.lease.End();
  const int next_fd = server.Accept();
  Serve(server, next_fd, second);
  EXPECT_FALSE(second.reused);
  Serve(server, next_fd, third);
  EXPECT_TRUE(third.reused);
}

TEST_F(ClusterTest, AFailedConnectLetsTheNextOneTry) {
  TestServer server(loop_);
  const net::SocketAddress refusing = RefusingAddress();
  auto entry = Entry({refusing, server.address()});
  entry->max_connections = 1;
  Make(entry);
  Host* const good = &HostAt(server.address());
  Host* const bad = &HostAt(refusing);
  Request first, second;
  Start(first, good);
  Start(second, bad);  // In line while the first is connecting.
  EXPECT_FALSE(second.done);
  ASSERT_TRUE(Ends(first));
  EXPECT_EQ(first.error, AcquireError::kConnectFailed);
  Serve(server, server.Accept(), second);
}

TEST_F(ClusterTest, ThePlaceOfARestingConnectionServesOtherEndpoints) {
  TestServer one(loop_), two(loop_);
  auto entry = Entry({one.address(), two.address()});
  entry->max_connections = 1;
  Make(entry);
  Request first;
  Start(first, &HostAt(two.address()));
  const int fd = one.Accept();
  Serve(one, fd, first);
  // The balancer wants the other; there is room for none, but one is at rest.
  Request second;
  Start(second, &HostAt(one.address()));
  Serve(one, fd, second);
  EXPECT_EQ(second.endpoint, one.address().ToString());
  // An ejected endpoint's connection gives way.
  HostAt(one.address()).ejected_until = loop_.now() + kNanosPerSecond;
  Request third;
  Start(third);
  EXPECT_TRUE(one.Closed(fd));
  Serve(two, two.Accept(), third);
  EXPECT_EQ(third.endpoint, two.address().ToString());
}

TEST_F(ClusterTest, TheLineHasABound) {
  TestServer server(loop_);
  auto entry = Entry({server.address()});
  entry->max_connections = 1;
  entry->max_pending_requests = 1;
  Make(entry);
  Request first, second, third;
  Start(first);
  Start(second);
  Start(third);
  EXPECT_TRUE(third.done);
  EXPECT_EQ(third.error, AcquireError::kOverloaded);
  const int fd = server.Accept();
  Serve(server, fd, first);
  Serve(server, fd, second);
}

TEST_F(ClusterTest, RequestsHaveABound) {
  TestServer server(loop_);
  auto entry = Entry({server.address()});
  entry->max_requests = 2;
  Make(entry);
  Request first, second, third, fourth;
  Start(first);
  const int fd = server.Accept();
  Start(second);
  const int second_fd = server.Accept();
  Start(third);
  EXPECT_TRUE(third.done);
  EXPECT_EQ(third.error, AcquireError::kOverloaded);
  Serve(server, fd, first);
  Start(fourth);
  Serve(server, fd, fourth);
  Serve(server, second_fd, second);
}

TEST_F(ClusterTest, NobodyWaitsForAnotherWorkersConnections) {
  TestServer server(loop_);
  auto entry = Entry({server.address()});
  entry->max_connections = 1;
  Make(entry);
  // Another worker has the only place.
  const std::shared_ptr<SharedLimits> shared = limits_.Get(entry->name);
  ASSERT_TRUE(TryTake(shared->connections, 1));
  Request request;
  Start(request);
  EXPECT_TRUE(request.done);
  EXPECT_EQ(request.error, AcquireError::kOverloaded);
  shared->connections.fetch_sub(1);
}

TEST_F(ClusterTest, ALineWithoutHopeIsRefusedAsAWhole) {
  TestServer server(loop_);
  auto entry = Entry({server.address()});
  entry->max_connections = 1;
  Make(entry);
  Request first, second, third;
  first.keep = true;
  Start(first);
  const int fd = server.Accept();
  Start(second);
  Start(third);
  Serve(server, fd, first);
  server.Close(fd);
  first.lease.End();
  // Another worker is faster.
  const std::shared_ptr<SharedLimits> shared = limits_.Get(entry->name);
  shared->connections.fetch_add(1);
  ASSERT_TRUE(Ends(second));
  ASSERT_TRUE(Ends(third));
  EXPECT_EQ(second.error, AcquireError::kOverloaded);
  EXPECT_EQ(third.error, AcquireError::kOverloaded);
  shared->connections.fetch_sub(1);
}

// Revisions.

TEST_F(ClusterTest, EndpointsThatStayKeepTheirConnectionsAndState) {
  TestServer one(loop_), two(loop_);
  Make(Entry({one.address()}));
  Request first;
  Start(first);
  const int fd = one.Accept();
  Serve(one, fd, first);
  Host* const host = &HostAt(one.address());
  host->consecutive_failures = 3;

  auto more = Entry({two.address(), one.address()});
  more->endpoints[1].weight = 7;
  cluster_->Update(more);
  EXPECT_EQ(&HostAt(one.address()), host);
  EXPECT_EQ(host->consecutive_failures, 3u);
  EXPECT_EQ(host->weight, 7u);
  Request second, third;
  Start(second, &HostAt(two.address()));
  Serve(one, fd, second);
  EXPECT_TRUE(second.reused);
  Start(third, host);
  Serve(two, two.Accept(), third);
}

TEST_F(ClusterTest, EndpointsThatGoFinishWhatTheyHave) {
  TestServer one(loop_), two(loop_);
  Make(Entry({one.address(), two.address()}));
  Host* const host_two = &HostAt(two.address());
  Request resting, open;
  Start(open, host_two);
  const int open_fd = one.Accept();
  Start(resting, host_two);
  const int resting_fd = one.Accept();
  Serve(one, resting_fd, resting);

  cluster_->Update(Entry({two.address()}));
  EXPECT_TRUE(one.Closed(resting_fd));
  EXPECT_FALSE(open.done);
  // New requests go elsewhere.
  for (int i = 0; i < 4; ++i) {
    Request request;
    Start(request);
    ASSERT_TRUE(Acquires(request));
    EXPECT_EQ(request.endpoint, two.address().ToString());
    request.scope.Request(absl::CancelledError("enough"));
    EXPECT_TRUE(Ends(request));
  }
  Serve(one, open_fd, open);
  EXPECT_TRUE(one.Closed(open_fd));
  EXPECT_EQ(cluster_->hosts().size(), 2u);
  cluster_->CloseIdle(loop_.now());
  ASSERT_EQ(cluster_->hosts().size(), 1u);
  EXPECT_EQ(cluster_->hosts()[0].get(), host_two);
}

TEST_F(ClusterTest, AnEndpointMayGoWhileItIsConnectedTo) {
  TestServer server(loop_, /*backlog=*/0);
  server.FillBacklog();
  TestServer other(loop_);
  Make(Entry({server.address()}));
  Request request;
  Start(request);
  Turns();
  cluster_->Update(Entry({other.address()}));
  cluster_->CloseIdle(loop_.now());
  clock_.Advance(6 * kNanosPerSecond);
  ASSERT_TRUE(Ends(request));
  EXPECT_EQ(request.error, AcquireError::kConnectTimeout);
  EXPECT_EQ(request.endpoint, server.address().ToString());
  cluster_->CloseIdle(loop_.now());
  EXPECT_EQ(cluster_->hosts().size(), 1u);
}

TEST_F(ClusterTest, AnEndpointThatComesBackStartsAnew) {
  TestServer server(loop_);
  Make(Entry({server.address()}));
  Request open;
  Start(open);
  const int fd = server.Accept();
  cluster_->Update(Entry({}));
  cluster_->Update(Entry({server.address()}));
  Request next;
  Start(next);
  const int next_fd = server.Accept();
  Serve(server, next_fd, next);
  Serve(server, fd, open);
  EXPECT_TRUE(server.Closed(fd));
  EXPECT_FALSE(server.Closed(next_fd));
}

TEST_F(ClusterTest, CloseEndsEverythingAtItsNextRest) {
  TestServer server(loop_);
  Make(Entry({server.address()}));
  Request resting, open;
  Start(resting);
  const int resting_fd = server.Accept();
  Start(open);
  const int open_fd = server.Accept();
  Serve(server, resting_fd, resting);
  cluster_->Close();
  EXPECT_TRUE(server.Closed(resting_fd));
  EXPECT_EQ(cluster_->connections(), 1u);
  Serve(server, open_fd, open);
  EXPECT_TRUE(server.Closed(open_fd));
  EXPECT_TRUE(event::RunUntil(loop_, [this] { return cluster_->connections() == 0; }));
}

// All upstreams of a worker.

TEST_F(ClusterTest, TheManagerFollowsRevisionsUpwardsOnly) {
  TestServer server(loop_);
  ClusterManager manager(context_);
  const auto first = Entry({});
  const auto second = Entry({server.address()});
  Cluster& cluster = manager.Get(first, 1);
  EXPECT_EQ(&manager.Get(first, 1), &cluster);
  EXPECT_EQ(&manager.Get(second, 2), &cluster);
  EXPECT_EQ(cluster.entry(), second);
  // An exchange that pinned the revision before.
  EXPECT_EQ(&manager.Get(first, 1), &cluster);
  EXPECT_EQ(cluster.entry(), second);
  EXPECT_EQ(&manager.Get(second, 3), &cluster);
  manager.Close();
}

TEST_F(ClusterTest, TheManagerForgetsWhatNobodyUses) {
  TestServer server(loop_);
  ClusterManager manager(context_);
  const auto entry = Entry({server.address()});
  Cluster& cluster = manager.Get(entry, 1);
  Request request;
  event::Spawn(Get(cluster, request, nullptr));
  const int fd = server.Accept();
  Serve(server, fd, request);
  EXPECT_EQ(manager.connections(), 1u);
  std::weak_ptr<SharedLimits> shared = limits_.Get(entry->name);
  for (int i = 0; i < 62; ++i) {
    clock_.Advance(kNanosPerSecond);
    Turns();
  }
  EXPECT_TRUE(server.Closed(fd));
  EXPECT_EQ(manager.connections(), 0u);
  EXPECT_FALSE(shared.expired());
  clock_.Advance(ClusterManager::kForgetNanos);
  Turns();
  EXPECT_TRUE(shared.expired());
  manager.Close();
}

}  // namespace
}  // namespace portico::upstream
