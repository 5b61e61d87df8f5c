#include "dataplane/http/h2_fields.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/base/arena.h"
#include "dataplane/http/h2_writer.h"

namespace portico::http {
namespace {

using Kind = H2HeadResult::Kind;
using Fields = std::vector<std::pair<std::string, std::string>>;

Fields Get(const Fields& more = {}) {
  Fields fields = {
      {":method", "GET"}, {":scheme", "https"}, {":authority", "a.test"}, {":path", "/"}};
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}

std::string Show(const HeaderList& list) {
  std::string out;
  for (const HeaderField& field : list) {
    if (field.name.empty()) continue;
    out += std::string(field.name) + "=" + std::string(field.value) + ";";
  }
  return out;
}

class H2FieldsTest : public testing::Test {
 protected:
  H2HeadResult Request(const Fields& fields, bool end_stream = true) {
    head_ = RequestHead(arena_);
    Collect(H2FieldCollector::Block::kRequest, fields, head_.headers);
    return FinishRequest(collector_, end_stream, head_);
  }
  void Collect(H2FieldCollector::Block block, const Fields& fields, HeaderList& list) {
    collector_.Begin(block, limits_, list);
    for (const auto& [name, value] : fields) {
      // As nghttp2 gives them: gone after the call.
      const std::string n = name, v = value;
      collector_.Add(n, v);
    }
  }

