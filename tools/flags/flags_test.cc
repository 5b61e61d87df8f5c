#include "tools/flags/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"

ABSL_FLAG(std::string, test_address, "127.0.0.1:1", "Where to listen.");
ABSL_FLAG(bool, test_insecure, false, "Allows plaintext.");
ABSL_FLAG(int32_t, test_count, 7, "How many.");
ABSL_FLAG(std::vector<std::string>, test_file, {}, "Files to read.");

namespace portico::flags {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct GoodCase {
  const char* name;
  std::vector<std::string> arguments;
  std::vector<std::string> normalized;
};

TEST(NormalizeArguments, Accepts) {
  const std::vector<GoodCase> cases = {
      {"nothing", {}, {"--"}},
      {"dashes", {"--test-address=a:1"}, {"--test_address=a:1", "--"}},
      {"underscores", {"--test_address=a:1"}, {"--test_address=a:1", "--"}},
      {"value in the next argument", {"--test-address", "a:1"}, {"--test_address=a:1", "--"}},
      {"dashes in values stay", {"--test-address=a-b:1"}, {"--test_address=a-b:1", "--"}},
      {"a value that looks like a flag", {"--test-count", "-3"}, {"--test_count=-3", "--"}},
      {"one dash", {"-test-count=3"}, {"--test_count=3", "--"}},
      {"boolean", {"--test-insecure", "x"}, {"--test_insecure=true", "--", "x"}},
      {"boolean off", {"--no-test-insecure"}, {"--test_insecure=false", "--"}},
      {"boolean off, joined", {"--notest_insecure"}, {"--test_insecure=false", "--"}},
      {"lists collect",
       {"--test-file", "a", "--test-file=b,c", "x"},
       {"--test_file=a,b,c", "--", "x"}},
      {"positional between flags",
       {"apply", "--test-count=3", "-", "y"},
       {"--test_count=3", "--", "apply", "-", "y"}},
      {"after --", {"x", "--", "--test-count=3"}, {"--", "x", "--test-count=3"}},
  };
  for (const GoodCase& c : cases) {
    absl::FlagSaver saver;
    const auto normalized = NormalizeArguments(c.arguments);
    ASSERT_TRUE(normalized.ok()) << c.name << ": " << normalized.status();
    EXPECT_EQ(*normalized, c.normalized) << c.name;
  }
}

struct BadCase {
  std::vector<std::string> arguments;
  const char* message;
};

TEST(NormalizeArguments, Refuses) {
  const std::vector<BadCase> cases = {
      {{"--test-adress=x"}, "unknown flag --test-adress: did you mean --test-address?"},
      {{"--zzzzzzzzzz"}, "unknown flag --zzzzzzzzzz: run with --help"},
      {{"--" + std::string(100000, 'a')}, "unknown flag --aaa"},
      {{"--test-address"}, "flag --test-address needs a value: --test-address=VALUE"},
      {{"--test-count=many"}, "flag --test-count: bad value \"many\""},
      {{"--no-test-count"}, "unknown flag --no-test-count"},
      {{"--flagfile=x"}, "unknown flag --flagfile"},
  };
  for (const BadCase& c : cases) {
    absl::FlagSaver saver;
    const auto normalized = NormalizeArguments(c.arguments);
    ASSERT_FALSE(normalized.ok()) << c.arguments[0];
    EXPECT_THAT(std::string(normalized.status().message()), HasSubstr(c.message));
    EXPECT_EQ(normalized.status().message().find('\n'), std::string::npos);
  }
}

std::vector<char*> Parse(std::vector<std::string> arguments) {
  static std::vector<std::string> kept;
  kept = std::move(arguments);
  std::vector<char*> pointers;
  for (std::string& argument : kept) pointers.push_back(argument.data());
  return ParseFlagsOrExit(static_cast<int>(kept.size()), pointers.data());
}

TEST(ParseFlagsOrExit, SetsFlagsAndReturnsTheRest) {
  absl::FlagSaver saver;
  const std::vector<char*> rest =
      Parse({"/bin/test", "a", "--test-count", "9", "--test-file=x", "--test-file=y", "--", "--b"});
  EXPECT_EQ(absl::GetFlag(FLAGS_test_count), 9);
  EXPECT_THAT(absl::GetFlag(FLAGS_test_file), ElementsAre("x", "y"));
  EXPECT_THAT(std::vector<std::string>(rest.begin(), rest.end()),
              ElementsAre("/bin/test", "a", "--b"));
}

TEST(ParseFlagsOrExitDeathTest, Exits) {
  EXPECT_EXIT(Parse({"/bin/test", "--nope"}), testing::ExitedWithCode(2),
              "^test: unknown flag --nope: run with --help");
  EXPECT_EXIT(Parse({"/bin/test", "--help"}), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(Parse({"/bin/test", "--version"}), testing::ExitedWithCode(0), "");
}

TEST(HelpText, ListsFlagsWithDashes) {
  const std::string text = HelpText({.name = "test", .usage = "Does things.", .version = "1"});
  EXPECT_THAT(text, HasSubstr("usage: test"));
  EXPECT_THAT(text, HasSubstr("Does things."));
  EXPECT_THAT(text, HasSubstr("--test-address\n      Where to listen. Default: 127.0.0.1:1."));
  EXPECT_EQ(text.find("flagfile"), std::string::npos);
}

}  // namespace
}  // namespace portico::flags
