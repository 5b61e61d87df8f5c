// A cluster whose endpoints speak HTTP/2: connections that many requests share.
#include <unistd.h>

#include <functional>
#include <memory>
#include <vector>

#include "dataplane/upstream/cluster_fixture.h"
#include "dataplane/upstream/h2_test_server.h"

namespace portico::upstream {
namespace {

class ClusterHttp2Test : public ClusterTest {
 protected:
  static std::shared_ptr<snapshot::UpstreamEntry> Http2Entry(
      const std::vector<net::SocketAddress>& addresses) {
    auto entry = Entry(addresses);
    entry->protocol = v1::UPSTREAM_PROTOCOL_HTTP2;
    return entry;
  }
  // The next connection to `server`.
  H2TestServer& Accept(const H2TestServerOptions& options = {}) {
    servers_.push_back(std::make_unique<H2TestServer>(::dup(server_.Accept()), options));
    return *servers_.back();
  }
  bool Until(const std::function<bool()>& done) {
    for (int turn = 0; turn < 2000; ++turn) {
      if (done()) return true;
      loop_.RunOnce(base::kNanosPerMilli / 10);
      for (auto& server : servers_) server->Turn();
    }
    return done();
  }
  void TurnAll(int turns = 10) {
    int left = turns;
    Until([&left] { return left-- == 0; });
  }
  // Answers all that the server has seen and not answered.
  static void AnswerAll(H2TestServer& server) {
    for (auto& [number, request] : server.requests()) {
      if (request.closed || answered(request)) continue;
      server.Respond(number, {{":status", "200"}}, "ok");
      request.trailers.emplace_back("answered", "");
    }
  }
  static bool answered(const H2TestRequest& request) { return !request.trailers.empty(); }
  bool Done(const std::vector<std::unique_ptr<Request>>& requests) {
    return Until([&] {
      for (const auto& request : requests) {
        if (!request->done) return false;
      }
      return true;
    });
  }
  std::vector<std::unique_ptr<Request>> StartSome(int count) {
    std::vector<std::unique_ptr<Request>> requests;
    for (int i = 0; i < count; ++i) {
      requests.push_back(std::make_unique<Request>());
      Start(*requests.back());
    }
    return requests;
  }

