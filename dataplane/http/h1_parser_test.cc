#include "dataplane/http/h1_parser.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/arena.h"

namespace portico::http {
namespace {

using State = H1ParseResult::State;

std::string Describe(const RequestHead& head) {
  std::string out(head.method_text);
  for (const std::string_view part : {head.target, head.path, head.query, head.authority, head.host}) {
    out.append(" ").append(part);
  }
  out += head.version == Version::kHttp10 ? " 1.0 " : " 1.1 ";
  out += std::to_string(static_cast<int>(head.body)) + " " + std::to_string(head.content_length);
  if (head.expect_continue) out += " expect";
  if (!head.upgrade.empty()) out.append(" upgrade:").append(head.upgrade);
  for (const HeaderField& field : head.headers) out.append("\n").append(field.name).append("=").append(field.value);
  return out;
}

struct Outcome {
  State state = State::kNeedMore;
  size_t consumed = 0;
  int status = 0;
  std::string reason;
  std::string head;
  bool keep_alive = false;
  bool operator==(const Outcome&) const = default;
};

// Parses `input` as it would arrive, cut at `cuts`; every time in memory of its own,
// as large as it must be, so that sanitizers see what points to the past or beyond.
Outcome ParseRequest(std::string_view input, const std::vector<size_t>& cuts, const H1Limits& limits = {}) {
  base::Arena arena;
  RequestHead head(arena);
  H1RequestParser parser;
  Outcome outcome;
  for (const size_t size : cuts) {
    std::unique_ptr<char[]> bytes = std::make_unique<char[]>(size);
    if (size > 0) std::memcpy(bytes.get(), input.data(), size);
    const H1ParseResult result = parser.ParseHead({bytes.get(), size}, limits, head);
    if (result.state == State::kNeedMore) continue;
    outcome.state = result.state;
    outcome.consumed = result.consumed;
    outcome.status = result.status;
    outcome.reason = result.reason;
    if (result.state == State::kDone) outcome.head = Describe(head);
    outcome.keep_alive = parser.keep_alive();
    break;
  }
  return outcome;
}

std::vector<size_t> EveryByte(size_t size) {
  std::vector<size_t> cuts;
  for (size_t i = 0; i <= size; ++i) cuts.push_back(i);
  return cuts;
}

Outcome CheckSplits(std::string_view input, const H1Limits& limits = {}) {
  const Outcome whole = ParseRequest(input, {input.size()}, limits);
  EXPECT_EQ(whole, ParseRequest(input, EveryByte(input.size()), limits));
  for (size_t cut = 0; cut <= input.size(); ++cut) {
    EXPECT_EQ(whole, ParseRequest(input, {cut, input.size()}, limits)) << "cut at " << cut;
  }
  return whole;
}

struct GoodCase {
  std::string input;
  std::string head;
  bool keep_alive;
  size_t rest = 0;
};

TEST(RequestParser, Good) {
  const GoodCase cases[] = {
      {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / /  h h 1.1 0 0\nHost=h", true},
      {"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\n", "GET / /  h h 1.1 0 0\nHost=h", true,
       17},
      {"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / /  h h 1.1 0 0\nHost=h", true},
      {"GET /a/../b?x=1 HTTP/1.1\r\nHost: Example.com:80\r\nA:\r\nB: \t x y\t \r\n\r\n",
       "GET /a/../b?x=1 /b x=1 example.com:80 example.com 1.1 0 0\nHost=Example.com:80\nA=\nB=x y",
       true},
      {"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n0123456789",
       "POST /p /p  h h 1.1 1 10\nHost=h\nContent-Length=10", true, 10},
      {"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
       "POST /p /p  h h 1.1 1 0\nHost=h\nContent-Length=0", true},
      {"POST /p HTTP/1.1\r\nHost: h\r\ntransfer-encoding: CHUNKED\r\n\r\n",
       "POST /p /p  h h 1.1 2 0\nHost=h\ntransfer-encoding=CHUNKED", true},
      {"PUT /p HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n",
       "PUT /p /p  h h 1.1 1 1 expect\nHost=h\nExpect=100-Continue\nContent-Length=1", true},
      {"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
       "GET / /  h h 1.1 0 0\nHost=h\nConnection=close", false},
      {"GET / HTTP/1.1\r\nHost: h\r\nConnection: x, Close ,y\r\n\r\n",
       "GET / /  h h 1.1 0 0\nHost=h\nConnection=x, Close ,y", false},
      {"GET / HTTP/1.0\r\n\r\n", "GET / /    1.0 0 0", false},
      {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
       "GET / /    1.0 0 0\nConnection=keep-alive", true},
      {"QUERY /q HTTP/1.1\r\nHost: h\r\n\r\n", "QUERY /q /q  h h 1.1 0 0\nHost=h", true},
      {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS * *  h h 1.1 0 0\nHost=h", true},
      {"GET http://Other:1/x HTTP/1.1\r\nHost: h\r\n\r\n",
       "GET /x /x  other:1 other 1.1 0 0\nHost=other:1", true},
      {"GET / HTTP/1.1\r\nHost: [::1]:80\r\nX: \xff\xfe\r\n\r\n",
       "GET / /  [::1]:80 [::1] 1.1 0 0\nHost=[::1]:80\nX=\xff\xfe", true},
      {"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
       "GET / /  h h 1.1 0 0 upgrade:websocket\nHost=h\nUpgrade=websocket\nConnection=upgrade",
       true},
  };
  for (const GoodCase& c : cases) {
    SCOPED_TRACE(c.input);
    const Outcome outcome = CheckSplits(c.input);
    EXPECT_EQ(outcome.state, State::kDone) << outcome.reason;
    EXPECT_EQ(outcome.head, c.head);
    EXPECT_EQ(outcome.keep_alive, c.keep_alive);
    EXPECT_EQ(outcome.consumed, c.input.size() - c.rest);
  }
}

struct BadCase {
  std::string input;
  int status;
  std::string reason;
};

std::string WithField(const std::string& field) { return "GET / HTTP/1.1\r\nHost: h\r\n" + field + "\r\n\r\n"; }

TEST(RequestParser, Bad) {
  const std::string nul(1, '\0');
  const BadCase cases[] = {
      // First lines.
      {" GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "invalid_request_line"},
      {"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "invalid_request_line"},
      {"\n\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "invalid_request_line"},
      {"\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "invalid_line_ending"},
      {"\x16\x03\x01\x02", 400, "invalid_request_line"},
      {"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "invalid_request_line"},
      {"\r\n\r\n\0\r\nQUIT\n", 400, "invalid_request_line"},
      {"GET\r\n\r\n", 400, "invalid_request_line"},
      {"GET /\r\n\r\n", 400, "invalid_request_line"},
      {"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "invalid_request_line"},
      {"GET /  HTTP/1.1\r\nHost: h\r\n\r\n", 400, "invalid_request_line"},
      {"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400, "invalid_request_line"},
      {"GET / x HTTP/1.1\r\nHost: h\r\n\r\n", 400, "invalid_request_line"},
      {"GET\t/\tHTTP/1.1\r\nHost: h\r\n\r\n", 400, "invalid_method"},
      {"G(T / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "invalid_method"},
      {"GE" + nul + "T / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "invalid_method"},
      {"G\xc3\xa4T / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "invalid_method"},
      {"GET / http/1.1\r\nHost: h\r\n\r\n", 400, "invalid_request_line"},
      {"GET / HTTP/1\r\nHost: h\r\n\r\n", 400, "invalid_request_line"},
      {"GET / HTTP/11\r\nHost: h\r\n\r\n", 400, "invalid_request_line"},
      {"GET / HTTP/1.10\r\nHost: h\r\n\r\n", 400, "invalid_request_line"},
      {"GET / HTTP/01.1\r\nHost: h\r\n\r\n", 400, "invalid_request_line"},
      {"GET / RTSP/1.0\r\nHost: h\r\n\r\n", 400, "invalid_request_line"},
      {"SOURCE / ICE/1.0\r\nHost: h\r\n\r\n", 400, "invalid_request_line"},
      {"GET / HTTP/0.9\r\nHost: h\r\n\r\n", 505, "unsupported_version"},
      {"GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505, "unsupported_version"},
      {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505, "unsupported_version"},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "unsupported_version"},
      // Line endings.
      {"GET / HTTP/1.1\nHost: h\n\n", 400, "invalid_line_ending"},
      {"GET / HTTP/1.1\r\nHost: h\n\r\n", 400, "invalid_line_ending"},
      {"GET / HTTP/1.1\r\nHost: h\r\nA: 1\rB: 2\r\n\r\n", 400, "invalid_line_ending"},
      {"GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\r\n\r\n", 400, "invalid_line_ending"},
      {"GET / HTTP/1.1\r\nHost: h\r\n\n", 400, "invalid_line_ending"},
      {"GET / HTTP/1.1\r\nHost: h\r\n\rX\r\n", 400, "invalid_line_ending"},
      {"GET / HT\rTP/1.1\r\nHost: h\r\n\r\n", 400, "invalid_line_ending"},
      // Fields.
      {WithField("A: 1\r\n B: 2"), 400, "folded_header"},
      {WithField("A:\r\n\tx"), 400, "folded_header"},
      {"GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400, "folded_header"},
      {WithField("A : 1"), 400, "invalid_header"},
      {WithField("A\t: 1"), 400, "invalid_header"},
      {WithField("A B: 1"), 400, "invalid_header"},
      {WithField("NoColon"), 400, "invalid_header"},
      {WithField(": x"), 400, "invalid_header"},
      {WithField("A(: 1"), 400, "invalid_header"},
      {WithField("A\xc3\xa4: 1"), 400, "invalid_header"},
      {WithField("A" + nul + ": 1"), 400, "invalid_header"},
      {WithField("A: 1" + nul + "2"), 400, "invalid_header"},
      {WithField("A: 1\x01"), 400, "invalid_header"},
      {WithField("A: 1\x7f"), 400, "invalid_header"},
      {WithField("Content-Length : 5"), 400, "invalid_header"},
      {WithField("Transfer-Encoding : chunked"), 400, "invalid_header"},
      // Host.
      {"GET / HTTP/1.1\r\n\r\n", 400, "missing_host"},
      {"GET http://h/ HTTP/1.1\r\n\r\n", 400, "missing_host"},
      {WithField("Host: h"), 400, "duplicate_host"},
      {WithField("host: other"), 400, "duplicate_host"},
      {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "invalid_host"},
      {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "invalid_host"},
      {"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, "invalid_host"},
      {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "invalid_host"},
      {"GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", 400, "invalid_host"},
      {"GET / HTTP/1.1\r\nHost: h:port\r\n\r\n", 400, "invalid_host"},
      {"GET / HTTP/1.1\r\nHost: h:70000\r\n\r\n", 400, "invalid_host"},
      {"GET / HTTP/1.0\r\nHost: a b\r\n\r\n", 400, "invalid_host"},
      {"GET http://h/ HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "invalid_host"},
      // Framing.
      {WithField("Content-Length: 5\r\nContent-Length: 5"), 400, "conflicting_length"},
      {WithField("Content-Length: 5\r\nContent-Length: 6"), 400, "conflicting_length"},
      {WithField("Content-Length: 5\r\nTransfer-Encoding: chunked"), 400, "conflicting_length"},
      {WithField("Transfer-Encoding: chunked\r\nContent-Length: 5"), 400, "conflicting_length"},
      {WithField("Content-Length: 5, 5"), 400, "invalid_content_length"},
      {WithField("Content-Length: +5"), 400, "invalid_content_length"},
      {WithField("Content-Length: -5"), 400, "invalid_content_length"},
      {WithField("Content-Length: 0x5"), 400, "invalid_content_length"},
      {WithField("Content-Length: 5 5"), 400, "invalid_content_length"},
      {WithField("Content-Length: 5a"), 400, "invalid_content_length"},
      {WithField("Content-Length: "), 400, "invalid_content_length"},
      {WithField("Content-Length: 18446744073709551616"), 400, "invalid_content_length"},
      {WithField("Content-Length: 9223372036854775808"), 400, "invalid_content_length"},
      {WithField("Transfer-Encoding: gzip"), 400, "invalid_transfer_encoding"},
      {WithField("Transfer-Encoding: gzip, chunked"), 400, "invalid_transfer_encoding"},
      {WithField("Transfer-Encoding: chunked, gzip"), 400, "invalid_transfer_encoding"},
      {WithField("Transfer-Encoding: chunked, chunked"), 400, "invalid_transfer_encoding"},
      {WithField("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), 400, "invalid_transfer_encoding"},
      {WithField("Transfer-Encoding: xchunked"), 400, "invalid_transfer_encoding"},
      {WithField("Transfer-Encoding: chunked;q=1"), 400, "invalid_transfer_encoding"},
      {WithField("Transfer-Encoding:"), 400, "invalid_transfer_encoding"},
      {WithField("Transfer-Encoding: identity"), 400, "invalid_transfer_encoding"},
      {WithField("Transfer-Encoding: \"chunked\""), 400, "invalid_transfer_encoding"},
      {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "invalid_transfer_encoding"},
      {WithField("Expect: 200-ok"), 417, "invalid_expectation"},
      // Targets.
      {"GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400, "invalid_target"},
      {"GET a HTTP/1.1\r\nHost: h\r\n\r\n", 400, "invalid_target"},
      {"GET /#f HTTP/1.1\r\nHost: h\r\n\r\n", 400, "invalid_target"},
      {"GET /a" + nul + " HTTP/1.1\r\nHost: h\r\n\r\n", 400, "invalid_target"},
      {"GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", 400, "invalid_path"},
      {"GET /a\\b HTTP/1.1\r\nHost: h\r\n\r\n", 400, "invalid_path"},
      {"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400, "invalid_percent_encoding"},
      {"GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400, "invalid_scheme"},
      {"GET http://u:p@h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400, "invalid_host"},
      {"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", 501, "connect_not_supported"},
      {"CONNECT / HTTP/1.1\r\nHost: h\r\n\r\n", 501, "connect_not_supported"},
  };
  EXPECT_GE(std::size(cases), 60u);
  for (const BadCase& c : cases) {
    SCOPED_TRACE(c.input);
    const Outcome outcome = CheckSplits(c.input);
    EXPECT_EQ(outcome.state, State::kError);
    EXPECT_EQ(outcome.status, c.status);
    EXPECT_EQ(outcome.reason, c.reason);
  }
}

TEST(RequestParser, Limits) {
  H1Limits limits;
  limits.max_header_bytes = 100;
  limits.max_header_count = 3;
  const std::string start = "GET / HTTP/1.1\r\nHost: h\r\n";
  const std::string fits = start + "A: " + std::string(100 - start.size() - 7, 'x') + "\r\n\r\n";
  ASSERT_EQ(fits.size(), 100u);
  EXPECT_EQ(CheckSplits(fits, limits).state, State::kDone);
  Outcome outcome = CheckSplits(start + "A: " + std::string(100 - start.size() - 6, 'x') + "\r\n\r\n", limits);
  EXPECT_EQ(outcome.status, 431);
  EXPECT_EQ(outcome.reason, "headers_too_large");
  outcome = CheckSplits("GET /" + std::string(200, 'x') + " HTTP/1.1\r\n", limits);
  EXPECT_EQ(outcome.status, 414);
  EXPECT_EQ(outcome.reason, "uri_too_long");
  EXPECT_EQ(CheckSplits(start + "A: 1\r\nB: 2\r\n\r\n", limits).state, State::kDone);
  outcome = CheckSplits(start + "A: 1\r\nB: 2\r\nC: 3\r\n\r\n", limits);
  EXPECT_EQ(outcome.status, 431);
  EXPECT_EQ(outcome.reason, "too_many_headers");
}

TEST(RequestParser, TellsEarlyThatItIsNotHttp) {
  for (const std::string_view input : {"\x16", "GET /\r\n", "G T / x\r\n", "A\nB", "GET / HTTP/3.0\r\n"}) {
    EXPECT_EQ(ParseRequest(input, {input.size()}).state, State::kError) << input;
  }
}

TEST(RequestParser, ErrorsKeepWhatWasUnderstood) {
  base::Arena arena;
  RequestHead head(arena);
  H1RequestParser parser;
  EXPECT_EQ(parser.ParseHead("POST /x HTTP/1.1\r\nA b\r\n\r\n", {}, head).state, State::kError);
  EXPECT_EQ(head.method, Method::kPost);
  EXPECT_EQ(head.target, "/x");
}

TEST(RequestParser, Pipelined) {
  const std::string one = "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n";
  const std::string all = one + one + one;
  H1RequestParser parser;
  std::string_view rest = all;
  for (int i = 0; i < 3; ++i) {
    base::Arena arena;
    RequestHead head(arena);
    const H1ParseResult result = parser.ParseHead(rest, {}, head);
    ASSERT_EQ(result.state, State::kDone);
    EXPECT_EQ(result.consumed, one.size());
    rest.remove_prefix(result.consumed);
    parser.Reset();
    EXPECT_FALSE(parser.started());
  }
  EXPECT_TRUE(rest.empty());
}

TEST(RequestParser, RemovesHopByHopFields) {
  base::Arena arena;
  HeaderList list(arena);
  list.Add("A", "1");
  list.Add("Connection", "keep-alive, a, X-Forwarded-For , Host,content-length, authorization");
  list.Add("Keep-Alive", "5");
  list.Add("X-Forwarded-For", "1.2.3.4");
  list.Add("Host", "h");
  list.Add("Authorization", "b");
  list.Add("Content-Length", "3");
  list.Add("TE", "trailers");
  list.Add("Trailer", "x");
  list.Add("Upgrade", "h2c");
  list.Add("Proxy-Connection", "close");
  list.Add("Proxy-Authorization", "x");
  list.Add("B", "2");
  list.Add("Connection", "b");
  RemoveHopByHopFields(list);
  std::string left;
  for (const HeaderField& field : list) {
    if (!field.name.empty()) left.append(field.name).append(" ");
  }
  EXPECT_EQ(left, "X-Forwarded-For Host Authorization Content-Length ");
}

struct ResponseOutcome {
  State state = State::kNeedMore;
  size_t consumed = 0;
  int status = 0;
  std::string reason;
  std::string head;
  bool keep_alive = false;
  bool operator==(const ResponseOutcome&) const = default;
};

ResponseOutcome ParseResponse(std::string_view input, const std::vector<size_t>& cuts, Method method) {
  base::Arena arena;
  ResponseHead head(arena);
  H1ResponseParser parser;
  ResponseOutcome outcome;
  for (const size_t size : cuts) {
    std::unique_ptr<char[]> bytes = std::make_unique<char[]>(size);
    if (size > 0) std::memcpy(bytes.get(), input.data(), size);
    const H1ParseResult result = parser.ParseHead({bytes.get(), size}, {}, method, head);
    if (result.state == State::kNeedMore) continue;
    outcome = {result.state, result.consumed, result.status, std::string(result.reason), "", parser.keep_alive()};
    if (result.state == State::kDone) {
      outcome.head = std::to_string(head.status) + " " + std::string(head.reason) + " " +
                     std::to_string(static_cast<int>(head.body)) + " " + std::to_string(head.content_length);
      for (const HeaderField& field : head.headers) outcome.head.append("\n").append(field.name).append("=").append(field.value);
    }
    break;
  }
  return outcome;
}

ResponseOutcome CheckResponseSplits(std::string_view input, Method method) {
  const ResponseOutcome whole = ParseResponse(input, {input.size()}, method);
  EXPECT_EQ(whole, ParseResponse(input, EveryByte(input.size()), method));
  for (size_t cut = 0; cut <= input.size(); ++cut) {
    EXPECT_EQ(whole, ParseResponse(input, {cut, input.size()}, method)) << "cut at " << cut;
  }
  return whole;
}

struct GoodResponse {
  Method method;
  std::string input;
  std::string head;
  bool keep_alive;
};

TEST(ResponseParser, Good) {
  const GoodResponse cases[] = {
      {Method::kGet, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "200 OK 1 3\nContent-Length=3", true},
      {Method::kGet, "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "200  1 0\nContent-Length=0", true},
      {Method::kGet, "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200  1 0\nContent-Length=0", true},
      {Method::kGet, "HTTP/1.1 404 Not  Found \r\nTransfer-Encoding: chunked\r\n\r\n",
       "404 Not  Found  2 0\nTransfer-Encoding=chunked", true},
      {Method::kGet, "HTTP/1.1 200 OK\r\n\r\n", "200 OK 3 0", false},
      {Method::kGet, "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", "200 OK 1 3\nContent-Length=3", false},
      {Method::kGet, "HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: Keep-Alive\r\n\r\n",
       "200 OK 1 3\nContent-Length=3\nConnection=Keep-Alive", true},
      {Method::kGet, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n",
       "200 OK 1 3\nContent-Length=3\nConnection=close", false},
      {Method::kHead, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "200 OK 0 0\nContent-Length=3", true},
      {Method::kHead, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
       "200 OK 0 0\nTransfer-Encoding=chunked", true},
      {Method::kHead, "HTTP/1.1 200 OK\r\n\r\n", "200 OK 0 0", true},
      {Method::kGet, "HTTP/1.1 204 No Content\r\n\r\n", "204 No Content 0 0", true},
      {Method::kGet, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "304 Not Modified 0 0\nContent-Length=9",
       true},
      {Method::kPost, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", "100 Continue 0 0", true},
      {Method::kGet, "HTTP/1.1 103 Early Hints\r\nLink: </s>\r\n\r\n", "103 Early Hints 0 0\nLink=</s>", true},
      {Method::kGet, "HTTP/1.1 599 \xc3\xa4\r\nContent-Length: 1\r\n\r\n", "599 \xc3\xa4 1 1\nContent-Length=1", true},
  };
  for (const GoodResponse& c : cases) {
    SCOPED_TRACE(c.input);
    const ResponseOutcome outcome = CheckResponseSplits(c.input, c.method);
    EXPECT_EQ(outcome.state, State::kDone) << outcome.reason;
    EXPECT_EQ(outcome.head, c.head);
    EXPECT_EQ(outcome.keep_alive, c.keep_alive);
    EXPECT_EQ(outcome.consumed, c.input.find("\r\n\r\n") + 4);
  }
}

std::string ResponseWith(const std::string& field) { return "HTTP/1.1 200 OK\r\n" + field + "\r\n\r\n"; }

TEST(ResponseParser, Bad) {
  const std::string nul(1, '\0');
  const struct {
    std::string input;
    std::string reason;
  } cases[] = {
      {" HTTP/1.1 200 OK\r\n\r\n", "invalid_status_line"},
      {"\r\nHTTP/1.1 200 OK\r\n\r\n", "invalid_status_line"},
      {"\x15\x03\x01", "invalid_status_line"},
      {"HTTP/1.1\r\n\r\n", "invalid_status_line"},
      {"HTTP/1.1 \r\n\r\n", "invalid_status_line"},
      {"HTTP/1.1 20 OK\r\n\r\n", "invalid_status_line"},
      {"HTTP/1.1 2000 OK\r\n\r\n", "invalid_status_line"},
      {"HTTP/1.1 2x0 OK\r\n\r\n", "invalid_status_line"},
      {"HTTP/1.1 099 OK\r\n\r\n", "invalid_status_line"},
      {"HTTP/1.1 600 OK\r\n\r\n", "invalid_status_line"},
      {"HTTP/1.1 -20 OK\r\n\r\n", "invalid_status_line"},
      {"HTTP/1.1  200 OK\r\n\r\n", "invalid_status_line"},
      {"HTTP/1.1\t200 OK\r\n\r\n", "invalid_status_line"},
      {"HTTP/1.1 200\tOK\r\n\r\n", "invalid_status_line"},
      {"HTTP/1.1 200 O" + nul + "K\r\n\r\n", "invalid_status_line"},
      {"http/1.1 200 OK\r\n\r\n", "invalid_status_line"},
      {"HTTP/11 200 OK\r\n\r\n", "invalid_status_line"},
      {"ICY 200 OK\r\n\r\n", "invalid_status_line"},
      {"RTSP/1.0 200 OK\r\n\r\n", "invalid_status_line"},
      {"HTTP/2.0 200 OK\r\n\r\n", "unsupported_version"},
      {"HTTP/0.9 200 OK\r\n\r\n", "unsupported_version"},
      {"HTTP/1.1 200 OK\n\n", "invalid_line_ending"},
      {"HTTP/1.1 200 OK\r\nA: 1\n\r\n", "invalid_line_ending"},
      {"HTTP/1.1 200 O\rK\r\n\r\n", "invalid_line_ending"},
      {ResponseWith("A: 1\rB: 2"), "invalid_line_ending"},
      {ResponseWith("A: 1\r\n folded"), "folded_header"},
      {ResponseWith("A : 1"), "invalid_header"},
      {ResponseWith("A B: 1"), "invalid_header"},
      {ResponseWith("NoColon"), "invalid_header"},
      {ResponseWith(": 1"), "invalid_header"},
      {ResponseWith("A: 1" + nul), "invalid_header"},
      {ResponseWith("Content-Length: 1\r\nContent-Length: 1"), "conflicting_length"},
      {ResponseWith("Content-Length: 1\r\nContent-Length: 2"), "conflicting_length"},
      {ResponseWith("Content-Length: 1\r\nTransfer-Encoding: chunked"), "conflicting_length"},
      {ResponseWith("Transfer-Encoding: chunked\r\nContent-Length: 1"), "conflicting_length"},
      {ResponseWith("Content-Length: 1, 1"), "invalid_content_length"},
      {ResponseWith("Content-Length: -1"), "invalid_content_length"},
      {ResponseWith("Content-Length: 99999999999999999999"), "invalid_content_length"},
      {ResponseWith("Transfer-Encoding: gzip"), "invalid_transfer_encoding"},
      {ResponseWith("Transfer-Encoding: gzip, chunked"), "invalid_transfer_encoding"},
      {ResponseWith("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), "invalid_transfer_encoding"},
      {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "invalid_transfer_encoding"},
      {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "unexpected_upgrade"},
      {"HTTP/1.1 200 OK\r\nA: " + std::string(70'000, 'x'), "headers_too_large"},
  };
  EXPECT_GE(std::size(cases), 30u);
  for (const auto& c : cases) {
    SCOPED_TRACE(c.input.substr(0, 100));
    const ResponseOutcome outcome =
        c.input.size() > 1000 ? ParseResponse(c.input, {c.input.size()}, Method::kGet) : CheckResponseSplits(c.input, Method::kGet);
    EXPECT_EQ(outcome.state, State::kError);
    EXPECT_EQ(outcome.status, 502);
    EXPECT_EQ(outcome.reason, c.reason);
  }
}

TEST(Grammar, FieldValues) {
  EXPECT_TRUE(IsFieldValue(""));
  EXPECT_TRUE(IsFieldValue("a\tb and obs-text \xff\x80"));
  for (size_t size : {1u, 8u, 9u, 17u}) {
    for (size_t i = 0; i < size; ++i) {
      for (int c = 0; c < 256; ++c) {
        std::string text(size, 'x');
        text[i] = static_cast<char>(c);
        ASSERT_EQ(IsFieldValue(text), c == '\t' || (c >= 0x20 && c != 0x7F)) << size << " " << i << " " << c;
      }
    }
  }
  EXPECT_FALSE(IsToken(""));
  EXPECT_TRUE(IsToken("X-Y_z.1!"));
  EXPECT_FALSE(IsToken("a:b"));
}

}  // namespace
}  // namespace portico::http
