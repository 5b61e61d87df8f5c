#include "controlplane/management/writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "api/resource/secrets.h"
#include "api/resource/test_certificates.h"
#include "api/validation/validate.h"
#include "controlplane/management/apply_error.h"
#include "controlplane/management/status_details.pb.h"
#include "controlplane/store/memory_store.h"
#include "controlplane/store/test_resources.h"

namespace portico::control {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

v1::ApplyRequest Request(const std::vector<v1::Resource>& upserts,
                         const std::vector<api::ResourceKey>& deletions = {}) {
  v1::ApplyRequest request;
  for (const v1::Resource& resource : upserts) *request.add_upserts() = resource;
  for (const api::ResourceKey& key : deletions) {
    v1::ResourceKey& proto = *request.add_deletions();
    proto.set_kind(key.kind);
    proto.set_name(key.name);
  }
  return request;
}

std::vector<std::string> Reasons(const absl::Status& status) {
  Status details;
  EXPECT_TRUE(details.ParseFromString(ToGrpcWithDetails(status, kMaxDetailBytes).error_details()));
  v1::ApplyError error;
  EXPECT_TRUE(details.details(0).UnpackTo(&error));
  std::vector<std::string> reasons;
  for (const v1::Violation& violation : error.violations()) {
    reasons.push_back(violation.resource().kind() + "/" + violation.resource().name() + " " +
                      violation.field() + ": " + violation.reason());
  }
  return reasons;
}

class WriterTest : public testing::Test {
 protected:
  void SetUp() override { Open(); }

  void Open() {
    writer_.reset();
    auto catalog = Catalog::Open(store_, metrics_);
    ASSERT_TRUE(catalog.ok()) << catalog.status();
    catalog_ = *std::move(catalog);
    writer_ = std::make_unique<Writer>(*catalog_, clock_, metrics_);
  }

  uint64_t Apply(const v1::ApplyRequest& request) {
    const auto outcome = writer_->Apply(request, "");
    EXPECT_TRUE(outcome.ok()) << outcome.status();
    return outcome.ok() ? outcome->revision : 0;
  }

  MemoryStore store_;
  Metrics metrics_;
  FakeClock clock_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Writer> writer_;
};

TEST_F(WriterTest, AcceptsAndKeepsWhoAndWhy) {
  v1::ApplyRequest request = Request({TestUpstream("users"), TestRoute("users", "users")});
  request.set_author("ada");
  request.set_message("first");
  const auto outcome = writer_->Apply(request, "ada.example");
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->revision, 1u);
  ASSERT_EQ(outcome->changes.size(), 2u);
  EXPECT_EQ(outcome->changes[0].key.kind, "Route");
  const RevisionInfo& info = catalog_->Head()->info;
  EXPECT_EQ(info.author, "ada");
  EXPECT_EQ(info.message, "first");
  EXPECT_EQ(info.peer, "ada.example");
  EXPECT_EQ(info.created, 2u);
  EXPECT_EQ(info.created_at, clock_.Now());
  EXPECT_EQ(info.checksum, api::ChecksumOf(*catalog_->Head()->set));
}

TEST_F(WriterTest, UnchangedContentMakesNoRevision) {
  EXPECT_EQ(Apply(Request({TestUpstream("a")})), 1u);
  const auto outcome = writer_->Apply(Request({TestUpstream("a")}), "");
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->revision, 1u);
  EXPECT_TRUE(outcome->changes.empty());
}

TEST_F(WriterTest, ADryRunStoresNothing) {
  v1::ApplyRequest request = Request({TestUpstream("a")});
  request.set_dry_run(true);
  const auto outcome = writer_->Apply(request, "");
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->revision, 0u);
  EXPECT_EQ(outcome->changes.size(), 1u);
  EXPECT_EQ(catalog_->Head()->info.revision, 0u);
  EXPECT_EQ(store_.Load()->info.revision, 0u);
  request = Request({TestRoute("r", "missing")});
  request.set_dry_run(true);
  EXPECT_EQ(writer_->Apply(request, "").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(WriterTest, ExpectedRevisionGuardsAgainstLostUpdates) {
  Apply(Request({TestUpstream("a")}));
  v1::ApplyRequest request = Request({TestUpstream("b")});
  request.set_expected_revision(1);
  EXPECT_EQ(Apply(request), 2u);
  request = Request({TestUpstream("c")});
  request.set_expected_revision(1);
  const absl::Status status = writer_->Apply(request, "").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("the current revision is 2"));
  EXPECT_EQ(catalog_->Head()->info.revision, 2u);
}

