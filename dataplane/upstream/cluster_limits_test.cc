// Circuit breakers: how many connections, how many requests, who waits.
#include "dataplane/upstream/cluster.h"

#include <gtest/gtest.h>

#include <memory>

#include "dataplane/upstream/cluster_fixture.h"

namespace portico::upstream {
namespace {

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

TEST_F(ClusterTest, WhoLeavesWhenOfferedRoomPassesItOn) {
  TestServer server(loop_);
  auto entry = Entry({server.address()});
  entry->max_connections = 1;
  Make(entry);
  Request first, leaver, last;
  Start(first);
  server.Accept();
  ASSERT_TRUE(Acquires(first));
  Start(leaver);
  Start(last);
  // The first one's connection ends in the same turn, before the leaver runs.
  leaver.scope.Request(absl::CancelledError("the client left"));
  first.scope.Request(absl::CancelledError("the client left"));
  ASSERT_TRUE(Ends(leaver));
  ASSERT_TRUE(Ends(first));
  EXPECT_EQ(leaver.error, AcquireError::kCancelled);
  Serve(server, server.Accept(), last);
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

TEST_F(ClusterTest, AnAddressThatIsListedTwiceKeepsItsConnectionsUntilTheyEnd) {
  TestServer server(loop_);
  Make(Entry({server.address(), server.address()}));
  Request first, second, third;
  first.keep = true;
  Start(first);
  const int fd = server.Accept();
  Serve(server, fd, first);
  Start(second);
  Serve(server, server.Accept(), second);
  cluster_->Update(Entry({server.address(), server.address()}));
  // One of the two hosts was replaced while its connection was in use or at rest.
  first.lease.End();
  server.Close(fd);
  Turns();
  Start(third);
  ASSERT_TRUE(Acquires(third));
  third.scope.Request(absl::CancelledError("enough"));
  ASSERT_TRUE(Ends(third));
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

TEST_F(ClusterTest, MoreConnectionsInANewRevisionServeWhoWaits) {
  TestServer server(loop_);
  auto entry = Entry({server.address()});
  entry->max_connections = 1;
  Make(entry);
  Request first, second, third;
  Start(first);
  const int fd = server.Accept();
  Start(second);
  Start(third);
  auto more = Entry({server.address()});
  more->max_connections = 2;
  cluster_->Update(more);
  const int second_fd = server.Accept();
  Turns();
  EXPECT_FALSE(third.acquired);
  Serve(server, second_fd, second);
  Serve(server, second_fd, third);
  Serve(server, fd, first);
}

}  // namespace
}  // namespace portico::upstream
