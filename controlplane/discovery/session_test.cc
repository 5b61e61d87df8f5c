#include "controlplane/discovery/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/store/memory_store.h"
#include "controlplane/store/test_resources.h"

namespace portico::control {
namespace {

using discovery::v1::ProxyMessage;
using discovery::v1::ServerMessage;
using ::testing::HasSubstr;

class SessionTest : public testing::Test {
 protected:
  void SetUp() override {
    auto catalog = Catalog::Open(store_, metrics_);
    ASSERT_TRUE(catalog.ok());
    catalog_ = *std::move(catalog);
    compiler_ = std::make_unique<Compiler>(*catalog_, 600);
    Open();
  }

  void Open(const HelloLimits& limits = {}) {
    session_ = std::make_unique<Session>(
        SessionContext{*catalog_, *compiler_, fleet_, clock_, metrics_}, ++id_, "ip", limits);
  }

  void Put(const std::vector<v1::Resource>& upserts,
           const std::vector<api::ResourceKey>& deletions = {}) {
    const RevisionPtr head = catalog_->Head();
    const std::vector<Change> changes = ChangesTo(*head->set, upserts, deletions);
    RevisionInfo info = InfoAfter(catalog_->NextRevision(), *head->set, changes);
    info.created_at = clock_.Now();
    ASSERT_TRUE(catalog_->Commit(info, changes, catalog_->Draft(changes)).ok());
    fleet_.Advance(catalog_->Head()->info.revision);
  }

  static ProxyMessage HelloOf(uint64_t revision, const api::ResourceSet& has = {}) {
    ProxyMessage message;
    message.mutable_hello()->set_node_id("edge-1");
    message.mutable_hello()->set_build("1");
    message.mutable_hello()->set_applied_revision(revision);
    for (const auto& [key, resource] : has) {
      auto& version = *message.mutable_hello()->add_resources();
      version.set_kind(key.kind);
      version.set_name(key.name);
      version.set_hash(resource->hash.data(), resource->hash.size());
    }
    return message;
  }

  void Greet(uint64_t revision, const api::ResourceSet& has = {}) {
    ASSERT_TRUE(session_->OnMessage(HelloOf(revision, has)).ok());
  }

  // Writes one message, or nothing.
  const ServerMessage* Next() {
    const auto next = session_->Next();
    EXPECT_TRUE(next.ok()) << next.status();
    if (!next.ok() || *next == nullptr) return nullptr;
    session_->OnWritten();
    return *next;
  }

  // Writes a whole change set; its last chunk, or null if there is none.
  const discovery::v1::Chunk* NextSet(int* chunks = nullptr) {
    while (const ServerMessage* message = Next()) {
      if (!message->has_chunk()) continue;
      if (chunks != nullptr) ++*chunks;
      if (message->chunk().last()) return &message->chunk();
    }
    return nullptr;
  }

  static ProxyMessage AppliedOf(uint64_t nonce, uint64_t revision) {
    ProxyMessage message;
    message.mutable_applied()->set_nonce(nonce);
    message.mutable_applied()->set_revision(revision);
    return message;
  }
  static ProxyMessage RejectedOf(uint64_t nonce, uint64_t revision, bool resync = false) {
    ProxyMessage message;
    message.mutable_rejected()->set_nonce(nonce);
    message.mutable_rejected()->set_revision(revision);
    message.mutable_rejected()->set_resync(resync);
    return message;
  }

  // Takes the next change set like a good proxy.
  uint64_t TakeNext() {
    const discovery::v1::Chunk* last = NextSet();
    if (last == nullptr) return 0;
    ProxyMessage received;
    received.mutable_received()->set_nonce(last->nonce());
    received.mutable_received()->set_revision(last->revision());
    EXPECT_TRUE(session_->OnMessage(received).ok());
    const uint64_t revision = last->revision();
    EXPECT_TRUE(session_->OnMessage(AppliedOf(last->nonce(), revision)).ok());
    return revision;
  }

  v1::ProxyStatus Status() { return fleet_.List().proxies(0); }

