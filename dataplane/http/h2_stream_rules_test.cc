#include "dataplane/http/h2_stream_rules.h"

#include <gtest/gtest.h>

#include "dataplane/http/h2_frames.h"

namespace portico::http {
namespace {

using Verdict = H2StreamRules::Verdict;
constexpr uint8_t kData = 0, kHeaders = 1, kPriority = 2, kRstStream = 3, kWindowUpdate = 8;

Verdict See(H2StreamRules& rules, uint8_t type, uint32_t stream, bool ends = false) {
  H2FrameHead head;
  head.type = type;
  head.flags = ends ? 1 : 0;
  head.stream = stream;
  return rules.See(head);
}

TEST(H2StreamRulesTest, RequestsInTheirOrder) {
  H2StreamRules rules;
  for (uint32_t stream = 1; stream < 20000; stream += 2) {
    EXPECT_EQ(See(rules, kHeaders, stream), Verdict::kMayCome);
    EXPECT_EQ(See(rules, kData, stream), Verdict::kMayCome);
    EXPECT_EQ(See(rules, kHeaders, stream, true), Verdict::kMayCome);  // Trailers.
  }
}

TEST(H2StreamRulesTest, NothingComesBehindTheEnd) {
  for (const uint8_t last : {kHeaders, kData, kRstStream}) {
    for (const uint8_t next : {kHeaders, kData}) {
      H2StreamRules rules;
      EXPECT_EQ(See(rules, kHeaders, 1), Verdict::kMayCome);
      EXPECT_EQ(See(rules, last, 1, last != kRstStream), Verdict::kMayCome);
      EXPECT_EQ(See(rules, kHeaders, 3, true), Verdict::kMayCome);
      EXPECT_EQ(See(rules, next, 1), Verdict::kStreamClosed);
    }
  }
}

TEST(H2StreamRulesTest, WhatMayComeBehindTheEnd) {
  H2StreamRules rules;
  EXPECT_EQ(See(rules, kHeaders, 1, true), Verdict::kMayCome);
  for (const uint8_t type : {kRstStream, kWindowUpdate, kPriority}) {
    EXPECT_EQ(See(rules, type, 1), Verdict::kMayCome);
  }
}

TEST(H2StreamRulesTest, StreamsThatWeResetAreNotHeldAgainstTheClient) {
  H2StreamRules rules;
  EXPECT_EQ(See(rules, kHeaders, 1), Verdict::kMayCome);
  EXPECT_EQ(See(rules, kHeaders, 3, true), Verdict::kMayCome);
  // The rest of 1 was under way.
  EXPECT_EQ(See(rules, kData, 1), Verdict::kMayCome);
  EXPECT_EQ(See(rules, kHeaders, 1, true), Verdict::kMayCome);
}

TEST(H2StreamRulesTest, IdentifiersGoUp) {
  H2StreamRules rules;
  EXPECT_EQ(See(rules, kHeaders, 5, true), Verdict::kMayCome);
  EXPECT_EQ(See(rules, kHeaders, 11, true), Verdict::kMayCome);
  for (const uint32_t stream : {1u, 3u, 7u, 9u}) {
    EXPECT_EQ(See(rules, kHeaders, stream), Verdict::kProtocolError) << stream;
  }
  EXPECT_EQ(See(rules, kHeaders, 13), Verdict::kMayCome);
}

}  // namespace
}  // namespace portico::http