TEST_F(WriterTest, RefusesWithEverythingAtOnce) {
  Apply(Request({TestUpstream("a")}));
  v1::Resource nothing;
  nothing.set_name("nothing");
  v1::Resource large = TestUpstream("large");
  large.set_description(std::string(kMaxResourceBytes, 'x'));
  const absl::Status status =
      writer_
          ->Apply(Request({TestUpstream("twice"), TestUpstream("twice", 1), nothing, large,
                           TestRoute("r", "missing"), TestRoute("s", "missing")},
                          {{"Upstream", "gone"}}),
                  "")
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  const std::vector<std::string> reasons = Reasons(status);
  EXPECT_GE(reasons.size(), 6u);
  EXPECT_THAT(reasons, AllOf(testing::Contains(HasSubstr("Upstream/twice name: is named twice")),
                             testing::Contains(HasSubstr("/nothing spec: is missing")),
                             testing::Contains(HasSubstr("Upstream/large spec: is larger than")),
                             testing::Contains(HasSubstr("Upstream/gone name: does not exist"))));
  EXPECT_THAT(reasons, AllOf(testing::Contains(HasSubstr("Route/r spec.upstreams[0].name")),
                             testing::Contains(HasSubstr("Route/s spec.upstreams[0].name"))));
  EXPECT_EQ(catalog_->Head()->info.revision, 1u);
  EXPECT_EQ(store_.Load()->info.revision, 1u);
}

TEST_F(WriterTest, RefusesToBreakReferences) {
  Apply(Request({TestUpstream("users"), TestRoute("users", "users")}));
  EXPECT_EQ(writer_->Apply(Request({}, {{"Upstream", "users"}}), "").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Apply(Request({}, {{"Upstream", "users"}, {"Route", "users"}})), 2u);
  EXPECT_TRUE(catalog_->Head()->set->empty());
}

