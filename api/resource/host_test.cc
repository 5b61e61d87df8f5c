#include "api/resource/host.h"

#include "gtest/gtest.h"

namespace portico::api {
namespace {

TEST(HostPattern, Accepts) {
  const struct {
    const char* text;
    bool wildcard;
    const char* name;
  } kCases[] = {
      {"api.example.com", false, "api.example.com"},
      {"API.Example.COM", false, "api.example.com"},
      {"*.example.com", true, "example.com"},
      {"localhost", false, "localhost"},
      {"a_b.example", false, "a_b.example"},
      {"10.0.0.1", false, "10.0.0.1"},
      {"[FD00::7]", false, "[fd00::7]"},
      {"xn--bcher-kva.example", false, "xn--bcher-kva.example"},
      {"*.com", true, "com"},
  };
  for (const auto& c : kCases) {
    absl::StatusOr<HostPattern> pattern = ParseHostPattern(c.text);
    ASSERT_TRUE(pattern.ok()) << c.text << ": " << pattern.status();
    EXPECT_EQ(pattern->wildcard, c.wildcard) << c.text;
    EXPECT_EQ(pattern->name, c.name) << c.text;
  }
}

TEST(HostPattern, Refuses) {
  for (const std::string& text : {std::string(""),
                                  std::string("*"),
                                  std::string("*."),
                                  std::string("example.com:80"),
                                  std::string("https://example.com"),
                                  std::string("example.com/x"),
                                  std::string("a..b"),
                                  std::string(".a"),
                                  std::string("a."),
                                  std::string("-a.com"),
                                  std::string("a-.com"),
                                  std::string("*.*.com"),
                                  std::string("a.*.com"),
                                  std::string("*a.com"),
                                  std::string("b\xc3\xbc.de"),
                                  std::string("a b"),
                                  std::string("["),
                                  std::string("[]"),
                                  std::string("[10.0.0.1]"),
                                  std::string("[::1]:80"),
                                  std::string(64, 'a'),
                                  std::string("a\0b", 3)}) {
    EXPECT_FALSE(ParseHostPattern(text).ok()) << text;
  }
  std::string longest;
  for (int i = 0; i < 127; ++i) longest += "a.";
  EXPECT_FALSE(ParseHostPattern(longest + "a").ok());
}

}  // namespace
}  // namespace portico::api
