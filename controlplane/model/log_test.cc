#include "controlplane/model/log.h"

#include <gtest/gtest.h>

namespace portico::control {
namespace {

TEST(FormatLogLine, IsOneLine) {
  const absl::Time time = absl::FromUnixMillis(1'000'000'000'123);
  EXPECT_EQ(FormatLogLine(time, LogLevel::kInfo, "store", "opened"),
            "2001-09-09T01:46:40.123Z info store opened\n");
  EXPECT_EQ(FormatLogLine(time, LogLevel::kError, "a", "x\ny\x01"),
            "2001-09-09T01:46:40.123Z error a x\\ny\\x01\n");
}

TEST(FormatLogLine, IsBounded) {
  EXPECT_LT(
      FormatLogLine(absl::UnixEpoch(), LogLevel::kWarning, "a", std::string(100000, 'x')).size(),
      4300u);
}

}  // namespace
}  // namespace portico::control
