#include "controlplane/compile/compiler.h"

#include <gtest/gtest.h>

#include <random>

#include "controlplane/store/memory_store.h"
#include "controlplane/store/test_resources.h"

namespace portico::control {
namespace {

constexpr size_t kSmallChunk = 600;

// What a proxy does with change sets.
class Proxy {
 public:
  HashList List() const {
    HashList list;
    for (const auto& [key, content] : contents_) list.push_back({key, api::Sha256(content)});
    return list;
  }

  void Take(const ChangeSet& set) {
    ASSERT_EQ(set.base_revision, revision_);
    ASSERT_FALSE(set.chunks.empty());
    for (size_t i = 0; i < set.chunks.size(); ++i) {
      const discovery::v1::Chunk& chunk = set.chunks[i].chunk();
      ASSERT_EQ(chunk.nonce(), set.nonce);
      ASSERT_EQ(chunk.base_revision(), set.base_revision);
      ASSERT_EQ(chunk.revision(), set.revision);
      ASSERT_EQ(chunk.last(), i + 1 == set.chunks.size());
      ASSERT_EQ(chunk.checksum().empty(), !chunk.last());
      for (const auto& upsert : chunk.upserts()) {
        contents_[{upsert.kind(), upsert.name()}] = upsert.content();
      }
      for (const auto& removal : chunk.removals()) {
        ASSERT_EQ(contents_.erase({removal.kind(), removal.name()}), 1u);
      }
    }
    revision_ = set.revision;
    api::ResourceSet result;
    for (const auto& [key, content] : contents_) result[key] = *api::ParseStored(key, content);
    const api::Digest checksum = api::ChecksumOf(result);
    ASSERT_EQ(set.chunks.back().chunk().checksum(), std::string(checksum.begin(), checksum.end()));
  }

  uint64_t revision_ = 0;
  std::map<api::ResourceKey, std::string> contents_;
};

class CompilerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto catalog = Catalog::Open(store_, metrics_);
    ASSERT_TRUE(catalog.ok());
    catalog_ = *std::move(catalog);
    compiler_ = std::make_unique<Compiler>(*catalog_, kSmallChunk);
  }

  void Put(const std::vector<v1::Resource>& upserts,
           const std::vector<api::ResourceKey>& deletions = {}) {
    const RevisionPtr head = catalog_->Head();
    const std::vector<Change> changes = ChangesTo(*head->set, upserts, deletions);
    ASSERT_TRUE(catalog_
                    ->Commit(InfoAfter(catalog_->NextRevision(), *head->set, changes), changes,
                             catalog_->Draft(changes))
                    .ok());
  }

  Base BaseOf(const Proxy& proxy) {
    auto base = compiler_->Recognize(proxy.revision_, proxy.List());
    EXPECT_TRUE(base.ok()) << base.status();
    return *base;
  }

  ChangeSetPtr Compile(const Base& base, bool whole = false) {
    auto set = compiler_->Compile(base, catalog_->Head(), whole);
    EXPECT_TRUE(set.ok()) << set.status();
    return *set;
  }

  MemoryStore store_;
  Metrics metrics_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Compiler> compiler_;
};

TEST_F(CompilerTest, BringsAnEmptyProxyEverything) {
  Put({TestUpstream("a"), TestUpstream("b")});
  Proxy proxy;
  proxy.Take(*Compile(BaseOf(proxy)));
  EXPECT_EQ(proxy.contents_.size(), 2u);
}

TEST_F(CompilerTest, SendsOnlyWhatChanged) {
  std::vector<v1::Resource> many;
  for (int i = 0; i < 1000; ++i) many.push_back(TestUpstream("u" + std::to_string(i)));
  Put(many);
  Proxy proxy;
  proxy.Take(*Compile(BaseOf(proxy)));
  Put({TestUpstream("u7", 9999)}, {{"Upstream", "u8"}});
  const Base base = BaseOf(proxy);
  EXPECT_EQ(base.content_of, 1u);
  EXPECT_EQ(base.hashes, nullptr);
  const ChangeSetPtr set = Compile(base);
  EXPECT_EQ(set->upserts, 1u);
  EXPECT_EQ(set->removals, 1u);
  EXPECT_LT(set->bytes, 200u);
  proxy.Take(*set);
}

TEST_F(CompilerTest, ChunksStayBelowTheBound) {
  std::vector<v1::Resource> many;
  for (int i = 0; i < 100; ++i) many.push_back(TestUpstream("u" + std::to_string(i)));
  Put(many);
  Proxy proxy;
  const ChangeSetPtr set = Compile(BaseOf(proxy));
  EXPECT_GT(set->chunks.size(), 5u);
  for (const auto& chunk : set->chunks) EXPECT_LE(chunk.ByteSizeLong(), kSmallChunk);
  proxy.Take(*set);
}

