#include "dataplane/proxy/grpc.h"

#include <gtest/gtest.h>

#include <limits>

#include "dataplane/base/arena.h"

namespace portico::proxy {
namespace {

using http::HeaderId;

TEST(GrpcTest, ContentTypes) {
  struct Case {
    const char* type;
    Grpc grpc;
  };
  for (const Case& c : {
           Case{"application/grpc", Grpc::kGrpc},
           {"application/grpc+proto", Grpc::kGrpc},
           {"Application/GRPC; charset=utf-8", Grpc::kGrpc},
           {"application/grpc-web", Grpc::kWeb},
           {"application/grpc-web+proto", Grpc::kWeb},
           {"application/grpc-web-text", Grpc::kWebText},
           {"application/grpc-web-text+proto; x=y", Grpc::kWebText},
           {"application/grpc-web-textual", Grpc::kNone},
           {"application/grpc-webx", Grpc::kNone},
           {"application/grpcx", Grpc::kNone},
           {"application/json", Grpc::kNone},
           {"", Grpc::kNone},
       }) {
    EXPECT_EQ(GrpcOfType(c.type), c.grpc) << c.type;
  }
}

TEST(GrpcTest, AcceptChoosesTheFormOfAGrpcWebResponse) {
  struct Case {
    const char* type;
    const char* accept;
    Grpc grpc;
  };
  for (const Case& c : {
           Case{"application/grpc-web", "application/grpc-web-text", Grpc::kWebText},
           {"application/grpc-web-text", "application/grpc-web", Grpc::kWeb},
           {"application/grpc-web-text", "*/*", Grpc::kWebText},
           {"application/grpc-web", nullptr, Grpc::kWeb},
           {"application/grpc", "application/grpc-web", Grpc::kGrpc},
           {nullptr, "application/grpc-web", Grpc::kNone},
       }) {
    base::Arena arena;
    http::HeaderList headers(arena);
    if (c.type != nullptr) headers.Add(HeaderId::kContentType, c.type);
    if (c.accept != nullptr) headers.Add(HeaderId::kAccept, c.accept);
    EXPECT_EQ(GrpcOfRequest(headers), c.grpc);
  }
}

TEST(GrpcTest, Timeouts) {
  struct Case {
    const char* text;
    std::optional<int64_t> nanos;
  };
  for (const Case& c : {
           Case{"1H", 3'600'000'000'000},
           {"2M", 120'000'000'000},
           {"3S", 3'000'000'000},
           {"250m", 250'000'000},
           {"7u", 7'000},
           {"99999999n", 99'999'999},
           {"0S", 0},
           {"00000001S", 1'000'000'000},
           {"99999999H", std::numeric_limits<int64_t>::max()},
           {"", std::nullopt},
           {"S", std::nullopt},
           {"1", std::nullopt},
           {"1s", std::nullopt},
           {"1h", std::nullopt},
           {"123456789S", std::nullopt},
           {"-1S", std::nullopt},
           {"+1S", std::nullopt},
           {"1.5S", std::nullopt},
           {" 1S", std::nullopt},
           {"1 S", std::nullopt},
           {"1S ", std::nullopt},
           {"0x1S", std::nullopt},
       }) {
    EXPECT_EQ(ParseGrpcTimeout(c.text), c.nanos) << c.text;
  }
}

TEST(GrpcTest, Statuses) {
  struct Case {
    const char* text;
    int status;
  };
  for (const Case& c : {Case{"0", 0},
                        {"14", 14},
                        {"16", 16},
                        {"17", 2},
                        {"", 2},
                        {"-1", 2},
                        {"100", 2},
                        {"x", 2}}) {
    base::Arena arena;
    http::HeaderList fields(arena);
    EXPECT_EQ(GrpcStatusOf(fields), kNoGrpcStatus);
    fields.Add(HeaderId::kGrpcStatus, c.text);
    EXPECT_EQ(GrpcStatusOf(fields), c.status) << c.text;
  }
  for (int status = -1; status <= 16; ++status) {
    EXPECT_EQ(IsUpstreamFailure(status), status == 13 || status == 14) << status;
  }
}

}  // namespace
}  // namespace portico::proxy
