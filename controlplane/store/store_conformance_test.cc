// What every store does, run over all of them.

#include <gtest/gtest.h>
#include <stdlib.h>

#include <memory>
#include <random>

#include "controlplane/store/memory_store.h"
#include "controlplane/store/sqlite_store.h"
#include "controlplane/store/store.h"
#include "controlplane/store/test_resources.h"

namespace portico::control {
namespace {

constexpr size_t kKeep = 20;

struct StoreKind {
  const char* name;
  std::unique_ptr<Store> (*open)(const std::string& path);
};

std::unique_ptr<Store> OpenMemory(const std::string&) {
  return std::make_unique<MemoryStore>(kKeep);
}
std::unique_ptr<Store> OpenSqlite(const std::string& path) {
  auto store = OpenSqliteStore({.path = path, .keep_revisions = kKeep});
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? *std::move(store) : nullptr;
}

class StoreConformance : public testing::TestWithParam<StoreKind> {
 protected:
  void SetUp() override {
    std::string folder = testing::TempDir() + "/storeXXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    store_ = GetParam().open(folder + "/store.db");
    ASSERT_NE(store_, nullptr);
  }

  // Commits one more revision and keeps a copy of what it should be.
  absl::Status Commit(const std::vector<v1::Resource>& upserts,
                      const std::vector<api::ResourceKey>& deletions = {}, uint64_t skip = 0) {
    const std::vector<Change> changes = ChangesTo(set_, upserts, deletions);
    const RevisionInfo info = InfoAfter(revision_ + 1 + skip, set_, changes);
    absl::Status status = store_->Commit(revision_, info, changes);
    if (status.ok()) {
      ApplyTo(changes, set_);
      revision_ = info.revision;
      expected_[revision_] = {info, std::make_shared<const api::ResourceSet>(set_)};
    }
    return status;
  }

  void ExpectStored(const absl::StatusOr<Revision>& found, const Revision& expected) {
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->info, expected.info) << found->info.revision;
    EXPECT_TRUE(Diff(*found->set, *expected.set).empty()) << found->info.revision;
  }

