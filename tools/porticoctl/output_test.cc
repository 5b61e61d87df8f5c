#include "tools/porticoctl/output.h"

#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <sstream>

#include "tools/porticoctl/text_diff.h"

namespace portico::ctl {
namespace {

TEST(TableTest, AlignsByCodePointsAndLeavesNoTrailingBlanks) {
  Table table({"KIND", "NAME", "LABELS"});
  table.AddRow({"Route", "é", ""});
  table.AddRow({"RateLimitPolicy", "b\nc", "x=y"});
  EXPECT_EQ(table.Format(),
            "KIND             NAME  LABELS\n"
            "Route            é\n"
            "RateLimitPolicy  b c   x=y\n");
}

TEST(YamlTest, ReadsBackAsTheSameStrings) {
  const Json value = {{"plain", "abc/d.e-f"}, {"number", "42"},       {"word", "Yes"},
                      {"colon", "a: b"},      {"dash", "- x"},        {"lines", "a\nb\t\"c\""},
                      {"empty", ""},          {"unicode", "é"},       {"null", "~"},
                      {"list", {"1", "x"}},   {"none", Json::array()}};
  const std::string text = ToYamlText(value);
  const YAML::Node node = YAML::Load(text);
  for (const auto& [key, member] : value.items()) {
    if (!member.is_string()) continue;
    EXPECT_EQ(node[key].as<std::string>(), member.get<std::string>()) << text;
    // Quoted text has the tag "!": no reader takes it for something else.
    if (key != "plain") {
      EXPECT_EQ(node[key].Tag(), "!") << key;
    }
  }
  EXPECT_EQ(node["list"][0].Tag(), "!");
  EXPECT_EQ(node["none"].size(), 0u);
}

TEST(YamlTest, Layout) {
  std::ostringstream out;
  Print({{"revision", 7}, {"live", true}, {"changes", Json::array({{{"kind", "Route"}}})}},
        OutputFormat::kYaml, out);
  EXPECT_EQ(out.str(), "revision: 7\nlive: true\nchanges:\n  - kind: Route\n");
}

TEST(JsonTest, BytesThatAreNotUtf8DoNotBreakIt) {
  std::ostringstream out;
  Print({{"a", "\xff"}}, OutputFormat::kJson, out);
  EXPECT_EQ(out.str(), "{\n  \"a\": \"\xEF\xBF\xBD\"\n}\n");
}

struct DiffCase {
  const char* name;
  const char* before;
  const char* after;
  const char* diff;
};

class LineDiffTest : public testing::TestWithParam<DiffCase> {};

TEST_P(LineDiffTest, Shows) {
  EXPECT_EQ(LineDiff(GetParam().before, GetParam().after), GetParam().diff);
}

INSTANTIATE_TEST_SUITE_P(
    All, LineDiffTest,
    testing::Values(DiffCase{"Equal", "a\nb\n", "a\nb\n", ""},
                    DiffCase{"New", "", "a\nb\n", "+ a\n+ b\n"},
                    DiffCase{"Gone", "a\n", "", "- a\n"},
                    DiffCase{"Middle", "a\nb\nc\n", "a\nx\nc\n", "  a\n- b\n+ x\n  c\n"},
                    DiffCase{"Insert", "a\nc\n", "a\nb\nc\n", "  a\n+ b\n  c\n"},
                    DiffCase{"FarApart", "1\n2\n3\n4\n5\n6\n7\n8\n9\n",
                             "x\n2\n3\n4\n5\n6\n7\n8\ny\n",
                             "- 1\n+ x\n  2\n  3\n  4\n  ...\n  6\n  7\n  8\n- 9\n+ y\n"}),
    [](const testing::TestParamInfo<DiffCase>& info) { return info.param.name; });

TEST(LineDiffTest, HugeDifferencesDoNotNeedHugeTables) {
  std::string before;
  std::string after;
  for (int i = 0; i < 20000; ++i) {
    before += "a" + std::to_string(i) + "\n";
    after += "b" + std::to_string(i) + "\n";
  }
  const std::string diff = LineDiff(before, after);
  EXPECT_EQ(diff.size(), before.size() + after.size() + 2 * 40000);
}

}  // namespace
}  // namespace portico::ctl
