// Revisions on their way to proxies, over real connections.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "controlplane/control_plane.h"
#include "controlplane/store/test_resources.h"
#include "tests/integration/control_plane/fake_proxy.h"
#include "tests/integration/control_plane/operator.h"

namespace portico::testing {
namespace {

using control::TestRoute;
using control::TestUpstream;
using ::testing::HasSubstr;

class DiscoveryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string folder = ::testing::TempDir() + "/discoveryXXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    options_.store = folder + "/store.db";
    options_.grpc_address = "127.0.0.1:0";
    options_.metrics_address = "";
    options_.insecure = true;
    Start();
  }

  void Start() {
    auto running = control::StartControlPlane(options_, clock_);
    ASSERT_TRUE(running.ok()) << running.status();
    running_ = *std::move(running);
    operator_ = std::make_unique<Operator>(Channel());
  }

  void Restart() {
    running_.reset();
    Start();
  }

  std::shared_ptr<grpc::Channel> Channel() {
    // One connection each, as with proxies on different machines.
    grpc::ChannelArguments arguments;
    arguments.SetInt("test.channel", ++channels_);
    return grpc::CreateCustomChannel(running_->grpc_address(), grpc::InsecureChannelCredentials(),
                                     arguments);
  }

  control::Options options_;
  control::FakeClock clock_;
  std::unique_ptr<control::ControlPlane> running_;
  std::unique_ptr<Operator> operator_;
  int channels_ = 0;
};

TEST_F(DiscoveryTest, AProxyGetsEverythingThenDeltas) {
  ASSERT_EQ(operator_->Apply({TestUpstream("users"), TestRoute("users", "users")}), 1u);
  FakeProxy proxy(Channel(), "edge-1");
  proxy.Connect();
  EXPECT_EQ(proxy.Take(), 1u);
  EXPECT_EQ(proxy.contents().size(), 2u);
  ASSERT_EQ(operator_->Apply({TestUpstream("orders")}, {{"Route", "users"}}), 2u);
  const auto set = proxy.Read();
  ASSERT_TRUE(set.has_value());
  EXPECT_EQ(set->base_revision, 1u);
  EXPECT_EQ(set->upserts.size(), 1u);
  EXPECT_EQ(set->removals.size(), 1u);
  EXPECT_TRUE(proxy.Apply(*set));
  EXPECT_EQ(operator_->Watch(2, 1).state(), v1::RolloutStatus::LIVE);
}

TEST_F(DiscoveryTest, LargeSetsComeInChunks) {
  std::vector<v1::Resource> many;
  for (int i = 0; i < 6000; ++i) {
    many.push_back(TestUpstream("u" + std::to_string(i)));
    many.back().set_description(std::string(1000, 'x'));
  }
  ASSERT_EQ(operator_->Apply(many), 1u) << operator_->status.error_message();
  FakeProxy proxy(Channel(), "edge-1");
  proxy.Connect();
  const auto set = proxy.Read();
  ASSERT_TRUE(set.has_value());
  EXPECT_EQ(set->chunks, 2u);
  EXPECT_LT(set->largest_chunk_bytes, 4u << 20);
  EXPECT_TRUE(proxy.Apply(*set));
  EXPECT_EQ(proxy.contents().size(), 6000u);
  // The greeting of such a proxy comes in pieces.
  proxy.Disconnect();
  ASSERT_EQ(operator_->Apply({TestUpstream("more")}), 2u);
  proxy.Connect(1000);
  const auto delta = proxy.Read();
  ASSERT_TRUE(delta.has_value());
  EXPECT_EQ(delta->upserts.size(), 1u);
}

TEST_F(DiscoveryTest, NewerRevisionsCoalesceWhileOneIsInFlight) {
  FakeProxy proxy(Channel(), "edge-1");
  proxy.Connect();
  ASSERT_EQ(operator_->Apply({TestUpstream("a")}), 1u);
  const auto first = proxy.Read();
  ASSERT_TRUE(first.has_value());
  for (uint64_t i = 2; i <= 5; ++i) {
    ASSERT_EQ(operator_->Apply({TestUpstream("a" + std::to_string(i))}), i);
  }
  ASSERT_TRUE(proxy.Apply(*first));
  const auto second = proxy.Read();
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->base_revision, 1u);
  EXPECT_EQ(second->revision, 5u);
  EXPECT_EQ(second->upserts.size(), 4u);
}

TEST_F(DiscoveryTest, ASlowProxyDelaysNobody) {
  std::vector<v1::Resource> many;
  for (int i = 0; i < 6000; ++i) {
    many.push_back(TestUpstream("u" + std::to_string(i)));
    many.back().set_description(std::string(1000, 'x'));
  }
  ASSERT_EQ(operator_->Apply(many), 1u);
  FakeProxy slow(Channel(), "slow");
  slow.Connect();  // And does not read.
  FakeProxy quick(Channel(), "quick");
  quick.Connect();
  EXPECT_EQ(quick.Take(), 1u);
  for (uint64_t i = 2; i <= 10; ++i) {
    ASSERT_EQ(operator_->Apply({TestUpstream("u1", static_cast<int>(i))}), i);
    EXPECT_EQ(quick.Take(), i);
  }
  // Once it reads, it gets there, in two steps.
  EXPECT_EQ(slow.Take(), 1u);
  EXPECT_EQ(slow.Take(), 10u);
}