  base::Arena arena_;
  H1Limits limits_;
  RequestHead head_{arena_};
  ResponseHead response_{arena_};
  H2FieldCollector collector_;
};

TEST_F(H2FieldsTest, RequestHead) {
  const H2HeadResult result = Request({{":method", "POST"},
                                       {":scheme", "https"},
                                       {":path", "/a/../b%2e?x=1"},
                                       {":authority", "A.test:8443"},
                                       {"x-own", "1"},
                                       {"cookie", "a=1"},
                                       {"te", "trailers"},
                                       {"cookie", "b=2"},
                                       {"proxy-authorization", "secret"},
                                       {"content-length", "5"}},
                                      /*end_stream=*/false);
  ASSERT_EQ(result.kind, Kind::kOk) << result.reason;
  EXPECT_EQ(head_.method, Method::kPost);
  EXPECT_EQ(head_.version, Version::kHttp2);
  EXPECT_EQ(head_.path, "/b.");
  EXPECT_EQ(head_.query, "x=1");
  EXPECT_EQ(head_.authority, "a.test:8443");
  EXPECT_EQ(head_.host, "a.test");
  EXPECT_EQ(head_.body, BodyKind::kLength);
  EXPECT_EQ(head_.content_length, 5u);
  EXPECT_EQ(Show(head_.headers), "x-own=1;cookie=a=1; b=2;content-length=5;host=a.test:8443;");
}

TEST_F(H2FieldsTest, BodyIsWhatFollows) {
  Request(Get());
  EXPECT_EQ(head_.body, BodyKind::kNone);
  Request(Get(), /*end_stream=*/false);
  EXPECT_EQ(head_.body, BodyKind::kChunked);
  Request(Get({{"content-length", "0"}}));
  EXPECT_EQ(head_.content_length, 0u);
  Request(Get({{"expect", "100-Continue"}}), /*end_stream=*/false);
  EXPECT_TRUE(head_.expect_continue);
}

TEST_F(H2FieldsTest, WhatIsNoRequest) {
  const std::vector<std::tuple<Fields, Kind, int, std::string>> cases = {
      {Get({{"X-Upper", "1"}}), Kind::kMalformed, 400, "invalid_header"},
      {Get({{"Accept", "1"}}), Kind::kMalformed, 400, "invalid_header"},
      {Get({{"", "1"}}), Kind::kMalformed, 400, "invalid_header"},
      {Get({{"a b", "1"}}), Kind::kMalformed, 400, "invalid_header"},
      {Get({{"a", "1\r\nb: 2"}}), Kind::kMalformed, 400, "invalid_header"},
      {Get({{"a", std::string("1\0", 2)}}), Kind::kMalformed, 400, "invalid_header"},
      {Get({{"a", " 1"}}), Kind::kMalformed, 400, "invalid_header"},
      {Get({{"a", "1\t"}}), Kind::kMalformed, 400, "invalid_header"},
      {Get({{"connection", "close"}}), Kind::kMalformed, 400, "connection_header"},
      {Get({{"keep-alive", "1"}}), Kind::kMalformed, 400, "connection_header"},
      {Get({{"proxy-connection", "1"}}), Kind::kMalformed, 400, "connection_header"},
      {Get({{"transfer-encoding", "chunked"}}), Kind::kMalformed, 400, "connection_header"},
      {Get({{"upgrade", "websocket"}}), Kind::kMalformed, 400, "connection_header"},
      {Get({{"te", "gzip"}}), Kind::kMalformed, 400, "invalid_te"},
      {Get({{":path", "/"}}), Kind::kMalformed, 400, "invalid_pseudo_header"},
      {Get({{":status", "200"}}), Kind::kMalformed, 400, "invalid_pseudo_header"},
      {Get({{":other", "1"}}), Kind::kMalformed, 400, "invalid_pseudo_header"},
      {Get({{"a", "1"}, {":protocol", "websocket"}}), Kind::kMalformed, 400,
       "invalid_pseudo_header"},
      {Get({{":protocol", "websocket"}}), Kind::kMalformed, 400, "invalid_pseudo_header"},
      {Get({{"content-length", "1"}}), Kind::kMalformed, 400, "conflicting_length"},
      {Get({{"content-length", "0"}, {"content-length", "0"}}), Kind::kMalformed, 400,
       "conflicting_length"},
      {Get({{"content-length", "+0"}}), Kind::kMalformed, 400, "invalid_content_length"},
      {Get({{"host", "b.test"}}), Kind::kMalformed, 400, "duplicate_host"},
      {Get({{"host", "a.test"}, {"host", "a.test"}}), Kind::kMalformed, 400, "duplicate_host"},
      {{{":method", "GET"}, {":scheme", "http"}, {":path", "/"}},
       Kind::kRefused,
       400,
       "missing_host"},
      {{{":method", "GET"}, {":scheme", "http"}}, Kind::kMalformed, 400, "invalid_pseudo_header"},
      {{{":method", "GET"}, {":path", "/"}}, Kind::kMalformed, 400, "invalid_pseudo_header"},
      {{{":scheme", "http"}, {":path", "/"}}, Kind::kMalformed, 400, "invalid_pseudo_header"},
      {{{":method", "G T"}, {":scheme", "http"}, {":path", "/"}},
       Kind::kMalformed,
       400,
       "invalid_pseudo_header"},
      {{{":method", "GET"}, {":scheme", "http"}, {":path", ""}},
       Kind::kMalformed,
       400,
       "invalid_pseudo_header"},
      {{{":method", "GET"}, {":scheme", "http"}, {":path", "http://b/"}},
       Kind::kMalformed,
       400,
       "invalid_pseudo_header"},
      {{{":method", "GET"}, {":scheme", "ftp"}, {":authority", "a"}, {":path", "/"}},
       Kind::kRefused,
       400,
       "invalid_scheme"},
      {{{":method", "GET"}, {":scheme", "http"}, {":authority", "u@a"}, {":path", "/"}},
       Kind::kRefused,
       400,
       "invalid_host"},
      {{{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/%"}},
       Kind::kRefused,
       400,
       "invalid_percent_encoding"},
      {{{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "*"}},
       Kind::kRefused,
       400,
       "invalid_target"},
      {{{":method", "CONNECT"}, {":authority", "a:1"}},
       Kind::kRefused,
       501,
       "connect_not_supported"},
      {{{":method", "CONNECT"}, {":authority", "a:1"}, {":path", "/"}},
       Kind::kMalformed,
       400,
       "invalid_pseudo_header"},
      {{{":method", "CONNECT"},
        {":protocol", "x"},
        {":scheme", "http"},
        {":path", "/"},
        {":authority", "a"}},
       Kind::kRefused,
       501,
       "connect_not_supported"},
      {Get({{"expect", "more"}}), Kind::kRefused, 417, "invalid_expectation"},
  };
  for (const auto& [fields, kind, status, reason] : cases) {
    const H2HeadResult result = Request(fields);
    EXPECT_EQ(result.kind, kind) << fields.back().first << "=" << fields.back().second;
    EXPECT_EQ(result.status, status) << fields.back().first;
    EXPECT_EQ(result.reason, reason) << fields.back().first << "=" << fields.back().second;
  }
}

TEST_F(H2FieldsTest, HostInsteadOfAuthority) {
  ASSERT_EQ(
      Request({{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"host", "B.test"}}).kind,
      Kind::kOk);
  EXPECT_EQ(head_.authority, "b.test");
  EXPECT_EQ(Request(Get({{"host", "A.test"}})).kind, Kind::kOk);
}

TEST_F(H2FieldsTest, ExtendedConnectIsAnUpgrade) {
  const Fields fields = {{":method", "CONNECT"},   {":protocol", "websocket"},
                         {":scheme", "https"},     {":path", "/chat"},
                         {":authority", "a.test"}, {"sec-websocket-version", "13"}};
  ASSERT_EQ(Request(fields, /*end_stream=*/false).kind, Kind::kOk);
  EXPECT_EQ(head_.method, Method::kGet);
  EXPECT_EQ(head_.method_text, "GET");
  EXPECT_EQ(head_.upgrade, "websocket");
  EXPECT_EQ(head_.body, BodyKind::kNone);
  EXPECT_EQ(Request(fields).reason, "conflicting_length");
}

TEST_F(H2FieldsTest, Limits) {
  limits_.max_header_count = 10;
  Fields fields = Get();
  for (int i = 0; i < 10; ++i) fields.push_back({"cookie", "a=" + std::to_string(i)});
  EXPECT_EQ(Request(fields).kind, Kind::kOk);
  fields.push_back({"cookie", "more"});
  EXPECT_EQ(Request(fields).reason, "too_many_headers");
  EXPECT_EQ(Request(fields).status, 431);
  EXPECT_FALSE(collector_.bomb());
  for (int i = 0; i < 70; ++i) fields.push_back({"a", "b"});
  Request(fields);
  EXPECT_TRUE(collector_.bomb());

  limits_ = H1Limits{1000, 100};
  EXPECT_EQ(Request(Get({{"a", std::string(500, 'x')}})).kind, Kind::kOk);
  EXPECT_EQ(Request(Get({{"a", std::string(900, 'x')}})).reason, "headers_too_large");
  EXPECT_EQ(head_.target, "/");
  const size_t used = arena_.bytes_used();
  Request(Get({{"a", std::string(900, 'x')}, {"b", std::string(10000, 'x')}}));
  EXPECT_TRUE(collector_.bomb());
  EXPECT_LT(arena_.bytes_used() - used, 2000u);  // What is too large is not kept.
}

TEST_F(H2FieldsTest, Response) {
  const auto response = [this](const Fields& fields, bool end_stream,
                               Method method = Method::kGet) {
    response_ = ResponseHead(arena_);
    Collect(H2FieldCollector::Block::kResponse, fields, response_.headers);
    return FinishResponse(collector_, end_stream, method, response_);
  };
  EXPECT_EQ(response({{":status", "200"}, {"content-length", "3"}}, false).kind, Kind::kOk);
  EXPECT_EQ(response_.body, BodyKind::kLength);
  EXPECT_EQ(response({{":status", "404"}}, true).kind, Kind::kOk);
  EXPECT_EQ(response_.status, 404);
  EXPECT_EQ(response_.body, BodyKind::kNone);
  EXPECT_EQ(response({{":status", "200"}}, false).kind, Kind::kOk);
  EXPECT_EQ(response_.body, BodyKind::kChunked);
  EXPECT_EQ(response({{":status", "200"}, {"content-length", "3"}}, true, Method::kHead).kind,
            Kind::kOk);
  EXPECT_EQ(response({{":status", "200"}, {"content-length", "3"}}, true).reason,
            "conflicting_length");
  EXPECT_EQ(response({{":status", "103"}}, false).kind, Kind::kOk);
  for (const char* status : {"", "20", "2000", "099", "101", "2x0"}) {
    EXPECT_EQ(response({{":status", status}}, true).reason, "invalid_pseudo_header") << status;
  }
  EXPECT_EQ(response({{"a", "b"}}, true).reason, "invalid_pseudo_header");
  EXPECT_EQ(response({{":status", "200"}, {":path", "/"}}, true).reason, "invalid_pseudo_header");
  EXPECT_EQ(response({{":status", "200"}, {"upgrade", "x"}}, true).reason, "connection_header");
}

TEST_F(H2FieldsTest, Trailers) {
  HeaderList list(arena_);
  Collect(H2FieldCollector::Block::kTrailers,
          {{"grpc-status", "0"}, {"x-own", "1"}, {"authorization", "a"}, {"host", "b"}}, list);
  EXPECT_EQ(FinishTrailers(collector_, true).kind, Kind::kOk);
  EXPECT_EQ(Show(list), "grpc-status=0;x-own=1;");
  EXPECT_EQ(FinishTrailers(collector_, false).reason, "invalid_trailer");
  Collect(H2FieldCollector::Block::kTrailers, {{":path", "/"}}, list);
  EXPECT_EQ(FinishTrailers(collector_, true).reason, "invalid_pseudo_header");
}

std::string Show(const absl::StatusOr<H2Block>& block) {
  if (!block.ok()) return block.status().ToString();
  std::string out;
  for (size_t i = 0; i < block->count; ++i) {
    const nghttp2_nv& nv = block->fields[i];
    out += std::string(reinterpret_cast<char*>(nv.name), nv.namelen) + "=" +
           std::string(reinterpret_cast<char*>(nv.value), nv.valuelen) + ";";
  }
  return out;
}

TEST_F(H2FieldsTest, WritesResponses) {
  response_.status = 200;
  response_.body = BodyKind::kLength;
  response_.content_length = 12;
  response_.headers.Add("Content-Type", "text/plain");
  response_.headers.Add("X-Own", "1 ");
  response_.headers.Add("Connection", "keep-alive");
  response_.headers.Add("Transfer-Encoding", "chunked");
  response_.headers.Add("Content-Length", "99");
  EXPECT_EQ(Show(ResponseBlock(response_, Method::kGet, false, "now", arena_)),
            ":status=200;content-type=text/plain;X-Own=1;date=now;content-length=12;");
  response_.headers.Add("bad", "a\nb");
  EXPECT_FALSE(ResponseBlock(response_, Method::kGet, false, "now", arena_).ok());

  ResponseHead tunnel(arena_);
  tunnel.status = 101;
  tunnel.headers.Add("Sec-WebSocket-Accept", "x");
  tunnel.headers.Add("Sec-WebSocket-Protocol", "chat");
  tunnel.headers.Add("Upgrade", "websocket");
  EXPECT_EQ(Show(ResponseBlock(tunnel, Method::kGet, true, "", arena_)),
            ":status=200;Sec-WebSocket-Protocol=chat;");
}

TEST_F(H2FieldsTest, WritesRequests) {
  ASSERT_EQ(Request(Get({{"te", "trailers"}, {"expect", "100-continue"}, {"a", "b"}})).kind,
            Kind::kOk);
  head_.headers.Add("TE", "trailers");
  EXPECT_EQ(Show(RequestBlock(head_, /*secure=*/true, arena_)),
            ":method=GET;:scheme=https;:authority=a.test;:path=/;a=b;te=trailers;");
  head_.upgrade = "websocket";
  head_.headers.Add("Sec-WebSocket-Key", "x");
  EXPECT_EQ(Show(RequestBlock(head_, false, arena_)),
            ":method=CONNECT;:protocol=websocket;:scheme=http;:authority=a.test;:path=/"
            ";a=b;te=trailers;");
}

}  // namespace
}  // namespace portico::http
