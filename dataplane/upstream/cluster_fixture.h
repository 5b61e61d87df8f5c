// A cluster over real sockets, and requests that tests look into.
#ifndef DATAPLANE_UPSTREAM_CLUSTER_FIXTURE_H_
#define DATAPLANE_UPSTREAM_CLUSTER_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataplane/base/fake_clock.h"
#include "dataplane/event/run_task.h"
#include "dataplane/upstream/cluster.h"
#include "dataplane/upstream/test_server.h"

namespace portico::upstream {

using base::kNanosPerMilli;
using base::kNanosPerSecond;

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

inline event::Task<absl::Status> Exchange(Request& request) {
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

inline event::Task<void> Get(Cluster& cluster, Request& request, const Host* avoid) {
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
  ClusterTest() : random_({1, 2, 3, 4}), loop_(*event::CreateEpollEngine(), clock_) {}
  ~ClusterTest() override {
    if (cluster_ != nullptr) {
      cluster_->Close();
      EXPECT_TRUE(event::RunUntil(loop_, [this] { return cluster_->connections() == 0; }));
      EXPECT_TRUE(cluster_->idle());
      EXPECT_EQ(Shared()->connections.taken(), 0);
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

}  // namespace portico::upstream

#endif  // DATAPLANE_UPSTREAM_CLUSTER_FIXTURE_H_