TEST_F(CompilerTest, FiveMillionBytesStayBelowWhatGrpcAccepts) {
  std::vector<v1::Resource> many;
  for (int i = 0; i < 50; ++i) {
    many.push_back(TestUpstream("u" + std::to_string(i)));
    many.back().set_description(std::string(100'000, 'x'));
  }
  Put(many);
  Compiler compiler(*catalog_);
  Proxy proxy;
  const auto set = compiler.Compile(*compiler.Recognize(0, {}), catalog_->Head(), false);
  ASSERT_TRUE(set.ok());
  EXPECT_EQ((*set)->chunks.size(), 2u);
  for (const auto& chunk : (*set)->chunks) EXPECT_LT(chunk.ByteSizeLong(), 4u << 20);
  proxy.Take(**set);
}

TEST_F(CompilerTest, UnknownContentIsComparedByHash) {
  Put({TestUpstream("a"), TestUpstream("b"), TestUpstream("c")});
  Proxy proxy;
  proxy.Take(*Compile(BaseOf(proxy)));
  // As after a restart on another store: something missing, something changed, something unknown.
  proxy.contents_.erase({"Upstream", "a"});
  proxy.contents_[{"Upstream", "b"}] = api::MakeStored(TestUpstream("b", 1))->content;
  proxy.contents_[{"Upstream", "z"}] = api::MakeStored(TestUpstream("z", 1))->content;
  const Base base = BaseOf(proxy);
  ASSERT_NE(base.hashes, nullptr);
  EXPECT_EQ(BaseOf(proxy).hashes, base.hashes);  // Shared by proxies that have the same.
  const ChangeSetPtr set = Compile(base);
  EXPECT_EQ(set->upserts, 2u);
  EXPECT_EQ(set->removals, 1u);
  proxy.Take(*set);
}

TEST_F(CompilerTest, WholeSetsKeepRemovalsExplicit) {
  Put({TestUpstream("a"), TestUpstream("b")});
  Proxy proxy;
  proxy.Take(*Compile(BaseOf(proxy)));
  Put({TestUpstream("c")}, {{"Upstream", "a"}});
  ChangeSetPtr set = Compile(BaseOf(proxy), true);
  EXPECT_EQ(set->upserts, 2u);
  EXPECT_EQ(set->removals, 1u);
  proxy.Take(*set);
  // The same by hashes.
  proxy.contents_[{"Upstream", "z"}] = api::MakeStored(TestUpstream("z", 1))->content;
  set = Compile(BaseOf(proxy), true);
  EXPECT_EQ(set->upserts, 2u);
  EXPECT_EQ(set->removals, 1u);
  proxy.Take(*set);
}

TEST_F(CompilerTest, EqualContentOnlyMovesTheNumber) {
  Put({TestUpstream("a")});
  Proxy proxy;
  proxy.Take(*Compile(BaseOf(proxy)));
  Put({TestUpstream("b")});
  Put({}, {{"Upstream", "b"}});
  const ChangeSetPtr set = Compile(BaseOf(proxy));
  EXPECT_EQ(set->upserts + set->removals, 0u);
  proxy.Take(*set);
  EXPECT_EQ(proxy.revision_, 3u);
}

TEST_F(CompilerTest, EqualQuestionsShareOneAnswer) {
  Put({TestUpstream("a")});
  Proxy proxy;
  const Base base = BaseOf(proxy);
  EXPECT_EQ(Compile(base), Compile(base));
  EXPECT_NE(Compile(base)->nonce, Compile(base, true)->nonce);
}

TEST_F(CompilerTest, RefusesDuplicates) {
  const auto base =
      compiler_->Recognize(1, {{{"Route", "a"}, {}}, {{"A", "b"}, {}}, {{"Route", "a"}, {}}});
  EXPECT_EQ(base.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(base.status().message(), "hello: resources names Route/a twice");
}

TEST_F(CompilerTest, SaysWhenTheChangesAreForgotten) {
  Put({TestUpstream("a")});
  const Base base{.revision = 77, .content_of = 77, .hashes = nullptr};
  EXPECT_EQ(compiler_->Compile(base, catalog_->Head(), false).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(CompilerTest, RandomWalksArrive) {
  std::mt19937 random(5);
  std::vector<Proxy> proxies(4);
  for (int step = 0; step < 200; ++step) {
    std::vector<v1::Resource> upserts;
    std::vector<api::ResourceKey> deletions;
    for (int i = 0; i < 5; ++i) {
      const std::string name = "u" + std::to_string(random() % 30);
      if (random() % 3 == 0) {
        deletions.push_back({"Upstream", name});
      } else {
        upserts.push_back(TestUpstream(name, static_cast<int>(80 + random() % 3)));
      }
    }
    Put(upserts, deletions);
    Proxy& proxy = proxies[random() % proxies.size()];
    proxy.Take(*Compile(BaseOf(proxy), random() % 5 == 0));
    ASSERT_EQ(proxy.revision_, catalog_->Head()->info.revision);
  }
}

}  // namespace
}  // namespace portico::control