  TestServer server_{loop_};
  std::vector<std::unique_ptr<H2TestServer>> servers_;
};

TEST_F(ClusterHttp2Test, RequestsWaitForOneConnectionAndShareIt) {
  Make(Http2Entry({server_.address()}));
  auto requests = StartSome(20);
  EXPECT_EQ(Shared()->pending.load(), 19);
  H2TestServer& server = Accept();
  ASSERT_TRUE(Until([&] { return server.requests().size() == 20; }));
  EXPECT_EQ(Shared()->pending.load(), 0);
  AnswerAll(server);
  ASSERT_TRUE(Done(requests));
  for (const auto& request : requests) {
    EXPECT_TRUE(request->status.ok()) << request->status;
    EXPECT_EQ(request->body, "ok");
  }
  EXPECT_EQ(cluster_->connections(), 1u);
  EXPECT_EQ(metrics_.upstream_http2_connections_total.value(), 1u);
  // And it stays for more.
  Request later;
  Start(later);
  EXPECT_TRUE(later.acquired);
  EXPECT_TRUE(later.reused);
  ASSERT_TRUE(Until([&] { return server.requests().size() == 21; }));
  AnswerAll(server);
  EXPECT_TRUE(Until([&] { return later.done; }));
  EXPECT_TRUE(server_.Quiet());
}

TEST_F(ClusterHttp2Test, AFullConnectionIsJoinedByAnother) {
  Make(Http2Entry({server_.address()}));
  auto first = StartSome(1);
  H2TestServer& one = Accept({.max_streams = 2});
  ASSERT_TRUE(Until([&] { return one.requests().size() == 1; }));
  TurnAll();
  auto more = StartSome(3);
  H2TestServer& two = Accept({.max_streams = 2});
  ASSERT_TRUE(Until([&] { return one.requests().size() == 2 && two.requests().size() == 2; }));
  EXPECT_EQ(cluster_->connections(), 2u);
  AnswerAll(one);
  AnswerAll(two);
  ASSERT_TRUE(Done(first));
  ASSERT_TRUE(Done(more));
}

TEST_F(ClusterHttp2Test, WhoWaitsForAConnectionThatFailsFailsWithIt) {
  Make(Http2Entry({RefusingAddress()}));
  auto requests = StartSome(5);
  ASSERT_TRUE(Done(requests));
  for (const auto& request : requests) {
    EXPECT_EQ(request->error, AcquireError::kConnectFailed);
    EXPECT_FALSE(request->detail.ok());
  }
  EXPECT_EQ(metrics_.upstream_connect_failures_total.value(), 1u);
}

TEST_F(ClusterHttp2Test, WhoOpensAConnectionMayLeave) {
  TestServer full(loop_, /*backlog=*/0);
  full.FillBacklog();
  auto entry = Http2Entry({full.address()});
  Make(entry);
  auto requests = StartSome(3);
  TurnAll();
  requests[0]->scope.Request(absl::CancelledError("left"));
  ASSERT_TRUE(Until([&] { return requests[0]->done; }));
  EXPECT_EQ(requests[0]->error, AcquireError::kCancelled);
  TurnAll();
  // The next one opens it now, the third waits for that.
  EXPECT_FALSE(requests[1]->done);
  EXPECT_EQ(Shared()->pending.load(), 1);
  clock_.Advance(6 * kNanosPerSecond);
  ASSERT_TRUE(Done(requests));
  EXPECT_EQ(requests[1]->error, AcquireError::kConnectTimeout);
  EXPECT_EQ(requests[2]->error, AcquireError::kConnectTimeout);
}

TEST_F(ClusterHttp2Test, WhoWaitsForAConnectionMayLeave) {
  Make(Http2Entry({server_.address()}));
  auto requests = StartSome(3);
  requests[1]->scope.Request(absl::CancelledError("left"));
  H2TestServer& server = Accept();
  ASSERT_TRUE(Until([&] { return server.requests().size() == 2; }));
  EXPECT_EQ(requests[1]->error, AcquireError::kCancelled);
  AnswerAll(server);
  ASSERT_TRUE(Done(requests));
}

TEST_F(ClusterHttp2Test, AsManyWaitAsMayBePending) {
  auto entry = Http2Entry({server_.address()});
  entry->max_pending_requests = 3;
  Make(entry);
  auto requests = StartSome(6);
  int overloaded = 0;
  for (const auto& request : requests) overloaded += request->error == AcquireError::kOverloaded;
  EXPECT_EQ(overloaded, 2);
  H2TestServer& server = Accept();
  ASSERT_TRUE(Until([&] { return server.requests().size() == 4; }));
  AnswerAll(server);
  ASSERT_TRUE(Done(requests));
}

TEST_F(ClusterHttp2Test, WhenAllConnectionsAreFullRequestsWaitTheirTurn) {
  auto entry = Http2Entry({server_.address()});
  entry->max_connections = 1;
  Make(entry);
  auto first = StartSome(1);
  H2TestServer& server = Accept({.max_streams = 1});
  ASSERT_TRUE(Until([&] { return server.requests().size() == 1; }));
  TurnAll();
  auto more = StartSome(3);
  TurnAll();
  EXPECT_EQ(server.requests().size(), 1u);
  EXPECT_EQ(Shared()->pending.load(), 3);
  for (size_t seen = 1; seen <= 4; ++seen) {
    ASSERT_TRUE(Until([&] { return server.requests().size() == seen; })) << seen;
    AnswerAll(server);
  }
  ASSERT_TRUE(Done(first));
  ASSERT_TRUE(Done(more));
  for (const auto& request : more) EXPECT_TRUE(request->status.ok()) << request->status;
  EXPECT_TRUE(server_.Quiet());
}

TEST_F(ClusterHttp2Test, APeerThatTakesMoreIsGivenMore) {
  auto entry = Http2Entry({server_.address()});
  entry->max_connections = 1;
  Make(entry);
  auto first = StartSome(1);
  H2TestServer& server = Accept({.max_streams = 1});
  ASSERT_TRUE(Until([&] { return server.requests().size() == 1; }));
  TurnAll();
  auto more = StartSome(5);
  TurnAll();
  EXPECT_EQ(server.requests().size(), 1u);
  server.Settings(10);
  ASSERT_TRUE(Until([&] { return server.requests().size() == 6; }));
  AnswerAll(server);
  ASSERT_TRUE(Done(first));
  ASSERT_TRUE(Done(more));
}

TEST_F(ClusterHttp2Test, APeerThatTakesNothingKeepsNoConnection) {
  Make(Http2Entry({server_.address()}));
  auto requests = StartSome(1);
  H2TestServer& server = Accept({.max_streams = 0});
  ASSERT_TRUE(Until([&] { return requests[0]->acquired; }));
  TurnAll();
  requests[0]->scope.Request(absl::CancelledError("left"));
  ASSERT_TRUE(Done(requests));
  EXPECT_TRUE(Until([&] { return cluster_->connections() == 0; }));
  EXPECT_TRUE(Until([&] { return !server.Turn(); }));
}

TEST_F(ClusterHttp2Test, AConnectionThatDrainsIsReplaced) {
  Make(Http2Entry({server_.address()}));
  auto old = StartSome(1);
  H2TestServer& one = Accept();
  ASSERT_TRUE(Until([&] { return one.requests().size() == 1; }));
  one.GoAway(1);
  TurnAll();
  EXPECT_EQ(metrics_.upstream_goaways_total.value(), 1u);
  auto fresh = StartSome(1);
  H2TestServer& two = Accept();
  ASSERT_TRUE(Until([&] { return two.requests().size() == 1; }));
  EXPECT_EQ(cluster_->connections(), 2u);
  AnswerAll(one);
  AnswerAll(two);
  ASSERT_TRUE(Done(old));
  ASSERT_TRUE(Done(fresh));
  EXPECT_TRUE(old[0]->status.ok()) << old[0]->status;
  EXPECT_TRUE(Until([&] { return cluster_->connections() == 1; }));
}

TEST_F(ClusterHttp2Test, IdleConnectionsAreClosed) {
  Make(Http2Entry({server_.address()}));
  auto requests = StartSome(2);
  H2TestServer& server = Accept();
  ASSERT_TRUE(Until([&] { return server.requests().size() == 2; }));
  server.Respond(1, {{":status", "200"}}, "ok");
  ASSERT_TRUE(Until([&] { return requests[0]->done; }));
  clock_.Advance(50 * kNanosPerSecond);
  TurnAll();
  clock_.Advance(20 * kNanosPerSecond);
  cluster_->CloseIdle(loop_.now());
  EXPECT_EQ(cluster_->connections(), 1u);  // It is in use.
  server.Respond(3, {{":status", "200"}}, "ok");
  ASSERT_TRUE(Done(requests));
  TurnAll();
  cluster_->CloseIdle(loop_.now() + 59 * kNanosPerSecond);
  EXPECT_EQ(cluster_->connections(), 1u);
  cluster_->CloseIdle(loop_.now() + 60 * kNanosPerSecond);
  EXPECT_TRUE(Until([&] { return cluster_->connections() == 0; }));
  TurnAll();
  EXPECT_EQ(server.goaway(), NGHTTP2_NO_ERROR);
}

TEST_F(ClusterHttp2Test, AnotherProtocolIsSpokenOnNewConnections) {
  auto entry = Http2Entry({server_.address()});
  Make(entry);
  auto old = StartSome(1);
  H2TestServer& one = Accept();
  ASSERT_TRUE(Until([&] { return one.requests().size() == 1; }));
  cluster_->Update(Entry({server_.address()}));
  Request plain;
  Start(plain);
  const int fd = server_.Accept();
  EXPECT_EQ(server_.ReadHead(fd).substr(0, 14), "GET / HTTP/1.1");
  server_.Write(fd, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  ASSERT_TRUE(Until([&] { return plain.done; }));
  EXPECT_TRUE(plain.status.ok()) << plain.status;
  // What was begun before goes on, and its connection ends then.
  EXPECT_FALSE(old[0]->done);
  AnswerAll(one);
  ASSERT_TRUE(Done(old));
  EXPECT_TRUE(old[0]->status.ok()) << old[0]->status;
  EXPECT_TRUE(Until([&] { return cluster_->connections() == 1; }));
  // And back: the HTTP/1.1 connection rests and goes at once.
  cluster_->Update(entry);
  EXPECT_TRUE(Until([&] { return cluster_->connections() == 0; }));
}

TEST_F(ClusterHttp2Test, AConnectionThatWasOutdatedBeforeItOpenedServesOnce) {
  Make(Http2Entry({server_.address()}));
  auto requests = StartSome(1);
  cluster_->Update(Entry({server_.address()}));
  H2TestServer& server = Accept();
  ASSERT_TRUE(Until([&] { return server.requests().size() == 1; }));
  AnswerAll(server);
  ASSERT_TRUE(Done(requests));
  EXPECT_TRUE(requests[0]->status.ok()) << requests[0]->status;
  EXPECT_TRUE(Until([&] { return cluster_->connections() == 0; }));
}

TEST_F(ClusterHttp2Test, AnEndpointThatIsNoLongerListedFinishes) {
  TestServer other(loop_);
  Make(Http2Entry({server_.address()}));
  auto requests = StartSome(3);
  H2TestServer& server = Accept();
  ASSERT_TRUE(Until([&] { return server.requests().size() == 3; }));
  cluster_->Update(Http2Entry({other.address()}));
  AnswerAll(server);
  ASSERT_TRUE(Done(requests));
  for (const auto& request : requests) EXPECT_TRUE(request->status.ok()) << request->status;
  EXPECT_TRUE(Until([&] { return cluster_->connections() == 0; }));
}

// Two workers' clusters of one upstream.
class ClusterHttp2PlacesTest : public ClusterHttp2Test {
 protected:
  ClusterHttp2PlacesTest() { context_.workers = 2; }
  ~ClusterHttp2PlacesTest() override {
    other_->Close();
    EXPECT_TRUE(Until([this] { return other_->connections() == 0; }));
    EXPECT_FALSE(Shared()->connections.sought());
    other_.reset();
  }
  void MakeBoth(uint32_t max_connections) {
    auto entry = Http2Entry({server_.address()});
    entry->max_connections = max_connections;
    Make(entry);
    other_ = std::make_unique<Cluster>(context_, entry);
  }
  std::unique_ptr<Request> StartOther() {
    auto request = std::make_unique<Request>();
    event::Spawn(Get(*other_, *request, nullptr));
    return request;
  }
  std::vector<std::unique_ptr<Request>> StartSomeOther(int count) {
    std::vector<std::unique_ptr<Request>> requests;
    for (int i = 0; i < count; ++i) requests.push_back(StartOther());
    return requests;
  }
  uint64_t given_up() const { return metrics_.upstream_connections_given_up_total.value(); }

  std::unique_ptr<Cluster> other_;
};

TEST_F(ClusterHttp2PlacesTest, OfSeveralConnectionsThatAreAlwaysBusyOneIsGivenUp) {
  MakeBoth(2);
  auto full = StartSomeOther(2);
  H2TestServer& one = Accept({.max_streams = 2});
  ASSERT_TRUE(Until([&] { return one.requests().size() == 2; }));
  TurnAll();
  auto busy = StartSomeOther(1);
  H2TestServer& two = Accept({.max_streams = 10});
  ASSERT_TRUE(Until([&] { return two.requests().size() == 1; }));
  TurnAll();
  // All places are the other worker's, and none of its connections is ever at rest.
  auto mine = StartSome(1);
  TurnAll();
  EXPECT_TRUE(server_.Quiet());
  EXPECT_FALSE(mine[0]->acquired);
  EXPECT_EQ(given_up(), 1u);
  // The one with fewer requests takes no more, and what it has goes on.
  auto later = StartSomeOther(1);
  TurnAll();
  EXPECT_EQ(two.requests().size(), 1u);
  EXPECT_FALSE(later[0]->acquired);
  AnswerAll(two);
  ASSERT_TRUE(Done(busy));
  EXPECT_TRUE(busy[0]->status.ok()) << busy[0]->status;
  H2TestServer& three = Accept();
  ASSERT_TRUE(Until([&] { return three.requests().size() == 1; }));
  AnswerAll(three);
  ASSERT_TRUE(Done(mine));
  EXPECT_TRUE(mine[0]->status.ok()) << mine[0]->status;
  // Who waits in the other worker takes the connection that it kept.
  AnswerAll(one);
  ASSERT_TRUE(Done(full));
  ASSERT_TRUE(Until([&] { return one.requests().size() == 3; }));
  AnswerAll(one);
  ASSERT_TRUE(Done(later));
  EXPECT_EQ(other_->connections(), 1u);
  EXPECT_EQ(cluster_->connections(), 1u);
  EXPECT_EQ(given_up(), 1u);
}

TEST_F(ClusterHttp2PlacesTest, OneThatIsFullIsGivenUpWhenOneOfItsRequestsEnds) {
  MakeBoth(2);
  auto first = StartSomeOther(2);
  H2TestServer& one = Accept({.max_streams = 2});
  ASSERT_TRUE(Until([&] { return one.requests().size() == 2; }));
  TurnAll();
  auto second = StartSomeOther(2);
  H2TestServer& two = Accept({.max_streams = 2});
  ASSERT_TRUE(Until([&] { return two.requests().size() == 2; }));
  TurnAll();
  auto mine = StartSome(1);
  TurnAll();
  EXPECT_EQ(given_up(), 0u);
  one.Respond(1, {{":status", "200"}}, "ok");
  ASSERT_TRUE(Until([&] { return first[0]->done; }));
  EXPECT_EQ(given_up(), 1u);
  EXPECT_TRUE(server_.Quiet());
  one.Respond(3, {{":status", "200"}}, "ok");
  ASSERT_TRUE(Done(first));
  H2TestServer& three = Accept();
  ASSERT_TRUE(Until([&] { return three.requests().size() == 1; }));
  AnswerAll(two);
  AnswerAll(three);
  ASSERT_TRUE(Done(second));
  ASSERT_TRUE(Done(mine));
}

TEST_F(ClusterHttp2PlacesTest, OneThatIsBusyForLongKeepsNobodyFromAnother) {
  MakeBoth(3);
  std::vector<std::vector<std::unique_ptr<Request>>> others;
  std::vector<H2TestServer*> theirs;
  for (size_t i = 0; i < 3; ++i) {
    others.push_back(StartSomeOther(2));
    theirs.push_back(&Accept({.max_streams = 2}));
    ASSERT_TRUE(Until([&] { return theirs[i]->requests().size() == 2; }));
    TurnAll();
  }
  auto mine = StartSome(1);
  theirs[0]->Respond(1, {{":status", "200"}}, "ok");
  ASSERT_TRUE(Until([&] { return others[0][0]->done; }));
  EXPECT_EQ(given_up(), 1u);
  // Its other request goes on. One is enough.
  theirs[1]->Respond(1, {{":status", "200"}}, "ok");
  ASSERT_TRUE(Until([&] { return others[1][0]->done; }));
  EXPECT_EQ(given_up(), 1u);
  EXPECT_TRUE(server_.Quiet());
  // But one that comes to rest is better.
  theirs[1]->Respond(3, {{":status", "200"}}, "ok");
  ASSERT_TRUE(Done(others[1]));
  EXPECT_EQ(given_up(), 2u);
  H2TestServer& own = Accept();
  ASSERT_TRUE(Until([&] { return own.requests().size() == 1; }));
  AnswerAll(own);
  ASSERT_TRUE(Done(mine));
  EXPECT_FALSE(others[0][1]->done);
  theirs[0]->Respond(3, {{":status", "200"}}, "ok");
  AnswerAll(*theirs[2]);
  ASSERT_TRUE(Done(others[0]));
  ASSERT_TRUE(Done(others[2]));
}

TEST_F(ClusterHttp2PlacesTest, TheOnlyOneIsKeptWhileItIsBusy) {
  MakeBoth(1);
  auto busy = StartSomeOther(2);
  H2TestServer& one = Accept();
  ASSERT_TRUE(Until([&] { return one.requests().size() == 2; }));
  auto mine = StartSome(1);
  TurnAll();
  one.Respond(1, {{":status", "200"}}, "ok");
  ASSERT_TRUE(Until([&] { return busy[0]->done; }));
  auto later = StartSomeOther(1);
  ASSERT_TRUE(Until([&] { return one.requests().size() == 3; }));
  EXPECT_EQ(given_up(), 0u);
  one.Respond(3, {{":status", "200"}}, "ok");
  one.Respond(5, {{":status", "200"}}, "ok");
  ASSERT_TRUE(Done(busy));
  ASSERT_TRUE(Done(later));
  H2TestServer& two = Accept();
  ASSERT_TRUE(Until([&] { return two.requests().size() == 1; }));
  EXPECT_EQ(given_up(), 1u);
  AnswerAll(two);
  ASSERT_TRUE(Done(mine));
}

}  // namespace
}  // namespace portico::upstream
