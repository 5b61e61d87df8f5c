// Two workers' clusters of one upstream, which share its places for connections.
#include <gtest/gtest.h>

#include <memory>

#include "dataplane/upstream/cluster.h"
#include "dataplane/upstream/cluster_fixture.h"

namespace portico::upstream {
namespace {

class ClusterPlacesTest : public ClusterTest {
 protected:
  ClusterPlacesTest() { context_.workers = 2; }
  ~ClusterPlacesTest() override {
    other_->Close();
    EXPECT_TRUE(event::RunUntil(loop_, [this] { return other_->connections() == 0; }));
    EXPECT_FALSE(Shared()->connections.sought());
    other_.reset();
  }

  // Of both workers together; an even share is half of it.
  void MakeBoth(TestServer& server, uint32_t max_connections, uint32_t max_pending = 1024) {
    auto entry = Entry({server.address()});
    entry->max_connections = max_connections;
    entry->max_pending_requests = max_pending;
    Make(entry);
    other_ = std::make_unique<Cluster>(context_, entry);
  }
  void StartOther(Request& request) { event::Spawn(Get(*other_, request, nullptr)); }
  // The other worker's, at rest afterwards.
  int RestOther(TestServer& server) {
    Request request;
    StartOther(request);
    const int fd = server.Accept();
    Serve(server, fd, request);
    return fd;
  }
  uint64_t given_up() const { return metrics_.upstream_connections_given_up_total.value(); }

