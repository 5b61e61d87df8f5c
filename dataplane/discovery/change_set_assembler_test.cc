#include "dataplane/discovery/change_set_assembler.h"

#include <functional>
#include <string>
#include <vector>

#include "dataplane/discovery/backoff.h"
#include "dataplane/discovery/hello.h"
#include "dataplane/discovery/test_resources.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace portico::discovery_client {
namespace {

using discovery::v1::Chunk;
using Kind = AssemblyStep::Kind;
using ::testing::HasSubstr;

AssemblyStep AddAll(ChangeSetAssembler& assembler, uint64_t base_revision,
                    const api::ResourceSet& base, const std::vector<Chunk>& chunks) {
  AssemblyStep step;
  for (const Chunk& chunk : chunks) {
    EXPECT_EQ(step.kind, Kind::kMore);
    step = assembler.Add(base_revision, base, chunk);
  }
  return step;
}

TEST(ChangeSetAssembler, ASetInPieces) {
  ChangeSetAssembler assembler({});
  const api::ResourceSet target = TestSet({{"a", "1"}, {"b", "2"}, {"c", "3"}});
  std::vector<Chunk> chunks = TestChunks(7, 0, {}, 5, target);
  ASSERT_EQ(chunks.size(), 3u);
  chunks.back().set_accepted_unix_nanos(99);
  const AssemblyStep step = AddAll(assembler, 0, {}, chunks);
  ASSERT_EQ(step.kind, Kind::kComplete) << step.error;
  EXPECT_EQ(step.nonce, 7u);
  EXPECT_EQ(step.revision, 5u);
  EXPECT_EQ(step.accepted_unix_nanos, 99);
  EXPECT_EQ(api::ChecksumOf(*step.set), api::ChecksumOf(target));
}

TEST(ChangeSetAssembler, ADeltaKeepsWhatItDoesNotName) {
  ChangeSetAssembler assembler({});
  const api::ResourceSet base = TestSet({{"a", "1"}, {"b", "2"}, {"c", "3"}});
  const api::ResourceSet target = TestSet({{"a", "1"}, {"b", "changed"}, {"d", "4"}});
  const AssemblyStep step = AddAll(assembler, 5, base, TestChunks(1, 5, base, 6, target));
  ASSERT_EQ(step.kind, Kind::kComplete) << step.error;
  EXPECT_EQ(step.upserts, 2u);
  EXPECT_EQ(step.removals, 1u);
  EXPECT_EQ(api::ChecksumOf(*step.set), api::ChecksumOf(target));
  EXPECT_EQ(step.set->at({"Upstream", "a"}), base.at({"Upstream", "a"}));
}

TEST(ChangeSetAssembler, EqualContentKeepsItsObject) {
  ChangeSetAssembler assembler({});
  const api::ResourceSet base = TestSet({{"a", "1"}});
  // Everything anew, as after a resync.
  std::vector<Chunk> chunks = TestChunks(1, 0, {}, 6, base);
  for (Chunk& chunk : chunks) chunk.set_base_revision(5);
  const AssemblyStep step = AddAll(assembler, 5, base, chunks);
  ASSERT_EQ(step.kind, Kind::kComplete) << step.error;
  EXPECT_EQ(step.set->at({"Upstream", "a"}), base.at({"Upstream", "a"}));
}

TEST(ChangeSetAssembler, OnlyRemovalsLeadToAnEmptySet) {
  ChangeSetAssembler assembler({});
  const api::ResourceSet base = TestSet({{"a", "1"}});
  const AssemblyStep removed = AddAll(assembler, 5, base, TestChunks(1, 5, base, 6, {}));
  ASSERT_EQ(removed.kind, Kind::kComplete);
  EXPECT_TRUE(removed.set->empty());
  EXPECT_EQ(removed.removals, 1u);

  // A set that names nothing, with the checksum of nothing.
  const std::vector<Chunk> nothing = TestChunks(2, 5, {}, 6, {});
  EXPECT_EQ(AddAll(assembler, 5, base, nothing).kind, Kind::kResync);
}

TEST(ChangeSetAssembler, WhatCannotBeAssembled) {
  const api::ResourceSet base = TestSet({{"a", "1"}});
  const api::ResourceSet target = TestSet({{"a", "1"}, {"b", "2"}, {"c", "3"}});
  struct Case {
    const char* name;
    std::function<void(std::vector<Chunk>&)> spoil;
    const char* error;
  };
  const std::vector<Case> cases = {
      {"wrong checksum", [](auto& chunks) { chunks.back().set_checksum(std::string(32, 'x')); },
       "checksum"},
      {"no checksum", [](auto& chunks) { chunks.back().clear_checksum(); }, "checksum"},
      {"short checksum", [](auto& chunks) { chunks.back().mutable_checksum()->resize(31); },
       "checksum"},
      {"changed content",
       [](auto& chunks) {
         chunks[0].mutable_upserts(0)->set_content(TestResource("b", "x")->content);
       },
       "checksum"},
      {"lost chunk", [](auto& chunks) { chunks.erase(chunks.begin()); }, "checksum"},
      {"other base", [](auto& chunks) { chunks[0].set_base_revision(4); }, "revision 5 is live"},
      {"going back",
       [](auto& chunks) {
         for (auto& chunk : chunks) chunk.set_revision(4);
       },
       "leads back"},
      {"another nonce in the middle", [](auto& chunks) { chunks[1].set_nonce(8); },
       "before the last one"},
      {"another revision in the middle", [](auto& chunks) { chunks[1].set_revision(9); },
       "before the last one"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    std::vector<Chunk> chunks = TestChunks(7, 5, base, 6, target);
    ASSERT_EQ(chunks.size(), 2u);
    c.spoil(chunks);
    ChangeSetAssembler assembler({});
    AssemblyStep step;
    for (const Chunk& chunk : chunks) {
      step = assembler.Add(5, base, chunk);
      if (step.kind != Kind::kMore) break;
    }
    ASSERT_EQ(step.kind, Kind::kResync);
    EXPECT_THAT(step.error, HasSubstr(c.error));
    // What follows of the same set is ignored, and the next set is taken.
    Chunk rest = chunks.back();
    rest.set_nonce(step.nonce);
    EXPECT_EQ(assembler.Add(5, base, rest).kind, Kind::kIgnored);
    EXPECT_EQ(AddAll(assembler, 5, base, TestChunks(9, 5, base, 6, target)).kind, Kind::kComplete);
  }
}

TEST(ChangeSetAssembler, ContentThatThisBuildCannotRead) {
  struct Case {
    const char* name;
    std::string content;
  };
  v1::Resource without_spec;
  without_spec.set_name("b");
  const std::vector<Case> cases = {
      {"no protobuf", "\xff\xff\xff"},
      {"no spec", without_spec.SerializeAsString()},
      {"another name", TestResource("x", "2")->content},
      {"empty", ""},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    ChangeSetAssembler assembler({});
    std::vector<Chunk> chunks = TestChunks(7, 0, {}, 6, TestSet({{"a", "1"}, {"b", "2"}}));
    chunks[1].mutable_upserts(0)->set_content(c.content);
    const AssemblyStep step = AddAll(assembler, 0, {}, chunks);
    ASSERT_EQ(step.kind, Kind::kRefused);
    ASSERT_EQ(step.violations.size(), 1u);
    EXPECT_EQ(step.violations[0].resource().kind(), "Upstream");
    EXPECT_EQ(step.violations[0].resource().name(), "b");
    EXPECT_FALSE(step.violations[0].reason().empty());
    EXPECT_FALSE(step.violations[0].fix().empty());
  }
}

TEST(ChangeSetAssembler, SetsThatAreTooLargeAreRefusedNotCrashed) {
  const api::ResourceSet target = TestSet({{"a", "1"}, {"b", "2"}, {"c", "3"}});
  for (const ChangeSetAssembler::Limits limits :
       {ChangeSetAssembler::Limits{.max_bytes = 100}, {.max_resources = 2}}) {
    ChangeSetAssembler assembler(limits);
    const AssemblyStep step = AddAll(assembler, 0, {}, TestChunks(7, 0, {}, 6, target));
    ASSERT_EQ(step.kind, Kind::kRefused);
    ASSERT_EQ(step.violations.size(), 1u);
    EXPECT_THAT(step.violations[0].reason(), HasSubstr("larger than this proxy takes"));
    EXPECT_EQ(AddAll(assembler, 0, {}, TestChunks(8, 0, {}, 7, TestSet({{"a", ""}}))).kind,
              Kind::kComplete);
  }
}

TEST(Hello, IsDividedBySize) {
  api::ResourceSet set;
  for (int i = 0; i < 100; ++i) {
    const std::string name = "resource-" + std::to_string(i);
    set[{"Upstream", name}] = TestResource(name, "");
  }
  const auto messages =
      MakeHello({.node_id = "n", .labels = {{"zone", "a"}}, .build = "1"}, 5, set, 1000);
  ASSERT_GT(messages.size(), 5u);
  size_t resources = 0;
  for (size_t i = 0; i < messages.size(); ++i) {
    EXPECT_LE(messages[i].ByteSizeLong(), 1100u);
    EXPECT_EQ(messages[i].hello().more(), i + 1 < messages.size());
    resources += static_cast<size_t>(messages[i].hello().resources_size());
  }
  EXPECT_EQ(resources, 100u);
  EXPECT_EQ(messages[0].hello().node_id(), "n");
  EXPECT_EQ(messages[0].hello().labels().at("zone"), "a");
  EXPECT_EQ(messages[0].hello().applied_revision(), 5u);
  EXPECT_EQ(MakeHello({.node_id = "n", .labels = {}, .build = ""}, 0, {}).size(), 1u);
}

TEST(Backoff, DoublesToItsCeilingWithJitter) {
  Backoff backoff(200, 1000);
  EXPECT_EQ(backoff.Next(0.0), 100);
  EXPECT_EQ(backoff.Next(0.5), 300);
  EXPECT_EQ(backoff.Next(0.0), 400);
  EXPECT_EQ(backoff.Next(0.0), 500);
  EXPECT_EQ(backoff.Next(0.999), 999);
  backoff.Reset();
  EXPECT_EQ(backoff.Next(0.0), 100);
}

}  // namespace
}  // namespace portico::discovery_client
