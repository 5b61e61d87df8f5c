#include "tools/porticoctl/sources.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace portico::ctl {
namespace {

using testing::HasSubstr;

constexpr char kRoute[] = R"(kind: Route
name: users
spec:
  match:
    path: {prefix: /users}
  upstreams:
    - name: users
    - name: other
---
- kind: Upstream
  name: users
  spec:
    endpoints:
      - address: 127.0.0.1:80
)";

class SourcesTest : public testing::Test {
 protected:
  SourcesTest() {
    folder_ = std::filesystem::path(testing::TempDir()) /
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(folder_ / "sub" / ".git");
  }
  ~SourcesTest() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return (folder_ / name).string();
  }

  std::filesystem::path folder_;
  std::istringstream in_;
};

TEST_F(SourcesTest, FoldersGiveTheirResourceFilesInOrder) {
  Write("b.yaml", "b");
  Write("a.json", "a");
  Write("sub/c.yml", "c");
  Write("notes.txt", "no");
  Write(".hidden.yaml", "no");
  Write("sub/.git/d.yaml", "no");
  const auto sources = ReadSources({folder_.string()}, in_);
  ASSERT_TRUE(sources.ok()) << sources.status();
  std::string all;
  for (const Source& source : *sources) all += source.text;
  EXPECT_EQ(all, "abc");
}

TEST_F(SourcesTest, StandardInput) {
  in_.str("text");
  const auto sources = ReadSources({"-"}, in_);
  ASSERT_TRUE(sources.ok());
  EXPECT_EQ(sources->front().name, "<stdin>");
  EXPECT_EQ(sources->front().text, "text");
}

TEST_F(SourcesTest, SaysWhatCannotBeRead) {
  const auto missing = ReadSources({"/does/not/exist.yaml"}, in_);
  EXPECT_THAT(std::string(missing.status().message()),
              HasSubstr("cannot read /does/not/exist.yaml: No such file or directory"));
  const auto empty = ReadSources({folder_.string()}, in_);
  EXPECT_THAT(std::string(empty.status().message()), HasSubstr("holds no .yaml, .yml or .json"));
}

TEST_F(SourcesTest, RefusesTheSameResourceTwice) {
  const auto loaded = LoadResources({{"a.yaml", kRoute}, {"b.yaml", kRoute}});
  const std::string text(loaded.status().message());
  EXPECT_THAT(text, HasSubstr("b.yaml: Route/users is there twice, first in a.yaml"));
  EXPECT_THAT(text, HasSubstr("Upstream/users is there twice"));
}

TEST_F(SourcesTest, CollectsTheMistakesOfAllFiles) {
  const auto loaded =
      LoadResources({{"a.yaml", "kind: Gizmo\nname: x\nspec: {}\n"}, {"b.yaml", "kind: [\n"}});
  const std::string text(loaded.status().message());
  EXPECT_THAT(text, HasSubstr("a.yaml"));
  EXPECT_THAT(text, HasSubstr("b.yaml"));
  EXPECT_FALSE(LoadResources({{"a.yaml", ""}}).ok());
}

struct Place {
  const char* kind;
  const char* name;
  const char* field;
  const char* found;
};

class LocationsTest : public testing::TestWithParam<Place> {};

TEST_P(LocationsTest, FindsTheLine) {
  const Locations locations({{"broken.yaml", "a: ["}, {"r.yaml", kRoute}});
  EXPECT_EQ(locations.Find({GetParam().kind, GetParam().name}, GetParam().field), GetParam().found);
}

INSTANTIATE_TEST_SUITE_P(
    All, LocationsTest,
    testing::Values(Place{"Route", "users", "", "r.yaml:1"},
                    Place{"Route", "users", "name", "r.yaml:2"},
                    Place{"Route", "users", "spec.match.path.prefix", "r.yaml:5"},
                    Place{"Route", "users", "spec.match.path.regex", "r.yaml:5"},
                    Place{"Route", "users", "spec.upstreams[1].name", "r.yaml:8"},
                    Place{"Route", "users", "spec.upstreams[7].name", "r.yaml:6"},
                    Place{"Upstream", "users", "spec.endpoints[0].address", "r.yaml:14"},
                    Place{"Upstream", "nobody", "spec", ""}));

}  // namespace
}  // namespace portico::ctl
