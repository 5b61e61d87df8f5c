#include <cstdint>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "tests/bench/load/histogram.h"
#include "tests/bench/load/response_head.h"

namespace portico::bench {
namespace {

TEST(HistogramTest, QuantilesOfEvenValues) {
  Histogram histogram;
  for (int64_t value = 1; value <= 100'000; ++value) histogram.Record(value);
  EXPECT_EQ(histogram.total(), 100'000u);
  EXPECT_EQ(histogram.largest(), 100'000);
  for (const double quantile : {0.001, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const double expected = quantile * 100'000;
    EXPECT_NEAR(static_cast<double>(histogram.Quantile(quantile)), expected, expected / 64 + 1)
        << quantile;
  }
}

TEST(HistogramTest, SmallValuesAreExactAndLargeOnesBounded) {
  Histogram histogram;
  EXPECT_EQ(histogram.Quantile(0.5), 0);
  histogram.Record(7);
  EXPECT_EQ(histogram.Quantile(0.5), 7);
  histogram.Clear();
  histogram.Record(-5);
  EXPECT_EQ(histogram.Quantile(1), 0);
  histogram.Record(INT64_MAX);
  EXPECT_GT(histogram.Quantile(1), int64_t{1} << 39);
}

// Each value lies in its own bucket, and buckets do not overlap.
TEST(HistogramTest, EveryMagnitude) {
  for (int bit = 0; bit < 40; ++bit) {
    for (const int64_t value : {int64_t{1} << bit, (int64_t{1} << bit) + (int64_t{1} << bit) / 2}) {
      Histogram histogram;
      histogram.Record(value);
      EXPECT_NEAR(static_cast<double>(histogram.Quantile(0.5)), static_cast<double>(value),
                  static_cast<double>(value) / 64 + 1);
    }
  }
}

struct HeadCase {
  std::string_view bytes;
  HeadResult result;
  int status = 0;
  uint64_t content_length = 0;
  bool close = false;
};

TEST(ResponseHeadTest, Cases) {
  const std::vector<HeadCase> cases = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello", HeadResult::kComplete, 200, 12},
      {"HTTP/1.1 503 No\r\nserver: x\r\ncontent-length:0\r\nconnection: close\r\n\r\n",
       HeadResult::kComplete, 503, 0, true},
      {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", HeadResult::kComplete, 200, 1, true},
      {"HTTP/1.1 204 No Content\r\n\r\n", HeadResult::kComplete, 204},
      {"HTTP/1.1 200 OK\r\nContent-Length: 1", HeadResult::kIncomplete},
      {"", HeadResult::kIncomplete},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HeadResult::kUnsupported},
      {"HTTP/1.1 200 OK\r\nserver: something\r\n\r\n", HeadResult::kUnsupported},
      {"SSH-2.0-OpenSSH_9.2p1\r\n\r\n", HeadResult::kUnsupported},
      {"\r\n\r\n", HeadResult::kUnsupported},
  };
  for (const HeadCase& example : cases) {
    ResponseHead head;
    ASSERT_EQ(ReadResponseHead(example.bytes, head), example.result) << example.bytes;
    if (example.result != HeadResult::kComplete) continue;
    EXPECT_EQ(head.status, example.status) << example.bytes;
    EXPECT_EQ(head.content_length, example.content_length) << example.bytes;
    EXPECT_EQ(head.close, example.close) << example.bytes;
    EXPECT_EQ(head.size, example.bytes.find("\r\n\r\n") + 4);
  }
}

TEST(RequestHeadTest, EndsWithTheEmptyLine) {
  EXPECT_EQ(RequestHeadSize("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 27u);
  EXPECT_FALSE(RequestHeadSize("GET / HTTP/1.1\r\nHost: a\r\n").has_value());
}

}  // namespace
}  // namespace portico::bench
