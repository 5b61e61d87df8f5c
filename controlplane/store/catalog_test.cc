#include "controlplane/store/catalog.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "controlplane/store/memory_store.h"
#include "controlplane/store/test_resources.h"

namespace portico::control {
namespace {

class CatalogTest : public testing::Test {
 protected:
  void SetUp() override { Reopen(); }

  void Reopen() {
    auto catalog = Catalog::Open(store_, metrics_);
    ASSERT_TRUE(catalog.ok()) << catalog.status();
    catalog_ = *std::move(catalog);
  }

  absl::Status Put(const std::vector<v1::Resource>& upserts,
                   const std::vector<api::ResourceKey>& deletions = {}) {
    const RevisionPtr head = catalog_->Head();
    const std::vector<Change> changes = ChangesTo(*head->set, upserts, deletions);
    return catalog_->Commit(InfoAfter(catalog_->NextRevision(), *head->set, changes), changes,
                            catalog_->Draft(changes));
  }

  MemoryStore store_;
  Metrics metrics_;
  std::unique_ptr<Catalog> catalog_;
};

TEST_F(CatalogTest, StartsEmpty) {
  EXPECT_EQ(catalog_->Head()->info.revision, 0u);
  EXPECT_EQ(catalog_->NextRevision(), 1u);
  EXPECT_EQ(catalog_->FindByChecksum(api::ChecksumOf({})), 0u);
}

TEST_F(CatalogTest, MovesOnAndTellsListeners) {
  std::vector<uint64_t> heard;
  catalog_->AddListener([&](const RevisionPtr& head) { heard.push_back(head->info.revision); });
  ASSERT_TRUE(Put({TestUpstream("a")}).ok());
  ASSERT_TRUE(Put({TestUpstream("b")}).ok());
  EXPECT_EQ(heard, (std::vector<uint64_t>{1, 2}));
  EXPECT_EQ(catalog_->Head()->set->size(), 2u);
}

TEST_F(CatalogTest, TheLogOfLargeResourcesIsBounded) {
  v1::Resource large = TestUpstream("a");
  for (char c = 'a'; c < 'h'; ++c) {
    large.set_description(std::string(Catalog::kMaxLogBytes / 8, c));
    ASSERT_TRUE(Put({large}).ok());
  }
  // Each change counts with what was before and what is after.
  EXPECT_FALSE(catalog_->ChangesBetween(1, 7).has_value());
  EXPECT_TRUE(catalog_->ChangesBetween(5, 7).has_value());
}

TEST_F(CatalogTest, ReusedSetsAreRight) {
  std::mt19937 random(3);
  api::ResourceSet expected;
  std::vector<RevisionPtr> held;
  for (int i = 0; i < 200; ++i) {
    const std::string name = "u" + std::to_string(random() % 20);
    std::vector<v1::Resource> upserts;
    std::vector<api::ResourceKey> deletions;
    if (random() % 3 == 0) {
      deletions.push_back({"Upstream", name});
    } else {
      upserts.push_back(TestUpstream(name, static_cast<int>(80 + random() % 4)));
    }
    const std::vector<Change> changes = ChangesTo(expected, upserts, deletions);
    if (random() % 4 == 0) {
      // A proposal that comes to nothing.
      auto draft = catalog_->Draft(changes);
      catalog_->Abandon(std::move(draft), changes);
      continue;
    }
    ASSERT_TRUE(Put(upserts, deletions).ok());
    ApplyTo(changes, expected);
    ASSERT_TRUE(Diff(*catalog_->Head()->set, expected).empty());
    // Some readers hold on to a revision for a while.
    if (random() % 5 == 0) held.push_back(catalog_->Head());
    if (held.size() > 3) held.erase(held.begin());
    for (const RevisionPtr& revision : held) {
      ASSERT_EQ(api::ChecksumOf(*revision->set), revision->info.checksum);
    }
  }
}

TEST_F(CatalogTest, KnowsWhatChanged) {
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(Put({TestUpstream("u" + std::to_string(i))}).ok());
  EXPECT_EQ(catalog_->ChangesBetween(0, 10)->size(), 10u);
  EXPECT_EQ(catalog_->ChangesBetween(7, 9)->size(), 2u);
  EXPECT_TRUE(catalog_->ChangesBetween(10, 10)->empty());
  EXPECT_FALSE(catalog_->ChangesBetween(9, 11).has_value());
  EXPECT_FALSE(catalog_->ChangesBetween(11, 12).has_value());
  EXPECT_EQ(catalog_->FindByChecksum((*catalog_->At(4))->info.checksum), 4u);
  // Nothing is known from before the start.
  Reopen();
  EXPECT_FALSE(catalog_->ChangesBetween(9, 10).has_value());
  ASSERT_TRUE(Put({TestUpstream("more")}).ok());
  EXPECT_EQ(catalog_->ChangesBetween(10, 11)->size(), 1u);
  EXPECT_FALSE(catalog_->ChangesBetween(9, 11).has_value());
}

TEST_F(CatalogTest, ForgetsOldChanges) {
  for (size_t i = 0; i < Catalog::kMaxLogRevisions + 10; ++i) {
    ASSERT_TRUE(Put({TestUpstream("a", static_cast<int>(1000 + i))}).ok());
  }
  const uint64_t head = catalog_->Head()->info.revision;
  EXPECT_FALSE(catalog_->ChangesBetween(0, head).has_value());
  EXPECT_FALSE(catalog_->ChangesBetween(9, head).has_value());
  EXPECT_TRUE(catalog_->ChangesBetween(10, head).has_value());
  EXPECT_EQ(catalog_->FindByChecksum(api::ChecksumOf({})), std::nullopt);
}

TEST_F(CatalogTest, ReadsOlderRevisions) {
  ASSERT_TRUE(Put({TestUpstream("a")}).ok());
  ASSERT_TRUE(Put({TestUpstream("b")}).ok());
  EXPECT_EQ((*catalog_->At(1))->set->size(), 1u);
  EXPECT_EQ((*catalog_->At(2))->set->size(), 2u);
  EXPECT_EQ((*catalog_->At(0))->set->size(), 0u);
  EXPECT_EQ(catalog_->At(3).status().code(), absl::StatusCode::kNotFound);
  // Read lately: the store is not asked again.
  store_.FailReads(true);
  EXPECT_TRUE(catalog_->At(1).ok());
}

TEST_F(CatalogTest, AFailedCommitChangesNothing) {
  ASSERT_TRUE(Put({TestUpstream("a")}).ok());
  store_.FailNextCommit(MemoryStore::Fault::kBeforeStoring);
  EXPECT_FALSE(Put({TestUpstream("b")}).ok());
  EXPECT_EQ(catalog_->Head()->info.revision, 1u);
  ASSERT_TRUE(catalog_->Refresh().ok());
  ASSERT_TRUE(Put({TestUpstream("c")}).ok());
  EXPECT_EQ(catalog_->Head()->info.revision, 2u);
}

TEST_F(CatalogTest, ACommitThatFailedAfterStoringIsFound) {
  ASSERT_TRUE(Put({TestUpstream("a")}).ok());
  store_.FailNextCommit(MemoryStore::Fault::kAfterStoring);
  EXPECT_FALSE(Put({TestUpstream("b")}).ok());
  EXPECT_EQ(catalog_->Head()->info.revision, 1u);
  store_.FailReads(true);
  EXPECT_FALSE(catalog_->Refresh().ok());
  store_.FailReads(false);
  ASSERT_TRUE(catalog_->Refresh().ok());
  EXPECT_EQ(catalog_->Head()->info.revision, 2u);
  EXPECT_EQ(catalog_->Head()->set->size(), 2u);
  ASSERT_TRUE(Put({TestUpstream("c")}).ok());
  EXPECT_EQ(catalog_->Head()->set->size(), 3u);
}

TEST_F(CatalogTest, NumbersStayAboveWhatProxiesHave) {
  ASSERT_TRUE(Put({TestUpstream("a")}).ok());
  EXPECT_TRUE(catalog_->RaiseFloor(9));
  EXPECT_TRUE(catalog_->RaiseFloor(5));
  EXPECT_FALSE(catalog_->RaiseFloor(UINT64_MAX));
  EXPECT_EQ(catalog_->NextRevision(), 10u);
  ASSERT_TRUE(Put({TestUpstream("b")}).ok());
  EXPECT_EQ(catalog_->Head()->info.revision, 10u);
  EXPECT_EQ(catalog_->ChangesBetween(1, 10)->size(), 1u);
}

TEST_F(CatalogTest, ReadersAndAWriterDoNotRace) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        const RevisionPtr head = catalog_->Head();
        EXPECT_EQ(api::ChecksumOf(*head->set), head->info.checksum);
        EXPECT_TRUE(catalog_->At(head->info.revision).ok());
        catalog_->ChangesBetween(0, head->info.revision);
      }
    });
  }
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(Put({TestUpstream("u" + std::to_string(i % 30), 1000 + i)}).ok());
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
}

}  // namespace
}  // namespace portico::control
