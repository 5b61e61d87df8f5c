#include "dataplane/tls/names.h"

#include <gtest/gtest.h>

namespace portico::tls {
namespace {

TEST(NamesTest, WildcardsStandForOneLabel) {
  struct Case {
    const char* pattern;
    const char* name;
    bool match;
  };
  const Case cases[] = {
      {"a.example.com", "a.example.com", true},
      {"a.example.com", "b.example.com", false},
      {"*.example.com", "a.example.com", true},
      {"*.example.com", "example.com", false},
      {"*.example.com", "a.b.example.com", false},
      {"*.example.com", ".example.com", false},
      {"*.example.com", "*.example.com", false},
      {"*.com", "example.com", false},
      {"*", "example", false},
      {"a*.example.com", "ab.example.com", false},
      {"", "", false},
      {"*.example.com", "a.example.org", false},
  };
  for (const Case& c : cases)
    EXPECT_EQ(MatchesDnsName(c.pattern, c.name), c.match) << c.pattern << " " << c.name;
}

TEST(NamesTest, RulesForClients) {
  struct Case {
    std::vector<std::string> rules, dns, uris;
    bool match;
  };
  const Case cases[] = {
      {{"client.example.com"}, {"client.example.com"}, {}, true},
      {{"Client.Example.com"}, {"client.example.com"}, {}, true},
      {{"client.example.com"}, {"*.example.com"}, {}, false},
      {{"*.example.com"}, {"a.example.com"}, {}, true},
      {{"*.example.com"}, {"*.example.com"}, {}, false},
      {{"*.example.com"}, {"a.b.example.com"}, {}, false},
      {{"spiffe://a/b"}, {}, {"spiffe://a/b"}, true},
      {{"spiffe://a/b"}, {}, {"spiffe://a/bc"}, false},
      {{"spiffe://a/*"}, {}, {"spiffe://a/b/c"}, true},
      {{"spiffe://a/*"}, {}, {"spiffe://b/c"}, false},
      {{"spiffe://a/b"}, {"spiffe://a/b"}, {}, false},
      {{"x.example.com", "spiffe://a/b"}, {"y.example.com"}, {"spiffe://a/b"}, true},
      {{"x.example.com"}, {}, {}, false},
  };
  for (const Case& c : cases)
    EXPECT_EQ(NameRules(c.rules).Match(c.dns, c.uris, false), c.match) << c.rules[0];
  // A server's certificate may be for "*.example.com".
  EXPECT_TRUE(NameRules({"a.example.com"}).Match({"*.example.com"}, {}, true));
  EXPECT_FALSE(NameRules({"a.b.example.com"}).Match({"*.example.com"}, {}, true));
  EXPECT_TRUE(NameRules({"*.example.com"}).Match({"*.example.com"}, {}, true));
}

TEST(NamesTest, Addresses) {
  EXPECT_EQ(AddressBytes("127.0.0.1"), std::string("\x7f\0\0\x01", 4));
  EXPECT_EQ(AddressBytes("::1")->size(), 16u);
  EXPECT_FALSE(AddressBytes("example.com").has_value());
  EXPECT_FALSE(AddressBytes("").has_value());
}

}  // namespace
}  // namespace portico::tls
