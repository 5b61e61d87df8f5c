#include "dataplane/upstream/cluster.h"

#include <gtest/gtest.h>

#include <memory>

#include "dataplane/upstream/cluster_fixture.h"
#include "dataplane/upstream/cluster_manager.h"

namespace portico::upstream {
namespace {

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