TEST_F(WriterTest, BoundsTexts) {
  v1::ApplyRequest request = Request({TestUpstream("a")});
  request.set_message(std::string(kMaxMessageBytes + 1, 'x'));
  EXPECT_EQ(writer_->Apply(request, "").status().code(), absl::StatusCode::kResourceExhausted);
  request.clear_message();
  request.set_author(std::string(kMaxAuthorBytes + 1, 'x'));
  EXPECT_EQ(writer_->Apply(request, "").status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(WriterTest, RollsBack) {
  Apply(Request({TestUpstream("a"), TestUpstream("b")}));
  Apply(Request({TestUpstream("a", 1), TestUpstream("c")}, {{"Upstream", "b"}}));
  v1::RollbackRequest request;
  request.set_to_revision(1);
  request.set_dry_run(true);
  auto outcome = writer_->Rollback(request, "");
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->revision, 2u);
  EXPECT_EQ(outcome->changes.size(), 3u);
  request.set_dry_run(false);
  outcome = writer_->Rollback(request, "");
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->revision, 3u);
  EXPECT_EQ(catalog_->Head()->info.checksum, (*catalog_->At(1))->info.checksum);
  EXPECT_EQ(catalog_->Head()->info.message, "rollback to revision 1");
  // Once more changes nothing.
  EXPECT_EQ(writer_->Rollback(request, "")->revision, 3u);
  request.set_to_revision(99);
  EXPECT_EQ(writer_->Rollback(request, "").status().code(), absl::StatusCode::kNotFound);
  request.set_to_revision(2);
  request.set_expected_revision(2);
  EXPECT_EQ(writer_->Rollback(request, "").status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(WriterTest, AFailingStoreChangesNothing) {
  Apply(Request({TestUpstream("a")}));
  store_.FailNextCommit(MemoryStore::Fault::kBeforeStoring);
  EXPECT_EQ(writer_->Apply(Request({TestUpstream("b")}), "").status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(catalog_->Head()->info.revision, 1u);
  EXPECT_EQ(Apply(Request({TestUpstream("b")})), 2u);
}

TEST_F(WriterTest, ACommitThatFailedAfterStoringIsNotMadeTwice) {
  Apply(Request({TestUpstream("a")}));
  store_.FailNextCommit(MemoryStore::Fault::kAfterStoring);
  EXPECT_FALSE(writer_->Apply(Request({TestUpstream("b")}), "").ok());
  // The caller tries again and finds it done.
  EXPECT_EQ(Apply(Request({TestUpstream("b")})), 2u);
  EXPECT_EQ(Apply(Request({TestUpstream("c")})), 3u);
  EXPECT_EQ(catalog_->Head()->set->size(), 3u);
}

TEST_F(WriterTest, AStoredSetThatIsNoLongerValidCanBeRepaired) {
  // As an older version could have stored it.
  const std::vector<Change> changes = ChangesTo({}, {TestRoute("r", "missing")});
  ASSERT_TRUE(store_.Commit(0, InfoAfter(1, {}, changes), changes).ok());
  Open();
  EXPECT_FALSE(writer_->Apply(Request({TestUpstream("other")}), "").ok());
  EXPECT_EQ(Apply(Request({TestUpstream("missing")})), 2u);
  EXPECT_EQ(Apply(Request({TestUpstream("other")})), 3u);
}

TEST_F(WriterTest, ConcurrentWritersTakeTurns) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        Apply(Request({TestUpstream("t" + std::to_string(t) + "-" + std::to_string(i))}));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(catalog_->Head()->info.revision, 100u);
  EXPECT_EQ(catalog_->Head()->set->size(), 100u);
  EXPECT_EQ(store_.Load()->info.checksum, api::ChecksumOf(*catalog_->Head()->set));
}

v1::Resource CertificateOf(const api::TestPair& pair) {
  v1::Resource resource;
  resource.set_name("site");
  resource.mutable_certificate()->set_chain(pair.certificate);
  resource.mutable_certificate()->set_private_key(pair.key);
  return resource;
}

TEST_F(WriterTest, ARedactedSecretStaysWhatItIs) {
  const api::TestPair pair = api::MakeTestCertificate({});
  const api::TestPair other = api::MakeTestCertificate({});
  const api::ResourceKey key{"Certificate", "site"};
  const auto stored_key = [&] {
    return catalog_->Head()->set->at(key)->resource.certificate().private_key();
  };
  const v1::Resource whole = CertificateOf(pair);
  v1::Resource shown = api::Redacted(whole);
  // Nothing is there yet.
  EXPECT_THAT(Reasons(writer_->Apply(Request({shown}), "").status()),
              testing::Contains(HasSubstr("spec.private_key: is what is shown in place")));
  EXPECT_EQ(Apply(Request({whole})), 1u);
  EXPECT_EQ(Apply(Request({shown})), 1u);  // Unchanged.
  shown.set_description("edited");
  EXPECT_EQ(Apply(Request({shown})), 2u);
  EXPECT_EQ(stored_key(), pair.key);
  // The key that is kept must fit the rest.
  shown.mutable_certificate()->set_chain(other.certificate);
  EXPECT_THAT(Reasons(writer_->Apply(Request({shown}), "").status()),
              testing::ElementsAre(HasSubstr("is not the key of the first certificate")));
  EXPECT_EQ(stored_key(), pair.key);

  v1::Resource provider;
  provider.set_name("p");
  provider.mutable_jwt_provider()->set_issuer("i");
  provider.mutable_jwt_provider()->add_audiences("a");
  provider.mutable_jwt_provider()->add_algorithms("HS256");
  const std::string jwks = R"({"keys":[{"kty":"oct","k":")" + std::string(43, 'A') + R"("}]})";
  provider.mutable_jwt_provider()->set_jwks(jwks);
  EXPECT_EQ(Apply(Request({provider})), 3u);
  v1::Resource edited = api::Redacted(provider);
  edited.mutable_jwt_provider()->set_forward(true);
  EXPECT_EQ(Apply(Request({edited})), 4u);
  EXPECT_EQ(catalog_->Head()->set->at({"JwtProvider", "p"})->resource.jwt_provider().jwks(), jwks);
}

TEST_F(WriterTest, AnExpiredCertificateIsAcceptedWithAWarning) {
  const int64_t now = absl::ToUnixSeconds(clock_.Now());
  const struct {
    int64_t from, to;
    const char* warning;
  } cases[] = {
      {now - 10, now + 10, ""},
      {now - 10, now - 1, "has expired, on 2001-09-09 01:46:39 UTC"},
      {now + 1, now + 10, "is not valid before 2001-09-09 01:46:41 UTC"},
  };
  for (const auto& c : cases) {
    const api::TestPair pair =
        api::MakeTestCertificate({.not_before = c.from, .not_after = c.to});
    const auto outcome = writer_->Apply(Request({CertificateOf(pair)}), "");
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    const std::string text =
        outcome->warnings.empty() ? "" : api::ToString(outcome->warnings.front());
    EXPECT_EQ(text.empty(), *c.warning == '\0') << text;
    EXPECT_THAT(text, HasSubstr(c.warning));
  }
}

}  // namespace
}  // namespace portico::control
