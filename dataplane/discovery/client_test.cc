#include "dataplane/discovery/client.h"

#include <memory>
#include <string>
#include <vector>

#include "dataplane/discovery/client_test_support.h"
#include "dataplane/discovery/fake_control_plane.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace portico::discovery_client {
namespace {

using discovery::v1::Hello;
using discovery::v1::ProxyMessage;
using ::testing::HasSubstr;

class ClientTest : public ::testing::Test {
 protected:
  std::unique_ptr<DiscoveryClient> Start(ClientOptions options, uint64_t revision = 0,
                                         ResourceSetPtr applied = nullptr) {
    auto client =
        DiscoveryClient::Create(std::move(options), sink_, base::RealClock(), status_, nullptr);
    EXPECT_TRUE(client.ok()) << client.status();
    (*client)->Start(revision, std::move(applied));
    return *std::move(client);
  }

  const api::ResourceSet one_ = TestSet({{"a", "1"}, {"b", "2"}, {"c", "3"}});
  const api::ResourceSet two_ = TestSet({{"a", "1"}, {"b", "changed"}, {"d", "4"}});
  MailboxSink sink_;
  observe::ProxyStatus status_;
  Mailbox<Hello> hellos_;
  Mailbox<ProxyMessage> answers_;
};

TEST_F(ClientTest, ARevisionArrivesIsAppliedAndAnsweredTwice) {
  FakeControlPlane plane({[&](Talk& talk) {
    hellos_.Put(talk.ReadHello());
    talk.Send(TestChunks(1, 0, {}, 5, one_));
    for (int i = 0; i < 2; ++i) answers_.Put(talk.Read().value());
    talk.Send(TestChunks(2, 5, one_, 6, two_));
    for (int i = 0; i < 2; ++i) answers_.Put(talk.Read().value());
    talk.AwaitEnd();
    return grpc::Status::OK;
  }});
  const auto client = Start(TestOptions(plane.address()));
  const Hello hello = hellos_.Take();
  EXPECT_EQ(hello.node_id(), "node-1");
  EXPECT_EQ(hello.labels().at("zone"), "a");
  EXPECT_EQ(hello.build(), "test");
  EXPECT_EQ(hello.applied_revision(), 0u);
  EXPECT_EQ(hello.resources_size(), 0);

  const SinkOffer first = sink_.offers.Take();
  EXPECT_EQ(first.revision, 5u);
  EXPECT_EQ(api::ChecksumOf(first.set), api::ChecksumOf(one_));
  // Received does not wait for the workers.
  const ProxyMessage received = answers_.Take();
  EXPECT_EQ(received.received().nonce(), 1u);
  EXPECT_EQ(received.received().revision(), 5u);
  EXPECT_TRUE(answers_.empty());
  first.done({});
  const ProxyMessage applied = answers_.Take();
  EXPECT_EQ(applied.applied().nonce(), 1u);
  EXPECT_EQ(applied.applied().revision(), 5u);
  EXPECT_TRUE(status_.control_plane_connected);

  EXPECT_EQ(api::ChecksumOf(sink_.Accept().set), api::ChecksumOf(two_));
  EXPECT_TRUE(answers_.Take().has_received());
  EXPECT_EQ(answers_.Take().applied().revision(), 6u);
}

TEST_F(ClientTest, AWrongChecksumIsAnsweredWithResync) {
  FakeControlPlane plane({[&](Talk& talk) {
    talk.ReadHello();
    auto chunks = TestChunks(1, 0, {}, 5, one_);
    chunks.back().set_checksum(std::string(32, 'x'));
    talk.Send(chunks);
    answers_.Put(talk.Read().value());
    talk.Send(TestChunks(2, 0, {}, 5, one_));
    answers_.Put(talk.Read().value());
    talk.AwaitEnd();
    return grpc::Status::OK;
  }});
  const auto client = Start(TestOptions(plane.address()));
  const ProxyMessage rejected = answers_.Take();
  EXPECT_EQ(rejected.rejected().nonce(), 1u);
  EXPECT_EQ(rejected.rejected().revision(), 5u);
  EXPECT_TRUE(rejected.rejected().resync());
  EXPECT_TRUE(answers_.Take().has_received());
  EXPECT_EQ(sink_.Accept().revision, 5u);
  EXPECT_EQ(status_.control_plane_resyncs_total.value(), 1u);
}

TEST_F(ClientTest, WhatIsLiveSurvivesLostStreams) {
  const auto greet_and_end = [&](Talk& talk) {
    hellos_.Put(talk.ReadHello());
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "restarting");
  };
  FakeControlPlane plane({[&](Talk& talk) {
                            hellos_.Put(talk.ReadHello());
                            talk.Send(TestChunks(1, 0, {}, 5, one_));
                            talk.Read();
                            // The stream ends before the revision is live.
                            return grpc::Status(grpc::StatusCode::UNAVAILABLE, "restarting");
                          },
                          greet_and_end, greet_and_end,
                          [&](Talk& talk) {
                            hellos_.Put(talk.ReadHello());
                            talk.Send(TestChunks(1, 5, one_, 6, two_));
                            talk.AwaitEnd();
                            return grpc::Status::OK;
                          }});
  const auto client = Start(TestOptions(plane.address()));
  const Hello greeting = hellos_.Take();
  EXPECT_EQ(greeting.applied_revision(), 0u);
  EXPECT_EQ(greeting.process().size(), 16u);
  const SinkOffer offer = sink_.offers.Take();
  offer.done({});
  for (int i = 0; i < 3; ++i) {
    const Hello hello = hellos_.Take();
    EXPECT_EQ(hello.applied_revision(), 5u);
    EXPECT_EQ(hello.process(), greeting.process());
    ASSERT_EQ(hello.resources_size(), 3);
    const api::Digest& hash = one_.at({"Upstream", "a"})->hash;
    EXPECT_EQ(hello.resources(0).kind(), "Upstream");
    EXPECT_EQ(hello.resources(0).name(), "a");
    EXPECT_EQ(hello.resources(0).hash(), std::string(hash.begin(), hash.end()));
  }
  EXPECT_EQ(sink_.Accept().revision, 6u);
}