  MemoryStore store_;
  Metrics metrics_;
  FakeClock clock_;
  Fleet fleet_{clock_, 10, 0};
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Compiler> compiler_;
  std::unique_ptr<Session> session_;
  uint64_t id_ = 0;
};

TEST_F(SessionTest, SaysNothingBeforeTheHello) {
  Put({TestUpstream("a")});
  EXPECT_EQ(Next(), nullptr);
  ProxyMessage heartbeat;
  heartbeat.mutable_heartbeat();
  EXPECT_EQ(session_->OnMessage(heartbeat).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(SessionTest, AnEmptyStoreSendsNothing) {
  Greet(0);
  EXPECT_EQ(Next(), nullptr);
}

TEST_F(SessionTest, BringsAProxyUpAndThenSendsDeltas) {
  std::vector<v1::Resource> many;
  for (int i = 0; i < 50; ++i) many.push_back(TestUpstream("u" + std::to_string(i)));
  Put(many);
  Greet(0);
  int chunks = 0;
  const discovery::v1::Chunk* last = NextSet(&chunks);
  ASSERT_NE(last, nullptr);
  EXPECT_GT(chunks, 3);
  EXPECT_EQ(last->base_revision(), 0u);
  EXPECT_EQ(last->revision(), 1u);
  ASSERT_TRUE(session_->OnMessage(AppliedOf(last->nonce(), 1)).ok());
  EXPECT_EQ(Next(), nullptr);
  EXPECT_EQ(Status().applied_revision(), 1u);

  Put({TestUpstream("u1", 99)});
  last = NextSet();
  ASSERT_NE(last, nullptr);
  EXPECT_EQ(last->base_revision(), 1u);
  EXPECT_EQ(last->upserts_size(), 1);
}

TEST_F(SessionTest, OneChangeSetInFlightAndNewerOnesCoalesce) {
  Put({TestUpstream("a")});
  Greet(0);
  const discovery::v1::Chunk* first = NextSet();
  ASSERT_NE(first, nullptr);
  Put({TestUpstream("b")});
  Put({TestUpstream("c")});
  EXPECT_EQ(Next(), nullptr);
  ProxyMessage received;
  received.mutable_received()->set_nonce(first->nonce());
  received.mutable_received()->set_revision(1);
  ASSERT_TRUE(session_->OnMessage(received).ok());
  EXPECT_EQ(Next(), nullptr);
  EXPECT_EQ(Status().received_revision(), 1u);
  ASSERT_TRUE(session_->OnMessage(AppliedOf(first->nonce(), 1)).ok());
  const discovery::v1::Chunk* second = NextSet();
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->base_revision(), 1u);
  EXPECT_EQ(second->revision(), 3u);
  EXPECT_EQ(second->upserts_size(), 2);
}

TEST_F(SessionTest, ARejectedRevisionIsNotSentAgain) {
  Put({TestUpstream("a")});
  Greet(0);
  const discovery::v1::Chunk* last = NextSet();
  ASSERT_TRUE(session_->OnMessage(RejectedOf(last->nonce(), 1)).ok());
  EXPECT_EQ(Next(), nullptr);
  EXPECT_EQ(Status().rejected_revision(), 1u);
  EXPECT_EQ(metrics_.rejections.Value(), 1);
  // Nor on another stream.
  session_->OnEnd();
  Open();
  Greet(0);
  EXPECT_EQ(Next(), nullptr);
  // A newer one is sent, from what the proxy still has.
  Put({TestUpstream("b")});
  last = NextSet();
  ASSERT_NE(last, nullptr);
  EXPECT_EQ(last->base_revision(), 0u);
  EXPECT_EQ(last->revision(), 2u);
  EXPECT_EQ(last->upserts_size(), 2);
}

TEST_F(SessionTest, ARejectedRevisionIsSentToTheProcessAfter) {
  Put({TestUpstream("a")});
  ProxyMessage hello = HelloOf(0);
  hello.mutable_hello()->set_process("first");
  ASSERT_TRUE(session_->OnMessage(hello).ok());
  const discovery::v1::Chunk* last = NextSet();
  ASSERT_NE(last, nullptr);
  ASSERT_TRUE(session_->OnMessage(RejectedOf(last->nonce(), 1)).ok());
  session_->OnEnd();
  Open();
  ASSERT_TRUE(session_->OnMessage(hello).ok());
  EXPECT_EQ(Next(), nullptr) << "the same process on another stream";
  session_->OnEnd();
  Open();
  hello.mutable_hello()->set_process("second");
  ASSERT_TRUE(session_->OnMessage(hello).ok());
  EXPECT_EQ(TakeNext(), 1u) << "what it was refused for may be gone";
}

TEST_F(SessionTest, ResumesFromWhatTheProxyHas) {
  Put({TestUpstream("a"), TestUpstream("b")});
  const api::ResourceSet old_set = *catalog_->Head()->set;
  Put({TestUpstream("c")}, {{"Upstream", "a"}});
  Greet(1, old_set);
  const discovery::v1::Chunk* last = NextSet();
  ASSERT_NE(last, nullptr);
  EXPECT_EQ(last->base_revision(), 1u);
  EXPECT_EQ(last->upserts_size(), 1);
  EXPECT_EQ(last->removals_size(), 1);
  // One that is up to date gets nothing.
  Open();
  Greet(2, *catalog_->Head()->set);
  EXPECT_EQ(Next(), nullptr);
  EXPECT_EQ(Status().applied_revision(), 2u);
}

TEST_F(SessionTest, HelloMayComeInPieces) {
  Put({TestUpstream("a"), TestUpstream("b")});
  const api::ResourceSet set = *catalog_->Head()->set;
  ProxyMessage whole = HelloOf(1, set);
  ProxyMessage first = whole;
  first.mutable_hello()->mutable_resources()->RemoveLast();
  first.mutable_hello()->set_more(true);
  ProxyMessage second;
  *second.mutable_hello()->add_resources() = whole.hello().resources(1);
  ASSERT_TRUE(session_->OnMessage(first).ok());
  EXPECT_FALSE(session_->greeted());
  EXPECT_EQ(Next(), nullptr);
  ASSERT_TRUE(session_->OnMessage(second).ok());
  EXPECT_TRUE(session_->greeted());
  EXPECT_EQ(Next(), nullptr);
}

TEST_F(SessionTest, AResyncSendsEverythingOnce) {
  Put({TestUpstream("a"), TestUpstream("b")});
  const api::ResourceSet set = *catalog_->Head()->set;
  Put({TestUpstream("c")}, {{"Upstream", "a"}});
  Greet(1, set);
  const discovery::v1::Chunk* last = NextSet();
  ASSERT_EQ(last->upserts_size(), 1);
  const uint64_t first_nonce = last->nonce();
  ASSERT_TRUE(session_->OnMessage(RejectedOf(first_nonce, 2, true)).ok());
  EXPECT_EQ(Status().rejected_revision(), 0u);
  last = NextSet();
  ASSERT_NE(last, nullptr);
  EXPECT_NE(last->nonce(), first_nonce);
  EXPECT_EQ(last->base_revision(), 1u);
  EXPECT_EQ(last->upserts_size(), 2);
  EXPECT_EQ(last->removals_size(), 1);
  // The second time, the proxy has to say again what it has.
  EXPECT_EQ(session_->OnMessage(RejectedOf(last->nonce(), 2, true)).code(),
            absl::StatusCode::kAborted);
  EXPECT_EQ(metrics_.resyncs.Value(), 2);
}

TEST_F(SessionTest, AResyncMayComeBeforeTheEnd) {
  std::vector<v1::Resource> many;
  for (int i = 0; i < 50; ++i) many.push_back(TestUpstream("u" + std::to_string(i)));
  Put(many);
  Greet(0);
  const auto first = session_->Next();
  ASSERT_TRUE(first.ok());
  // While the first chunk is still being written.
  ASSERT_TRUE(session_->OnMessage(RejectedOf((*first)->chunk().nonce(), 1, true)).ok());
  EXPECT_FALSE((*first)->chunk().upserts().empty());
  session_->OnWritten();
  const discovery::v1::Chunk* last = NextSet();
  ASSERT_NE(last, nullptr);
  ASSERT_TRUE(session_->OnMessage(AppliedOf(last->nonce(), 1)).ok());
}

TEST_F(SessionTest, AStoreOlderThanTheProxyNeverMovesItBack) {
  Put({TestUpstream("a")});
  api::ResourceSet has = *catalog_->Head()->set;
  has[{"Upstream", "later"}] = api::MakeStored(TestUpstream("later"));
  Greet(9, has);
  EXPECT_EQ(Next(), nullptr);
  EXPECT_EQ(fleet_.Count().by_state.at(ProxyState::kAhead), 1u);
  // The next change gets a number above, and what must go is removed explicitly.
  Put({TestUpstream("b")});
  EXPECT_EQ(catalog_->Head()->info.revision, 10u);
  const discovery::v1::Chunk* last = NextSet();
  ASSERT_NE(last, nullptr);
  EXPECT_EQ(last->base_revision(), 9u);
  EXPECT_EQ(last->revision(), 10u);
  EXPECT_EQ(last->upserts_size(), 1);
  ASSERT_EQ(last->removals_size(), 1);
  EXPECT_EQ(last->removals(0).name(), "later");
}

TEST_F(SessionTest, AnEmptyStoreNeverEmptiesAProxy) {
  api::ResourceSet has;
  has[{"Upstream", "a"}] = api::MakeStored(TestUpstream("a"));
  Greet(9, has);
  EXPECT_EQ(Next(), nullptr);
}

TEST_F(SessionTest, EqualNumbersWithOtherContentAreSetRight) {
  Put({TestUpstream("a")});
  api::ResourceSet has;
  has[{"Upstream", "a"}] = api::MakeStored(TestUpstream("a", 1));
  Greet(1, has);
  EXPECT_EQ(TakeNext(), 1u);
  EXPECT_EQ(Next(), nullptr);
}

TEST_F(SessionTest, WrongAnswersEndTheStream) {
  Put({TestUpstream("a")});
  Greet(0);
  EXPECT_EQ(session_->OnMessage(AppliedOf(1, 1)).code(), absl::StatusCode::kInvalidArgument)
      << "nothing was sent";
  const discovery::v1::Chunk* last = NextSet();
  EXPECT_EQ(session_->OnMessage(AppliedOf(last->nonce() + 1, 1)).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(session_->OnMessage(AppliedOf(last->nonce(), 2)).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(session_->OnMessage(RejectedOf(last->nonce(), 2)).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(session_->OnMessage(AppliedOf(last->nonce(), 1)).ok());
  EXPECT_EQ(session_->OnMessage(AppliedOf(last->nonce(), 1)).code(),
            absl::StatusCode::kInvalidArgument)
      << "twice";
  EXPECT_EQ(session_->OnMessage(HelloOf(0)).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(session_->OnMessage(ProxyMessage()).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(SessionTest, BadHellosAreRefused) {
  struct Case {
    const char* name;
    void (*spoil)(discovery::v1::Hello& hello);
    const char* message;
  };
  const Case cases[] = {
      {"no id", [](auto& hello) { hello.clear_node_id(); }, "node_id must be 1 to 253"},
      {"long id", [](auto& hello) { hello.set_node_id(std::string(254, 'x')); }, "node_id"},
      {"space", [](auto& hello) { hello.set_node_id("a b"); }, "node_id"},
      {"newline", [](auto& hello) { hello.set_node_id("a\nb"); }, "node_id"},
      {"labels",
       [](auto& hello) {
         for (int i = 0; i < 65; ++i) (*hello.mutable_labels())[std::to_string(i)] = "x";
       },
       "at most 64 labels"},
      {"long label", [](auto& hello) { (*hello.mutable_labels())["a"] = std::string(1025, 'x'); },
       "1024 bytes"},
      {"long build", [](auto& hello) { hello.set_build(std::string(1025, 'x')); }, "1024 bytes"},
      {"short hash", [](auto& hello) { hello.add_resources()->set_hash("x"); }, "must be 32 bytes"},
      {"twice",
       [](auto& hello) {
         for (int i = 0; i < 2; ++i) hello.add_resources()->set_hash(std::string(32, 'x'));
       },
       "twice"},
  };
  for (const Case& c : cases) {
    Open();
    ProxyMessage message = HelloOf(0);
    c.spoil(*message.mutable_hello());
    const absl::Status status = session_->OnMessage(message);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.name;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.message)) << c.name;
  }
}

TEST_F(SessionTest, HellosAreBounded) {
  Put({TestUpstream("a"), TestUpstream("b"), TestUpstream("c")});
  Open({.max_resources = 2});
  EXPECT_EQ(session_->OnMessage(HelloOf(1, *catalog_->Head()->set)).code(),
            absl::StatusCode::kResourceExhausted);
  Open({.max_bytes = 100});
  ProxyMessage endless = HelloOf(1);
  endless.mutable_hello()->set_more(true);
  absl::Status status;
  for (int i = 0; i < 100 && status.ok(); ++i) status = session_->OnMessage(endless);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(SessionTest, HeartbeatsFillSilence) {
  Greet(0);
  EXPECT_EQ(Next(), nullptr);
  clock_.Advance(absl::Seconds(9));
  EXPECT_EQ(Next(), nullptr);
  clock_.Advance(absl::Seconds(1));
  const ServerMessage* message = Next();
  ASSERT_NE(message, nullptr);
  EXPECT_TRUE(message->has_heartbeat());
  EXPECT_EQ(Next(), nullptr);
  clock_.Advance(absl::Seconds(5));
  Put({TestUpstream("a")});
  ASSERT_NE(Next(), nullptr);
  clock_.Advance(absl::Seconds(9));
  EXPECT_EQ(Next(), nullptr) << "a chunk counts as a sign of life";
}

TEST_F(SessionTest, SilentProxiesAreGivenUp) {
  EXPECT_TRUE(session_->OnTick().ok());
  clock_.Advance(absl::Seconds(31));
  EXPECT_EQ(session_->OnTick().code(), absl::StatusCode::kDeadlineExceeded) << "no hello";
  Open();
  Greet(0);
  clock_.Advance(absl::Seconds(29));
  ProxyMessage heartbeat;
  heartbeat.mutable_heartbeat();
  ASSERT_TRUE(session_->OnMessage(heartbeat).ok());
  clock_.Advance(absl::Seconds(30));
  EXPECT_TRUE(session_->OnTick().ok());
  clock_.Advance(absl::Seconds(1));
  EXPECT_FALSE(session_->OnTick().ok());
}

TEST_F(SessionTest, SettingTheMachinesClockEndsNoStreamAndStopsNoHeartbeat) {
  Greet(0);
  clock_.SetWall(clock_.Now() + absl::Hours(1));
  EXPECT_TRUE(session_->OnTick().ok());
  clock_.SetWall(clock_.Now() - absl::Hours(2));
  clock_.Advance(kHeartbeatInterval);
  const ServerMessage* message = Next();
  ASSERT_NE(message, nullptr);
  EXPECT_TRUE(message->has_heartbeat());
}

TEST_F(SessionTest, PushTimeIsFromAcceptedToApplied) {
  Put({TestUpstream("a")});
  clock_.Advance(absl::Hours(1));
  Greet(0);
  TakeNext();  // Accepted long before the proxy came: not a push time.
  Put({TestUpstream("b")});
  const discovery::v1::Chunk* last = NextSet();
  clock_.Advance(absl::Milliseconds(40));
  ASSERT_TRUE(session_->OnMessage(AppliedOf(last->nonce(), 2)).ok());
  const auto histogram = metrics_.push_seconds.Collect().histogram;
  EXPECT_EQ(histogram.sample_count, 1u);
  EXPECT_NEAR(histogram.sample_sum, 0.04, 1e-9);
}

}  // namespace
}  // namespace portico::control