  std::unique_ptr<Store> store_;
  uint64_t revision_ = 0;
  api::ResourceSet set_;
  std::map<uint64_t, Revision> expected_;
};

TEST_P(StoreConformance, StartsWithRevisionZero) {
  const absl::StatusOr<Revision> head = store_->Load();
  ASSERT_TRUE(head.ok());
  EXPECT_EQ(head->info, RevisionInfo{});
  EXPECT_TRUE(head->set->empty());
  EXPECT_EQ(store_->ListRevisions(0, 10)->size(), 0u);
}

TEST_P(StoreConformance, KeepsWhatWasCommitted) {
  ASSERT_TRUE(Commit({TestUpstream("a"), TestUpstream("b")}).ok());
  ASSERT_TRUE(Commit({TestUpstream("a", 81)}, {{"Upstream", "b"}}).ok());
  ASSERT_TRUE(Commit({TestUpstream("b")}).ok());
  ExpectStored(store_->Load(), expected_.at(3));
  for (uint64_t revision = 1; revision <= 3; ++revision) {
    ExpectStored(store_->LoadRevision(revision), expected_.at(revision));
  }
}

TEST_P(StoreConformance, KeepsEmptyChanges) {
  ASSERT_TRUE(Commit({TestUpstream("a")}).ok());
  ASSERT_TRUE(Commit({}).ok());
  ExpectStored(store_->Load(), expected_.at(2));
}

TEST_P(StoreConformance, RefusesTheWrongPredecessor) {
  ASSERT_TRUE(Commit({TestUpstream("a")}).ok());
  const std::vector<Change> changes = ChangesTo(set_, {TestUpstream("b")});
  EXPECT_EQ(store_->Commit(0, InfoAfter(2, set_, changes), changes).code(),
            absl::StatusCode::kAborted);
  EXPECT_EQ(store_->Commit(2, InfoAfter(3, set_, changes), changes).code(),
            absl::StatusCode::kAborted);
  EXPECT_EQ(store_->Commit(1, InfoAfter(1, set_, changes), changes).code(),
            absl::StatusCode::kAborted);
  ExpectStored(store_->Load(), expected_.at(1));
}

TEST_P(StoreConformance, NumbersMaySkip) {
  ASSERT_TRUE(Commit({TestUpstream("a")}).ok());
  ASSERT_TRUE(Commit({TestUpstream("b")}, {}, 1000).ok());
  ExpectStored(store_->Load(), expected_.at(1002));
  ExpectStored(store_->LoadRevision(1), expected_.at(1));
  EXPECT_EQ(store_->LoadRevision(500).status().code(), absl::StatusCode::kNotFound);
}

TEST_P(StoreConformance, UnknownRevisionsAreNotFound) {
  ASSERT_TRUE(Commit({TestUpstream("a")}).ok());
  for (const uint64_t revision : {uint64_t{0}, uint64_t{2}, UINT64_MAX, UINT64_MAX - 1}) {
    EXPECT_EQ(store_->LoadRevision(revision).status().code(), absl::StatusCode::kNotFound)
        << revision;
  }
}

TEST_P(StoreConformance, ListsNewestFirst) {
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(Commit({TestUpstream("a", 100 + i)}).ok());
  const auto first = store_->ListRevisions(0, 3);
  ASSERT_TRUE(first.ok());
  ASSERT_EQ(first->size(), 3u);
  EXPECT_EQ((*first)[0], expected_.at(7).info);
  EXPECT_EQ((*first)[2], expected_.at(5).info);
  const auto next = store_->ListRevisions(5, 100);
  ASSERT_TRUE(next.ok());
  ASSERT_EQ(next->size(), 4u);
  EXPECT_EQ((*next)[0].revision, 4u);
  EXPECT_TRUE(store_->ListRevisions(1, 100)->empty());
  EXPECT_EQ(store_->ListRevisions(UINT64_MAX, 100)->size(), 7u);
}

TEST_P(StoreConformance, ForgetsOldRevisionsOnly) {
  std::mt19937 random(7);
  for (int i = 0; i < 60; ++i) {
    std::vector<v1::Resource> upserts;
    std::vector<api::ResourceKey> deletions;
    for (int j = 0; j < 4; ++j) {
      // Few ports, so that contents come back and are shared.
      const std::string name = "u" + std::to_string(random() % 10);
      if (random() % 4 == 0) {
        deletions.push_back({"Upstream", name});
      } else {
        upserts.push_back(TestUpstream(name, 80 + static_cast<int>(random() % 3)));
      }
    }
    ASSERT_TRUE(Commit(upserts, deletions).ok());
  }
  EXPECT_EQ(store_->ListRevisions(0, 1000)->size(), kKeep);
  EXPECT_EQ(store_->LoadRevision(60 - kKeep).status().code(), absl::StatusCode::kNotFound);
  for (uint64_t revision = 61 - kKeep; revision <= 60; ++revision) {
    ExpectStored(store_->LoadRevision(revision), expected_.at(revision));
  }
}

TEST_P(StoreConformance, KeepsAnyText) {
  const std::vector<Change> changes = ChangesTo({}, {TestUpstream("a")});
  RevisionInfo info = InfoAfter(1, {}, changes);
  info.author = "Zoë \"; DROP TABLE revisions; --";
  info.message = "line\nline";
  info.peer = "";
  ASSERT_TRUE(store_->Commit(0, info, changes).ok());
  EXPECT_EQ(store_->Load()->info, info);
}

INSTANTIATE_TEST_SUITE_P(Stores, StoreConformance,
                         testing::Values(StoreKind{"Memory", &OpenMemory},
                                         StoreKind{"Sqlite", &OpenSqlite}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace portico::control
