#include "controlplane/management/ticket_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/resource/test_certificates.h"
#include "controlplane/store/memory_store.h"
#include "controlplane/store/test_resources.h"

namespace portico::control {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kPeriod = absl::Hours(12);

class TicketKeysTest : public testing::Test {
 protected:
  void SetUp() override { Restart(kPeriod); }

  // As a new process over the same store.
  void Restart(absl::Duration rotation) {
    keys_.reset();
    writer_.reset();
    auto catalog = Catalog::Open(store_, metrics_);
    ASSERT_TRUE(catalog.ok()) << catalog.status();
    catalog_ = *std::move(catalog);
    writer_ = std::make_unique<Writer>(*catalog_, clock_, metrics_);
    keys_ = std::make_unique<TicketKeys>(*catalog_, *writer_, clock_, rotation);
  }

  absl::Status Apply(const std::vector<v1::Resource>& upserts) {
    v1::ApplyRequest request;
    for (const v1::Resource& resource : upserts) *request.add_upserts() = resource;
    return writer_->Apply(request, "").status();
  }

  void ApplyTlsListener(bool tickets = true) {
    static const api::TestPair pair = api::MakeTestCertificate({});
    v1::Resource certificate;
    certificate.set_name("site");
    certificate.mutable_certificate()->set_chain(pair.certificate);
    certificate.mutable_certificate()->set_private_key(pair.key);
    v1::Resource listener;
    listener.set_name("https");
    listener.mutable_listener()->set_address("0.0.0.0:443");
    listener.mutable_listener()->mutable_tls()->add_certificates("site");
    listener.mutable_listener()->mutable_tls()->set_disable_session_tickets(!tickets);
    ASSERT_TRUE(Apply({certificate, listener}).ok());
  }

  uint64_t revision() const { return catalog_->Head()->info.revision; }
  std::vector<std::string> Secrets() const {
    std::vector<std::string> secrets;
    const auto found = catalog_->Head()->set->find({"SessionTicketKeys", "default"});
    if (found == catalog_->Head()->set->end()) return secrets;
    for (const auto& key : found->second->resource.session_ticket_keys().keys())
      secrets.push_back(key.secret());
    return secrets;
  }
  void TickFor(absl::Duration time) {
    for (const absl::Time end = clock_.Now() + time; clock_.Now() < end;) {
      clock_.Advance(absl::Minutes(10));
      keys_->Tick();
    }
  }

  MemoryStore store_;
  Metrics metrics_;
  FakeClock clock_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Writer> writer_;
  std::unique_ptr<TicketKeys> keys_;
};

TEST_F(TicketKeysTest, AreMadeWhenSomebodyNeedsThem) {
  ASSERT_TRUE(Apply({TestUpstream("a")}).ok());
  TickFor(absl::Hours(48));
  EXPECT_EQ(revision(), 1u);
  ApplyTlsListener(/*tickets=*/false);
  TickFor(absl::Hours(48));
  EXPECT_EQ(revision(), 2u);
  ApplyTlsListener();
  keys_->Tick();
  EXPECT_EQ(revision(), 4u);
  EXPECT_EQ(catalog_->Head()->info.author, "control plane");
  EXPECT_THAT(catalog_->Head()->info.message, HasSubstr("session tickets"));
  ASSERT_EQ(Secrets().size(), 1u);
  EXPECT_EQ(Secrets()[0].size(), 32u);
  keys_->Tick();
  EXPECT_EQ(revision(), 4u);
}

TEST_F(TicketKeysTest, AreReplacedEveryPeriodAndTheOldestDropped) {
  ApplyTlsListener();
  keys_->Tick();
  const std::string first = Secrets().at(0);
  clock_.Advance(kPeriod - absl::Seconds(1));
  keys_->Tick();
  EXPECT_EQ(Secrets().size(), 1u);
  clock_.Advance(absl::Seconds(1));
  keys_->Tick();
  ASSERT_EQ(Secrets().size(), 2u);
  EXPECT_EQ(Secrets()[1], first);
  EXPECT_NE(Secrets()[0], first);
  TickFor(kPeriod);
  ASSERT_EQ(Secrets().size(), 3u);
  EXPECT_EQ(Secrets()[2], first);
  TickFor(kPeriod);
  ASSERT_EQ(Secrets().size(), 3u);
  EXPECT_NE(Secrets()[2], first);
}

TEST_F(TicketKeysTest, RestartsDoNotReplaceEarly) {
  ApplyTlsListener();
  keys_->Tick();
  const std::vector<std::string> before = Secrets();
  const uint64_t at = revision();
  for (int i = 0; i < 5; ++i) {
    clock_.Advance(absl::Hours(2));
    Restart(kPeriod);
    keys_->Tick();
  }
  EXPECT_EQ(Secrets(), before);
  EXPECT_EQ(revision(), at);
  clock_.Advance(absl::Hours(2));
  Restart(kPeriod);
  keys_->Tick();
  EXPECT_EQ(Secrets().size(), 2u);
}

TEST_F(TicketKeysTest, OffMeansNever) {
  Restart(absl::ZeroDuration());
  ApplyTlsListener();
  TickFor(absl::Hours(48));
  EXPECT_TRUE(Secrets().empty());
  EXPECT_EQ(revision(), 1u);
}

TEST_F(TicketKeysTest, AFailingStoreIsTriedAgain) {
  ApplyTlsListener();
  store_.FailNextCommit(MemoryStore::Fault::kBeforeStoring);
  keys_->Tick();
  EXPECT_TRUE(Secrets().empty());
  clock_.Advance(absl::Seconds(30));
  keys_->Tick();
  EXPECT_TRUE(Secrets().empty());
  clock_.Advance(absl::Seconds(30));
  keys_->Tick();
  EXPECT_EQ(Secrets().size(), 1u);
}

TEST_F(TicketKeysTest, OperatorsWriteAndRollBackEverythingElse) {
  ApplyTlsListener();
  keys_->Tick();
  const std::vector<std::string> before = Secrets();
  // What was read may come back, as in a file with everything.
  v1::Resource same = catalog_->Head()->set->at({"SessionTicketKeys", "default"})->resource;
  same.mutable_session_ticket_keys()->mutable_keys(0)->set_secret("(redacted)");
  EXPECT_TRUE(Apply({same}).ok());
  v1::Resource forged = same;
  forged.mutable_session_ticket_keys()->mutable_keys(0)->set_secret(std::string(32, 'x'));
  EXPECT_THAT(std::string(Apply({forged}).message()),
              HasSubstr("is written by the control plane alone"));
  v1::ApplyRequest removal;
  removal.add_deletions()->set_kind("SessionTicketKeys");
  removal.mutable_deletions(0)->set_name("default");
  EXPECT_THAT(std::string(writer_->Apply(removal, "").status().message()),
              HasSubstr("is written by the control plane alone"));
  EXPECT_EQ(Secrets(), before);

  ASSERT_TRUE(Apply({TestUpstream("a")}).ok());
  v1::RollbackRequest rollback;
  rollback.set_to_revision(1);  // There were none.
  ASSERT_TRUE(writer_->Rollback(rollback, "").ok());
  EXPECT_EQ(Secrets(), before);
  EXPECT_FALSE(catalog_->Head()->set->contains({"Upstream", "a"}));
}

}  // namespace
}  // namespace portico::control