TEST_F(ClientTest, ResumesFromTheCache) {
  FakeControlPlane plane({[&](Talk& talk) {
    hellos_.Put(talk.ReadHello());
    talk.SendHeartbeat();
    talk.Send(TestChunks(1, 5, one_, 6, two_));
    talk.AwaitEnd();
    return grpc::Status::OK;
  }});
  status_.config_from_cache = true;
  const auto client =
      Start(TestOptions(plane.address()), 5, std::make_shared<const api::ResourceSet>(one_));
  const Hello hello = hellos_.Take();
  EXPECT_EQ(hello.applied_revision(), 5u);
  EXPECT_EQ(hello.resources_size(), 3);
  EXPECT_EQ(api::ChecksumOf(sink_.Accept().set), api::ChecksumOf(two_));
  EXPECT_FALSE(status_.config_from_cache);
}

TEST_F(ClientTest, ARefusalIsReportedAndTheOldRevisionStays) {
  FakeControlPlane plane({[&](Talk& talk) {
                            talk.ReadHello();
                            talk.Send(TestChunks(1, 0, {}, 5, one_));
                            talk.Read();
                            talk.Read();
                            talk.Send(TestChunks(2, 5, one_, 6, two_));
                            talk.Read();
                            answers_.Put(talk.Read().value());
                            // Still from 5.
                            talk.Send(TestChunks(3, 5, one_, 7, two_));
                            talk.Read();
                            answers_.Put(talk.Read().value());
                            return grpc::Status::OK;
                          },
                          [&](Talk& talk) {
                            hellos_.Put(talk.ReadHello());
                            talk.AwaitEnd();
                            return grpc::Status::OK;
                          }});
  const auto client = Start(TestOptions(plane.address()));
  sink_.Accept();
  v1::Violation violation;
  violation.mutable_resource()->set_name("b");
  violation.set_field("spec.x");
  violation.set_reason("wrong");
  sink_.offers.Take().done({violation});
  const ProxyMessage rejected = answers_.Take();
  EXPECT_EQ(rejected.rejected().nonce(), 2u);
  EXPECT_FALSE(rejected.rejected().resync());
  ASSERT_EQ(rejected.rejected().violations_size(), 1);
  EXPECT_EQ(rejected.rejected().violations(0).field(), "spec.x");
  // Very many violations still fit into one message.
  sink_.offers.Take().done(ApplyResult(100'000, violation));
  EXPECT_EQ(answers_.Take().rejected().violations_size(), 200);
  EXPECT_EQ(hellos_.Take().applied_revision(), 5u);
}

TEST_F(ClientTest, AnUnreadableResourceIsRefusedByName) {
  FakeControlPlane plane({[&](Talk& talk) {
    talk.ReadHello();
    auto chunks = TestChunks(1, 0, {}, 5, one_);
    chunks[1].mutable_upserts(0)->set_content("\xff");
    talk.Send(chunks);
    answers_.Put(talk.Read().value());
    talk.AwaitEnd();
    return grpc::Status::OK;
  }});
  const auto client = Start(TestOptions(plane.address()));
  const ProxyMessage rejected = answers_.Take();
  EXPECT_FALSE(rejected.rejected().resync());
  ASSERT_EQ(rejected.rejected().violations_size(), 1);
  EXPECT_EQ(rejected.rejected().violations(0).resource().name(), "b");
}

TEST_F(ClientTest, ASetDuringAnotherIsNotTaken) {
  FakeControlPlane plane({[&](Talk& talk) {
    talk.ReadHello();
    talk.Send(TestChunks(1, 0, {}, 5, one_));
    talk.Read();
    talk.Send(TestChunks(2, 0, {}, 6, TestSet({{"x", ""}})));
    for (int i = 0; i < 2; ++i) answers_.Put(talk.Read().value());
    talk.AwaitEnd();
    return grpc::Status::OK;
  }});
  const auto client = Start(TestOptions(plane.address()));
  const SinkOffer offer = sink_.offers.Take();
  const ProxyMessage rejected = answers_.Take();
  EXPECT_EQ(rejected.rejected().nonce(), 2u);
  EXPECT_TRUE(rejected.rejected().resync());
  offer.done({});
  EXPECT_EQ(answers_.Take().applied().nonce(), 1u);
}

TEST_F(ClientTest, NothingIsNeverOfferedToAProxyThatHasNothing) {
  FakeControlPlane plane({[&](Talk& talk) {
    talk.ReadHello();
    talk.Send(TestChunks(1, 0, {}, 5, {}));
    for (int i = 0; i < 2; ++i) answers_.Put(talk.Read().value());
    talk.Send(TestChunks(2, 5, {}, 6, one_));
    talk.AwaitEnd();
    return grpc::Status::OK;
  }});
  const auto client = Start(TestOptions(plane.address()));
  EXPECT_TRUE(answers_.Take().has_received());
  EXPECT_EQ(answers_.Take().applied().revision(), 5u);
  EXPECT_EQ(sink_.Accept().revision, 6u);
}

TEST_F(ClientTest, ASilentControlPlaneIsLeft) {
  FakeControlPlane plane({[&](Talk& talk) {
    hellos_.Put(talk.ReadHello());
    talk.AwaitEnd();
    return grpc::Status::OK;
  }});
  ClientOptions options = TestOptions(plane.address());
  options.silence_nanos = 50 * base::kNanosPerMilli;
  const auto client = Start(options);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(hellos_.Take().node_id(), "node-1");
}

TEST_F(ClientTest, HeartbeatsGoBothWays) {
  Mailbox<int> heard;
  FakeControlPlane plane({[&](Talk& talk) {
    talk.ReadHello();
    talk.SendHeartbeat();
    // Its heartbeats are the clock here: each is answered, until there were many.
    for (int i = 0; i < 20; ++i) {
      if (!talk.ReadHeartbeat()) break;
      talk.SendHeartbeat();
      heard.Put(i);
    }
    talk.AwaitEnd();
    return grpc::Status::OK;
  }});
  ClientOptions options = TestOptions(plane.address());
  options.heartbeat_nanos = 20 * base::kNanosPerMilli;
  options.silence_nanos = 10 * base::kNanosPerSecond;
  const auto client = Start(options);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(heard.Take(), i);
  EXPECT_EQ(plane.streams(), 1u);
}

TEST_F(ClientTest, WaitsForAControlPlaneThatComesLater) {
  std::string address;
  {
    FakeControlPlane gone({[](Talk&) { return grpc::Status::OK; }});
    address = gone.address();
  }
  const auto client = Start(TestOptions(address));
  FakeControlPlane plane({[&](Talk& talk) {
                           hellos_.Put(talk.ReadHello());
                           talk.AwaitEnd();
                           return grpc::Status::OK;
                         }},
                         address);
  ASSERT_TRUE(plane.running());
  EXPECT_EQ(hellos_.Take().node_id(), "node-1");
}

TEST_F(ClientTest, ShutdownDoesNotHang) {
  // With nobody there.
  Start(TestOptions("127.0.0.1:1"))->Shutdown();
  // Never started, or twice.
  auto idle = DiscoveryClient::Create(TestOptions("127.0.0.1:1"), sink_, base::RealClock(), status_,
                                      nullptr);
  (*idle)->Shutdown();
  (*idle)->Shutdown();
  // In the middle of a revision; the answer comes when the client is gone.
  FakeControlPlane plane({[&](Talk& talk) {
    talk.ReadHello();
    talk.Send(TestChunks(1, 0, {}, 5, one_));
    talk.AwaitEnd();
    return grpc::Status::OK;
  }});
  auto client = Start(TestOptions(plane.address()));
  const SinkOffer offer = sink_.offers.Take();
  client.reset();
  offer.done({});
  EXPECT_FALSE(status_.control_plane_connected);
}

TEST_F(ClientTest, AppliedRevisionsAreKept) {
  std::string folder = ::testing::TempDir() + "/client_XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  auto cache = LastGoodCache::Open({.folder = folder, .node_id = "node-1"}, base::RealClock());
  ASSERT_TRUE(cache.ok());
  FakeControlPlane plane({[&](Talk& talk) {
    talk.ReadHello();
    talk.Send(TestChunks(1, 0, {}, 5, one_));
    talk.Read();
    answers_.Put(talk.Read().value());
    talk.Send(TestChunks(2, 5, one_, 6, {}));
    talk.Read();
    answers_.Put(talk.Read().value());
    talk.AwaitEnd();
    return grpc::Status::OK;
  }});
  auto client = DiscoveryClient::Create(TestOptions(plane.address()), sink_, base::RealClock(),
                                        status_, cache->get());
  (*client)->Start(0, nullptr);
  sink_.Accept();
  EXPECT_TRUE(answers_.Take().has_applied());
  const SinkOffer nothing = sink_.offers.Take();
  EXPECT_TRUE(nothing.set.empty());
  (*cache)->Flush();
  EXPECT_EQ((*cache)->Load()->revision, 5u);
  // A restart does not bring back what was deleted.
  nothing.done({});
  EXPECT_TRUE(answers_.Take().has_applied());
  (*cache)->Flush();
  ASSERT_TRUE((*cache)->Load().ok());
  EXPECT_EQ((*cache)->Load()->revision, 6u);
  EXPECT_TRUE((*cache)->Load()->resources.empty());
}

TEST_F(ClientTest, OptionsThatCannotWork) {
  struct Case {
    const char* name;
    ChannelOptions channel;
    const char* message;
  };
  const auto insecure = [](const char* address) {
    return ChannelOptions{.address = address, .insecure = true};
  };
  const std::vector<Case> cases = {
      {"empty", insecure(""), "write host:port"},
      {"no port", insecure("localhost"), "write host:port"},
      {"port 0", insecure("127.0.0.1:0"), "write host:port"},
      {"port too large", insecure("127.0.0.1:65536"), "write host:port"},
      {"no host", insecure(":80"), "write host:port"},
      {"scheme", insecure("unix:/tmp/x:1"), "write host:port"},
      {"not loopback", insecure("10.0.0.1:80"), "only loopback"},
      {"not loopback by name", insecure("localhost.example.com:80"), "only loopback"},
      {"not loopback, v6", insecure("[::2]:80"), "only loopback"},
      {"no files", {.address = "10.0.0.1:80"}, "certificate and key files"},
      {"some files", {.address = "10.0.0.1:80", .ca_file = "ca"}, "certificate and key files"},
      {"both", {.address = "127.0.0.1:80", .insecure = true, .ca_file = "ca"}, "leave one out"},
  };
  for (const Case& c : cases) {
    const absl::Status status = CheckChannelOptions(c.channel);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.name;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.message)) << c.name;
  }
  for (const char* address : {"127.0.0.1:80", "127.9.9.9:1", "[::1]:80", "localhost:65535"}) {
    EXPECT_TRUE(CheckChannelOptions(insecure(address)).ok()) << address;
  }
  ClientOptions nameless = TestOptions("127.0.0.1:80");
  nameless.identity.node_id.clear();
  EXPECT_FALSE(DiscoveryClient::Create(nameless, sink_, base::RealClock(), status_, nullptr).ok());
}

}  // namespace
}  // namespace portico::discovery_client
