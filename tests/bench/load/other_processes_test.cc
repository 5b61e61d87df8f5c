#include "tests/bench/load/other_processes.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace portico::bench {
namespace {

using Processes = std::map<std::pair<pid_t, int64_t>, ProcessTimes::Ticks>;

TEST(ReadProcessTimesTest, AllButTheKnownAndTheUnreadable) {
  const std::string proc = absl::StrCat(testing::TempDir(), "/proc");
  const auto write = [&](const std::string& name, const std::string& text) {
    std::filesystem::create_directories(absl::StrCat(proc, "/", name));
    std::ofstream(absl::StrCat(proc, "/", name, "/stat")) << text;
  };
  const std::string tail = " 0 0 20 0 1 0 777 1 2 3\n";
  write("10", "10 (a) b) c) S 1 10 10 0 -1 4194560 1 2 3 4 30 12 5 6" + tail.substr(4));
  write("11", "11 (known) S 1 11 11 0 -1 4194560 1 2 3 4 30 12 5 6" + tail.substr(4));
  write("12", "12 (cut) S 1 12");
  write("13", "");
  write("self", "14 (link) S 1 10 10 0 -1 4194560 1 2 3 4 30 12 5 6" + tail.substr(4));
  const ProcessTimes times = ReadProcessTimes({11}, proc);
  ASSERT_EQ(times.processes.size(), 1u);
  const auto& [process, ticks] = *times.processes.begin();
  EXPECT_EQ(process.first, 10);
  EXPECT_EQ(process.second, 777);
  EXPECT_EQ(ticks.own, 42);
  EXPECT_EQ(ticks.children, 11);
}

TEST(ReadProcessTimesTest, SeesItself) {
  EXPECT_FALSE(ReadProcessTimes({}).processes.empty());
  for (const auto& [process, ticks] : ReadProcessTimes({getpid()}).processes)
    EXPECT_NE(process.first, getpid());
  EXPECT_TRUE(ReadProcessTimes({}, "/nowhere").processes.empty());
}

TEST(TicksBetweenTest, Cases) {
  struct Case {
    const char* what;
    Processes before, after;
    int64_t ticks;
  };
  const Case cases[] = {
      {"nothing", {}, {}, 0},
      {"one goes on", {{{1, 5}, {10, 3}}}, {{{1, 5}, {14, 3}}}, 4},
      {"one begins", {}, {{{1, 5}, {14, 3}}}, 17},
      {"an id is used again", {{{1, 5}, {100, 0}}}, {{{1, 9}, {7, 0}}}, 7},
      {"one ends and is waited for",
       {{{1, 5}, {10, 0}}, {{2, 6}, {50, 0}}},
       {{{1, 5}, {10, 53}}},
       3},
      {"one ends with what its children spent",
       {{{1, 5}, {10, 0}}, {{2, 6}, {50, 20}}},
       {{{1, 5}, {10, 71}}},
       1},
      {"one lives and ends between", {{{1, 5}, {10, 0}}}, {{{1, 5}, {10, 8}}}, 8},
      {"one ends and nobody waits", {{{1, 5}, {10, 0}}, {{2, 6}, {50, 0}}}, {{{1, 5}, {12, 0}}}, 2},
  };
  for (const Case& example : cases) {
    EXPECT_EQ(TicksBetween({example.before}, {example.after}), example.ticks) << example.what;
  }
}

}  // namespace
}  // namespace portico::bench