  std::unique_ptr<Cluster> other_;
};

TEST_F(ClusterPlacesTest, AConnectionAtRestIsGivenUpForAWorkerThatHasNone) {
  TestServer server(loop_);
  MakeBoth(server, 1);
  const int fd = RestOther(server);
  Request request;
  Start(request);
  EXPECT_FALSE(request.done);
  EXPECT_EQ(Shared()->pending.load(), 1);
  EXPECT_TRUE(server.Closed(fd));
  Serve(server, server.Accept(), request);
  EXPECT_EQ(given_up(), 1u);
  EXPECT_EQ(other_->connections(), 0u);
  EXPECT_EQ(Shared()->connections.taken(), 1);
}

TEST_F(ClusterPlacesTest, AConnectionInUseIsGivenUpAfterItsExchange) {
  TestServer server(loop_);
  MakeBoth(server, 1);
  Request busy, request;
  StartOther(busy);
  const int fd = server.Accept();
  Start(request);
  Turns();
  EXPECT_FALSE(request.done);
  EXPECT_TRUE(server.Quiet());
  Serve(server, fd, busy);
  EXPECT_TRUE(server.Closed(fd));
  Serve(server, server.Accept(), request);
}

TEST_F(ClusterPlacesTest, WorkersTakeTurnsWhenThereAreFewerPlacesThanWorkers) {
  TestServer server(loop_);
  MakeBoth(server, 1);
  Request mine[3], others[3];
  for (int i = 0; i < 3; ++i) {
    Start(mine[i]);
    StartOther(others[i]);
  }
  for (int i = 0; i < 3; ++i) {
    const int fd = server.Accept();
    Serve(server, fd, mine[i]);
    Serve(server, server.Accept(), others[i]);
  }
  EXPECT_EQ(Shared()->pending.load(), 0);
}

TEST_F(ClusterPlacesTest, AnEvenShareIsKept) {
  TestServer server(loop_);
  MakeBoth(server, 2);
  Request first, second;
  StartOther(first);
  const int fd = server.Accept();
  StartOther(second);
  const int second_fd = server.Accept();
  Serve(server, fd, first);
  Serve(server, second_fd, second);
  Request mine, waits;
  mine.keep = true;
  Start(mine);
  EXPECT_TRUE(server.Closed(fd));  // The longest at rest.
  const int own_fd = server.Accept();
  // Both have their share: who comes now waits for its own worker's.
  Start(waits);
  Serve(server, own_fd, mine);
  Turns();
  EXPECT_FALSE(waits.acquired);
  EXPECT_EQ(other_->connections(), 1u);
  mine.lease.End();
  Serve(server, own_fd, waits);
  Request again;
  StartOther(again);
  Serve(server, second_fd, again);
  EXPECT_TRUE(again.reused);
  EXPECT_EQ(given_up(), 1u);
}

TEST_F(ClusterPlacesTest, AWorkerWithVeryFewSeeksMore) {
  TestServer server(loop_);
  MakeBoth(server, 16);  // A quarter of a share is two.
  std::vector<std::unique_ptr<Request>> all;
  std::vector<int> fds;
  for (int i = 0; i < 16; ++i) {
    StartOther(*all.emplace_back(std::make_unique<Request>()));
    fds.push_back(server.Accept());
  }
  for (int i = 0; i < 16; ++i)
    Serve(server, fds[static_cast<size_t>(i)], *all[static_cast<size_t>(i)]);
  Request mine[3];
  for (Request& request : mine) Start(request);
  const int one = server.Accept(), two = server.Accept();
  Turns();
  EXPECT_TRUE(server.Quiet());
  EXPECT_EQ(given_up(), 2u);
  EXPECT_FALSE(mine[2].acquired);
  Serve(server, one, mine[0]);
  Serve(server, two, mine[1]);
  Serve(server, one, mine[2]);
}

TEST_F(ClusterPlacesTest, TheLineHasABound) {
  TestServer server(loop_);
  MakeBoth(server, 1, /*max_pending=*/1);
  Request busy, waits, refused;
  StartOther(busy);
  const int fd = server.Accept();
  Start(waits);
  Start(refused);
  EXPECT_TRUE(refused.done);
  EXPECT_EQ(refused.error, AcquireError::kOverloaded);
  Serve(server, fd, busy);
  Serve(server, server.Accept(), waits);
}

TEST_F(ClusterPlacesTest, WhoLeavesTheLineSeeksNoMore) {
  TestServer server(loop_);
  MakeBoth(server, 1);
  Request busy, leaver;
  StartOther(busy);
  const int fd = server.Accept();
  Start(leaver);
  EXPECT_TRUE(Shared()->connections.sought());
  leaver.scope.Request(absl::CancelledError("the client left"));
  ASSERT_TRUE(Ends(leaver));
  EXPECT_EQ(leaver.error, AcquireError::kCancelled);
  EXPECT_FALSE(Shared()->connections.sought());
  Serve(server, fd, busy);
  Request again;
  StartOther(again);
  Serve(server, fd, again);
  EXPECT_TRUE(again.reused);
  EXPECT_EQ(given_up(), 0u);
}

TEST_F(ClusterPlacesTest, WhoLeavesWhenAPlaceIsOnItsWayPassesItOn) {
  TestServer server(loop_);
  MakeBoth(server, 1);
  Request leaver, next;
  ASSERT_TRUE(Shared()->connections.Take(1));  // A third worker's.
  Start(leaver);
  Shared()->connections.Return(1);
  EXPECT_EQ(cluster_->connections(), 1u);
  StartOther(next);
  leaver.scope.Request(absl::CancelledError("the client left"));
  ASSERT_TRUE(Ends(leaver));
  EXPECT_EQ(leaver.error, AcquireError::kCancelled);
  Serve(server, server.Accept(), next);
  EXPECT_EQ(cluster_->connections(), 0u);
}

TEST_F(ClusterPlacesTest, ALineThatLosesItsLastConnectionSeeks) {
  TestServer server(loop_);
  MakeBoth(server, 1);
  Request first, second, third, others;
  first.keep = true;
  Start(first);
  const int fd = server.Accept();
  Start(second);
  Start(third);
  StartOther(others);
  Serve(server, fd, first);
  server.Close(fd);
  first.lease.End();
  // The other worker was first to seek.
  Serve(server, server.Accept(), others);
  const int next_fd = server.Accept();
  Serve(server, next_fd, second);
  Serve(server, next_fd, third);
}

TEST_F(ClusterPlacesTest, AFailedConnectPassesThePlaceOn) {
  TestServer server(loop_);
  auto entry = Entry({RefusingAddress()});
  entry->max_connections = 1;
  Make(entry);
  auto good = Entry({server.address()});
  good->max_connections = 1;
  other_ = std::make_unique<Cluster>(context_, good);
  Request fails, request;
  Start(fails);
  StartOther(request);
  ASSERT_TRUE(Ends(fails));
  EXPECT_EQ(fails.error, AcquireError::kConnectFailed);
  Serve(server, server.Accept(), request);
}

}  // namespace
}  // namespace portico::upstream
