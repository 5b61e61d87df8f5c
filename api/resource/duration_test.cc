#include "api/resource/duration.h"

#include "gtest/gtest.h"

namespace portico::api {
namespace {

TEST(Duration, ParsesAndFormats) {
  const struct {
    const char* text;
    int64_t seconds;
    int32_t nanos;
    const char* formatted;
  } kCases[] = {
      {"15s", 15, 0, "15s"},
      {"100ms", 0, 100000000, "100ms"},
      {"5m", 300, 0, "5m"},
      {"1h", 3600, 0, "1h"},
      {"1h30m", 5400, 0, "90m"},
      {"1.5s", 1, 500000000, "1500ms"},
      {"0s", 0, 0, "0s"},
      {"0", 0, 0, "0s"},
      {"7ns", 0, 7, "7ns"},
      {"20us", 0, 20000, "20us"},
      {"86400s", 86400, 0, "24h"},
      {"90s", 90, 0, "90s"},
      {"1s1ns", 1, 1, "1s1ns"},
      {"315576000000s", 315576000000, 0, "87660000h"},
      {"0.999999999s", 0, 999999999, "999999999ns"},
  };
  for (const auto& c : kCases) {
    absl::StatusOr<google::protobuf::Duration> parsed = ParseDuration(c.text);
    ASSERT_TRUE(parsed.ok()) << c.text << ": " << parsed.status();
    EXPECT_EQ(parsed->seconds(), c.seconds) << c.text;
    EXPECT_EQ(parsed->nanos(), c.nanos) << c.text;
    EXPECT_EQ(FormatDuration(*parsed), c.formatted);
    EXPECT_EQ(FormatDuration(*ParseDuration(c.formatted)), c.formatted);
  }
}

TEST(Duration, Refuses) {
  for (const char* text : {"", "15", "s", "-1s", "+1s", "inf", "1 s", "15 seconds", "1d", "0x1s",
                           "1e3s", "9999999999999999h", "315576000001s"}) {
    EXPECT_FALSE(ParseDuration(text).ok()) << text;
  }
}

TEST(Duration, ConvertsWithDefault) {
  google::protobuf::Duration field;
  field.set_seconds(2);
  EXPECT_EQ(DurationOr(true, field, absl::Seconds(15)), absl::Seconds(2));
  EXPECT_EQ(DurationOr(false, field, absl::Seconds(15)), absl::Seconds(15));
  EXPECT_EQ(FromAbslDuration(absl::Milliseconds(1500)).nanos(), 500000000);
}

}  // namespace
}  // namespace portico::api