TEST_F(DiscoveryTest, ARejectedRevisionIsNotSentAgain) {
  FakeProxy proxy(Channel(), "edge-1");
  proxy.Connect();
  ASSERT_EQ(operator_->Apply({TestUpstream("a")}), 1u);
  const auto first = proxy.Read();
  ASSERT_TRUE(first.has_value());
  proxy.SendReceived(*first);
  proxy.Reject(*first, "no such address");
  const v1::RolloutStatus status = operator_->Watch(1, 1);
  EXPECT_EQ(status.state(), v1::RolloutStatus::REJECTED);
  ASSERT_EQ(status.waiting_size(), 1);
  EXPECT_EQ(status.waiting(0).rejections(0).reason(), "no such address");
  // Neither on another stream, where the next thing that comes is the next revision.
  proxy.Disconnect();
  proxy.Connect();
  ASSERT_EQ(operator_->Apply({TestUpstream("b")}), 2u);
  const auto second = proxy.Read();
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->revision, 2u);
  EXPECT_EQ(second->upserts.size(), 2u);
  EXPECT_TRUE(proxy.Apply(*second));
  EXPECT_EQ(operator_->Watch(2, 1).state(), v1::RolloutStatus::LIVE);
}

TEST_F(DiscoveryTest, AResyncBringsEverythingAnew) {
  FakeProxy proxy(Channel(), "edge-1");
  proxy.Connect();
  ASSERT_EQ(operator_->Apply({TestUpstream("a"), TestUpstream("b")}), 1u);
  EXPECT_EQ(proxy.Take(), 1u);
  proxy.Forget({"Upstream", "a"});
  ASSERT_EQ(operator_->Apply({TestUpstream("c")}), 2u);
  const auto delta = proxy.Read();
  ASSERT_TRUE(delta.has_value());
  EXPECT_FALSE(proxy.Apply(*delta)) << "the checksum must show it";
  proxy.Reject(*delta, "", true);
  const auto whole = proxy.Read();
  ASSERT_TRUE(whole.has_value());
  EXPECT_EQ(whole->upserts.size(), 3u);
  EXPECT_TRUE(proxy.Apply(*whole));
}

TEST_F(DiscoveryTest, ResumesAfterReconnecting) {
  ASSERT_EQ(operator_->Apply({TestUpstream("a"), TestUpstream("b")}), 1u);
  FakeProxy proxy(Channel(), "edge-1");
  proxy.Connect();
  EXPECT_EQ(proxy.Take(), 1u);
  proxy.Disconnect();
  ASSERT_EQ(operator_->Apply({TestUpstream("b", 1)}), 2u);
  proxy.Connect();
  const auto set = proxy.Read();
  ASSERT_TRUE(set.has_value());
  EXPECT_EQ(set->base_revision, 1u);
  EXPECT_EQ(set->upserts.size(), 1u);
  EXPECT_TRUE(proxy.Apply(*set));
}

TEST_F(DiscoveryTest, ResumesAfterARestartOfTheControlPlane) {
  ASSERT_EQ(operator_->Apply({TestUpstream("a"), TestUpstream("b")}), 1u);
  FakeProxy proxy(Channel(), "edge-1");
  proxy.Connect();
  EXPECT_EQ(proxy.Take(), 1u);
  ASSERT_EQ(operator_->Apply({TestUpstream("c")}, {{"Upstream", "a"}}), 2u);
  proxy.Disconnect();
  Restart();
  // The new process does not remember what revision 1 was, so hashes are compared.
  proxy.MoveTo(Channel());
  proxy.Connect();
  const auto set = proxy.Read();
  ASSERT_TRUE(set.has_value());
  EXPECT_EQ(set->base_revision, 1u);
  EXPECT_EQ(set->revision, 2u);
  EXPECT_EQ(set->upserts.size(), 1u);
  EXPECT_EQ(set->removals.size(), 1u);
  EXPECT_TRUE(proxy.Apply(*set));
  // One that is up to date gets the next change, and nothing before.
  proxy.Disconnect();
  Restart();
  proxy.MoveTo(Channel());
  proxy.Connect();
  ASSERT_EQ(operator_->Apply({TestUpstream("d")}), 3u);
  EXPECT_EQ(proxy.Take(), 3u);
}

TEST_F(DiscoveryTest, UnchangedContentIsNotSent) {
  FakeProxy proxy(Channel(), "edge-1");
  proxy.Connect();
  ASSERT_EQ(operator_->Apply({TestUpstream("a")}), 1u);
  EXPECT_EQ(proxy.Take(), 1u);
  ASSERT_EQ(operator_->Apply({TestUpstream("a")}), 1u);
  ASSERT_EQ(operator_->Apply({TestUpstream("a"), TestUpstream("b")}), 2u);
  const auto set = proxy.Read();
  ASSERT_TRUE(set.has_value());
  EXPECT_EQ(set->revision, 2u);
  EXPECT_EQ(set->upserts.size(), 1u);
}

