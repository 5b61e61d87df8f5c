#include "dataplane/observe/access_log_format.h"

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace portico::observe {
namespace {

std::string Quoted(std::string_view text) {
  std::string out;
  AppendJsonString(text, out);
  return out;
}

TEST(JsonString, Table) {
  const std::string fffd = "\xef\xbf\xbd";
  struct Case {
    std::string in, out;
  };
  const std::vector<Case> cases = {
      {"", "\"\""},
      {"plain /path?x", "\"plain /path?x\""},
      {"a\"b\\c", R"("a\"b\\c")"},
      {"\n\r\t\b\x01\x1f", R"("\n\r\t\u0008\u0001\u001f")"},
      {std::string("\0", 1), R"("\u0000")"},
      {"\x7f", "\"\x7f\""},
      {"gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\""},
      {"\xe2\x82\xac \xf0\x9f\x98\x80", "\"\xe2\x82\xac \xf0\x9f\x98\x80\""},
      {"\xff", "\"" + fffd + "\""},
      {"a\x80z", "\"a" + fffd + "z\""},
      {"\xc0\xaf", "\"" + fffd + fffd + "\""},                        // Overlong "/"
      {"\xe0\x80\xaf", "\"" + fffd + fffd + fffd + "\""},             // Overlong
      {"\xed\xa0\x80", "\"" + fffd + fffd + fffd + "\""},             // Surrogate
      {"\xf4\x90\x80\x80", "\"" + fffd + fffd + fffd + fffd + "\""},  // Above U+10FFFF
      {"\xe2\x82", "\"" + fffd + fffd + "\""},                        // Cut short
      {"\xc3\"", "\"" + fffd + "\\\"\""},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Quoted(c.in), c.out);
    EXPECT_TRUE(nlohmann::json::accept(Quoted(c.in))) << c.out;
  }
}

TEST(JsonString, EveryPairOfBytesIsValidJson) {
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      const std::string text = {static_cast<char>(a), static_cast<char>(b)};
      ASSERT_TRUE(nlohmann::json::accept(Quoted(text))) << a << " " << b;
    }
  }
}

TEST(AccessLogFormatter, AWholeLine) {
  const std::vector<std::pair<std::string_view, std::string_view>> sent = {
      {"accept", "a"}, {"x", "1"}, {"accept", "b"}};
  AccessRecord record;
  record.start = 1'767'225'600'007'999'999;
  record.duration_nanos = 12'034'567;
  record.upstream_duration_nanos = 999;
  record.client = net::IpAddress::Parse("2001:db8::1").value();
  record.client_port = 4711;
  record.request_id = "r-1";
  record.method = "GET";
  record.host = "example.com";
  record.path = "/users/4\"2";
  record.query = true;
  record.route = "users";
  record.upstream = "users-backend";
  record.endpoint = "127.0.0.1:81";
  record.status = 200;
  record.request_bytes = 1;
  record.response_bytes = 18'446'744'073;
  record.attempts = 2;
  record.listener = "http";
  record.protocol = "HTTP/1.1";
  record.tls_version = "TLSv1.3";
  record.tls_client = "spiffe://example.com/job";
  record.user_agent = "curl/8";
  record.request_headers = sent;
  std::string line;
  AccessLogFormatter formatter;
  formatter.AppendLine(record, line);
  EXPECT_EQ(line, R"({"time":"2026-01-01T00:00:00.007Z","listener":"http","protocol":"HTTP/1.1",)"
                  R"("tls_version":"TLSv1.3","tls_client":"spiffe://example.com/job",)"
                  R"("client":"2001:db8::1","client_port":4711,"request_id":"r-1","method":"GET",)"
                  R"("host":"example.com","path":"/users/4\"2","query":true,"status":200,)"
                  R"("route":"users","upstream":"users-backend","endpoint":"127.0.0.1:81",)"
                  R"("duration_ms":12.034,"upstream_duration_ms":0.000,"request_bytes":1,)"
                  R"("response_bytes":18446744073,"attempts":2,"user_agent":"curl/8",)"
                  R"("request_headers":{"accept":"a, b","x":"1"}})"
                  "\n");
  EXPECT_TRUE(nlohmann::json::accept(line));
}

TEST(AccessLogFormatter, EmptyTextsAreLeftOut) {
  std::string line;
  AccessLogFormatter formatter;
  formatter.AppendLine(AccessRecord{}, line);
  EXPECT_EQ(line,
            R"({"time":"1970-01-01T00:00:00.000Z","client":"0.0.0.0","client_port":0,"status":0,)"
            R"("duration_ms":0.000,"request_bytes":0,"response_bytes":0,"attempts":0})"
            "\n");
}

}  // namespace
}  // namespace portico::observe
