#include "dataplane/http/trailers.h"

#include <gtest/gtest.h>

#include <string>

namespace portico::http {
namespace {

class TrailersTest : public testing::Test {
 protected:
  base::Arena arena_;
  HeaderList list_{arena_};
};

TEST_F(TrailersTest, WhatRunsAMessageIsNotSafe) {
  for (const char* name : {"grpc-status", "grpc-message", "grpc-status-details-bin", "x-checksum",
                           "Server-Timing", "etag", "digest", "ratelimit"}) {
    EXPECT_TRUE(IsSafeTrailer({name, "v", LookUpHeader(name)})) << name;
  }
  for (const char* name : {"Content-Length",
                           "transfer-encoding",
                           "Host",
                           "Authorization",
                           "cookie",
                           "set-cookie",
                           "Content-Type",
                           "Content-Encoding",
                           "If-Match",
                           "Range",
                           "TE",
                           "Trailer",
                           "Connection",
                           "X-Forwarded-For",
                           "x-forwarded-port",
                           "x-request-id",
                           "Vary",
                           "Expires",
                           "",
                           "Access-Control-Allow-Origin",
                           ":status",
                           "a b",
                           "name\r\nx"}) {
    EXPECT_FALSE(IsSafeTrailer({name, "v", LookUpHeader(name)})) << name;
  }
}

TEST_F(TrailersTest, OnlyTheSafeOnesAreKept) {
  EXPECT_EQ(SafeTrailers(nullptr, arena_), nullptr);
  list_.Add("grpc-status", "0");
  EXPECT_EQ(SafeTrailers(&list_, arena_), &list_);
  list_.Add("host", "evil");
  const HeaderList* kept = SafeTrailers(&list_, arena_);
  ASSERT_NE(kept, nullptr);
  EXPECT_EQ(kept->size(), 1u);
  HeaderList bad(arena_);
  bad.Add("host", "evil");
  EXPECT_EQ(SafeTrailers(&bad, arena_), nullptr);
}

TEST_F(TrailersTest, TeSaysWhoTakesThem) {
  struct Case {
    const char* value;
    bool takes;
  };
  for (const Case& c : {Case{"trailers", true},
                        {"gzip;q=0.5, Trailers", true},
                        {"", false},
                        {"trailer", false},
                        {"gzip,", false},
                        {" ,trailers", true}}) {
    HeaderList list(arena_);
    list.Add("TE", c.value);
    EXPECT_EQ(TakesTrailers(list), c.takes) << c.value;
  }
}

TEST_F(TrailersTest, TheLastChunkCannotBeSplit) {
  list_.Add("grpc-status", "0");
  list_.Add("content-length", "7");
  list_.Add("x-a", "b\r\nc: d");
  list_.Add("grpc-message", "");
  EXPECT_EQ(std::string(WriteLastChunk(list_, arena_)),
            "0\r\ngrpc-status: 0\r\ngrpc-message: \r\n\r\n");
}

TEST_F(TrailersTest, ASectionIsWrittenByPlace) {
  TrailerSection section(arena_);
  EXPECT_EQ(section.Fields(0), nullptr);
  const std::string text = "grpc-status: 5 \nhost: x\nX-A:b\n";
  // Looking ahead writes the same bytes twice.
  for (int round = 0; round < 2; ++round) {
    for (size_t i = 0; i < text.size(); ++i) section.Put(static_cast<uint16_t>(i), text[i]);
  }
  const HeaderList* fields = section.Fields(static_cast<uint16_t>(text.size()));
  ASSERT_NE(fields, nullptr);
  EXPECT_EQ(fields->size(), 2u);
  EXPECT_EQ(fields->Find(HeaderId::kGrpcStatus)->value, "5");
  EXPECT_EQ(fields->Find("x-a")->value, "b");
}

}  // namespace
}  // namespace portico::http
