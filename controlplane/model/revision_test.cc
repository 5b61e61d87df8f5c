#include "controlplane/model/revision.h"

#include <gtest/gtest.h>

#include <random>

namespace portico::control {
namespace {

api::StoredResourcePtr Upstream(const std::string& name, const std::string& description) {
  v1::Resource resource;
  resource.set_name(name);
  resource.set_description(description);
  resource.mutable_upstream();
  return api::MakeStored(std::move(resource));
}

api::ResourceSet SetOf(const std::map<std::string, std::string>& entries) {
  api::ResourceSet set;
  for (const auto& [name, description] : entries) {
    set[{"Upstream", name}] = Upstream(name, description);
  }
  return set;
}

TEST(Diff, NamesEveryKindOfChange) {
  const api::ResourceSet from = SetOf({{"a", "1"}, {"b", "1"}, {"c", "1"}});
  const api::ResourceSet to = SetOf({{"b", "2"}, {"c", "1"}, {"d", "1"}});
  const std::vector<Change> changes = Diff(from, to);
  ASSERT_EQ(changes.size(), 3u);
  EXPECT_EQ(changes[0].key.name, "a");
  EXPECT_EQ(changes[0].after, nullptr);
  EXPECT_EQ(changes[1].key.name, "b");
  EXPECT_NE(changes[1].before, nullptr);
  EXPECT_NE(changes[1].after, nullptr);
  EXPECT_EQ(changes[2].key.name, "d");
  EXPECT_EQ(changes[2].before, nullptr);
  RevisionInfo info;
  Count(changes, info);
  EXPECT_EQ(info.created, 1u);
  EXPECT_EQ(info.updated, 1u);
  EXPECT_EQ(info.deleted, 1u);
  EXPECT_EQ(KeysOf(changes).size(), 3u);
}

TEST(Diff, LeadsThereAndBack) {
  std::mt19937 random(1);
  for (int round = 0; round < 50; ++round) {
    std::map<std::string, std::string> a;
    std::map<std::string, std::string> b;
    for (int i = 0; i < 30; ++i) {
      const std::string name(1, static_cast<char>('a' + i % 26));
      if (random() % 2 == 0) a[name] = std::to_string(random() % 3);
      if (random() % 2 == 0) b[name] = std::to_string(random() % 3);
    }
    const api::ResourceSet from = SetOf(a);
    const api::ResourceSet to = SetOf(b);
    api::ResourceSet moved = from;
    const std::vector<Change> changes = Diff(from, to);
    ApplyTo(changes, moved);
    EXPECT_EQ(api::ChecksumOf(moved), api::ChecksumOf(to));
    RevertOn(changes, moved);
    EXPECT_EQ(api::ChecksumOf(moved), api::ChecksumOf(from));
  }
}

TEST(Merge, KeepsTheFirstBeforeAndTheLastAfter) {
  const std::vector<api::ResourceSet> sets = {
      SetOf({{"a", "1"}, {"b", "1"}}),
      SetOf({{"a", "2"}, {"b", "1"}, {"c", "1"}}),
      SetOf({{"a", "1"}, {"d", "1"}}),
  };
  std::vector<std::shared_ptr<const std::vector<Change>>> lists;
  for (size_t i = 1; i < sets.size(); ++i) {
    lists.push_back(std::make_shared<const std::vector<Change>>(Diff(sets[i - 1], sets[i])));
  }
  const std::vector<Change> merged = Merge(lists);
  // "a" came back to what it was, "c" came and went.
  ASSERT_EQ(merged.size(), 2u);
  EXPECT_EQ(merged[0].key.name, "b");
  EXPECT_EQ(merged[0].after, nullptr);
  EXPECT_EQ(merged[1].key.name, "d");
  api::ResourceSet moved = sets[0];
  ApplyTo(merged, moved);
  EXPECT_EQ(api::ChecksumOf(moved), api::ChecksumOf(sets[2]));
}

TEST(ToProto, CarriesEverything) {
  RevisionInfo info;
  info.revision = 7;
  info.created_at = absl::FromUnixNanos(1'500'000'000'000'000'001);
  info.author = "ada";
  const v1::RevisionInfo proto = ToProto(info);
  EXPECT_EQ(proto.revision(), 7u);
  EXPECT_EQ(proto.created_at().seconds(), 1'500'000'000);
  EXPECT_EQ(proto.created_at().nanos(), 1);
  EXPECT_EQ(proto.author(), "ada");
  EXPECT_EQ(proto.checksum().size(), 64u);
}

}  // namespace
}  // namespace portico::control