TEST_F(DiscoveryTest, ALaterStreamOfTheSameNodeReplacesTheEarlier) {
  FakeProxy first(Channel(), "edge-1");
  first.Connect();
  ASSERT_EQ(operator_->Apply({TestUpstream("a")}), 1u);
  EXPECT_EQ(first.Take(), 1u);
  FakeProxy second(Channel(), "edge-1");
  second.Connect();
  EXPECT_EQ(second.Take(), 1u);
  const grpc::Status status = first.WaitForEnd();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_THAT(status.error_message(), HasSubstr("node ids must be unique"));
  ASSERT_EQ(operator_->Apply({TestUpstream("b")}), 2u);
  EXPECT_EQ(second.Take(), 2u);
  EXPECT_EQ(operator_->Proxies().proxies_size(), 1);
}

TEST_F(DiscoveryTest, HeartbeatsBothWays) {
  FakeProxy lively(Channel(), "lively");
  lively.Connect();
  FakeProxy silent(Channel(), "silent");
  silent.Connect();
  ASSERT_EQ(operator_->Apply({TestUpstream("a")}), 1u);
  EXPECT_EQ(lively.Take(), 1u);
  EXPECT_EQ(silent.Take(), 1u);
  ASSERT_EQ(operator_->Watch(1, 2).state(), v1::RolloutStatus::LIVE);
  clock_.Advance(absl::Seconds(11));
  running_->Tick();
  EXPECT_TRUE(lively.ReadHeartbeat());
  EXPECT_TRUE(silent.ReadHeartbeat());
  lively.SendHeartbeat();
  // Wait until it has been heard.
  while (absl::FromUnixSeconds(operator_->Proxies().proxies(0).last_seen().seconds()) <
         clock_.Now()) {
  }
  clock_.Advance(absl::Seconds(20));
  running_->Tick();
  const grpc::Status status = silent.WaitForEnd();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(status.error_message(), HasSubstr("send a heartbeat"));
  ASSERT_EQ(operator_->Apply({TestUpstream("b")}), 2u);
  EXPECT_EQ(lively.Take(), 2u);
}

TEST_F(DiscoveryTest, TooManyProxiesAreRefused) {
  options_.max_proxies = 2;
  Restart();
  ASSERT_EQ(operator_->Apply({TestUpstream("a")}), 1u);
  FakeProxy a(Channel(), "a");
  a.Connect();
  EXPECT_EQ(a.Take(), 1u);
  FakeProxy b(Channel(), "b");
  b.Connect();
  EXPECT_EQ(b.Take(), 1u);
  FakeProxy c(Channel(), "c");
  c.Connect();
  const grpc::Status status = c.WaitForEnd();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("--max-proxies"));
}

TEST_F(DiscoveryTest, AnOlderStoreNeverMovesAProxyBack) {
  ASSERT_EQ(operator_->Apply({TestUpstream("a")}), 1u);
  ASSERT_EQ(operator_->Apply({TestUpstream("b")}), 2u);
  ASSERT_EQ(operator_->Apply({TestUpstream("c")}), 3u);
  FakeProxy proxy(Channel(), "edge-1");
  proxy.Connect();
  EXPECT_EQ(proxy.Take(), 3u);
  proxy.Disconnect();
  // It meets a control plane whose store is an older copy.
  options_.store += ".restored";
  Restart();
  ASSERT_EQ(operator_->Apply({TestUpstream("a")}), 1u);
  proxy.MoveTo(Channel());
  proxy.Connect();
  v1::ListProxiesResponse proxies;
  do {
    proxies = operator_->Proxies();
  } while (proxies.proxies_size() == 0);
  EXPECT_EQ(proxies.current_revision(), 1u);
  EXPECT_EQ(proxies.proxies(0).applied_revision(), 3u);
  ASSERT_EQ(proxies.proxies(0).rejections_size(), 1);
  EXPECT_THAT(proxies.proxies(0).rejections(0).reason(), HasSubstr("restored from an older copy"));
  // The next change is numbered above what the proxy has, and takes away only by name.
  ASSERT_EQ(operator_->Apply({TestUpstream("d")}), 4u);
  const auto set = proxy.Read();
  ASSERT_TRUE(set.has_value());
  EXPECT_EQ(set->base_revision, 3u);
  EXPECT_EQ(set->revision, 4u);
  EXPECT_EQ(set->upserts.size(), 1u);
  EXPECT_EQ(set->removals.size(), 2u);
  EXPECT_TRUE(proxy.Apply(*set));
}

TEST_F(DiscoveryTest, StopEndsStreamsAtOnce) {
  FakeProxy proxy(Channel(), "edge-1");
  proxy.Connect();
  ASSERT_EQ(operator_->Apply({TestUpstream("a")}), 1u);
  EXPECT_EQ(proxy.Take(), 1u);
  running_->Stop();
  EXPECT_EQ(proxy.WaitForEnd().error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace portico::testing
