// Thousands of random rule sets and requests: the matcher against the naive one.
#include <array>
#include <random>
#include <string>
#include <vector>

#include "dataplane/routing/matcher.h"
#include "dataplane/routing/naive_matcher.h"
#include "gtest/gtest.h"

namespace portico::routing {
namespace {

// Draws from small alphabets, so that rules overlap.
class Generator {
 public:
  explicit Generator(uint32_t seed) : random_(seed) {}

  size_t Below(size_t n) { return random_() % n; }
  bool OneIn(size_t n) { return Below(n) == 0; }

  std::string Host() {
    static const std::array<const char*, 6> hosts = {"a.example.com", "b.a.example.com", "example.com",
                                                     "c.b.a.example.com", "other.net", "[::1]"};
    return hosts[Below(hosts.size())];
  }

  std::string Segment() {
    // The last one makes patterns too long to stand in their nodes.
    static const std::array<const char*, 6> segments = {
        "a", "b", "users", "developer", "dev", "twenty-eight-bytes-in-a-name"};
    return OneIn(12) ? "" : segments[Below(segments.size())];
  }

  std::string Path(size_t most) {
    std::string path;
    const size_t segments = Below(most + 1);
    for (size_t i = 0; i < segments; ++i) path += "/" + Segment();
    return path.empty() ? "/" : path;
  }

  void MakePath(v1::PathMatch& path) {
    static const std::array<const char*, 6> regexes = {"/a.*", "/users/[a-z]+", ".*", "/(a|b)/.*", "/dev.*",
                                                       "/[^/]*"};
    switch (Below(8)) {
      case 0:
      case 1:
        path.set_exact(Path(4));
        return;
      case 2:
      case 3:
        path.set_prefix(Path(4) + (OneIn(5) ? "/" : ""));
        return;
      case 4:
        path.set_regex(regexes[Below(regexes.size())]);
        return;
      default:
        path.set_template_(Template());
    }
  }

  std::string Template() {
    std::string text;
    const size_t segments = 1 + Below(4);
    bool variable = false;
    for (size_t i = 0; i < segments; ++i) {
      const bool last = i + 1 == segments;
      if (OneIn(2) || (last && !variable)) {
        text += last && OneIn(3) ? "/{rest=**}" : "/{v" + std::to_string(i) + "}";
        variable = true;
      } else {
        std::string segment = Segment();
        if (segment.empty() && !last) segment = "a";
        text += "/" + segment;
      }
    }
    return text;
  }

  v1::RouteMatch Match() {
    v1::RouteMatch match;
    for (size_t i = OneIn(3) ? 1 + Below(2) : 0; i > 0; --i) {
      const std::string host = Host();
      match.add_hosts(OneIn(2) && host[0] != '[' ? "*." + host : host);
    }
    MakePath(*match.mutable_path());
    static const std::array<const char*, 4> methods = {"GET", "POST", "PURGE", "BAN"};
    for (size_t i = OneIn(3) ? 1 + Below(2) : 0; i > 0; --i) match.add_methods(methods[Below(methods.size())]);
    for (size_t i = OneIn(4) ? 1 + Below(2) : 0; i > 0; --i) Header(*match.add_headers());
    for (size_t i = OneIn(5) ? 1 + Below(2) : 0; i > 0; --i) Query(*match.add_query());
    return match;
  }

  void Header(v1::HeaderMatch& header) {
    header.set_name(OneIn(2) ? "X-Tenant" : "x-flag");
    switch (Below(4)) {
      case 0:
        header.set_exact(std::string(1, static_cast<char>('a' + Below(3))));
        return;
      case 1:
        header.set_prefix(std::string(1, static_cast<char>('a' + Below(3))));
        return;
      case 2:
        header.set_regex("[ab]x?");
        return;
      default:
        header.set_present(OneIn(2));
    }
  }

  void Query(v1::QueryMatch& query) {
    query.set_name(OneIn(2) ? "v" : "f g");
    switch (Below(3)) {
      case 0:
        query.set_exact(std::string(1, static_cast<char>('a' + Below(3))));
        return;
      case 1:
        query.set_regex("[ab]?");
        return;
      default:
        query.set_present(OneIn(2));
    }
  }

  TestRequest Request() {
    static const std::array<const char*, 5> methods = {"GET", "POST", "PURGE", "BAN", "LOCK"};
    static const std::array<const char*, 8> queries = {"", "v=a", "v=b&v=a", "f%20g=a", "f%20g", "v=%61&f%20g=x",
                                                       "v=%6", "&&v&f g=b"};
    TestRequest request;
    request.host_ = OneIn(8) ? "x.y.example.com" : Host();
    request.path_ = OneIn(50) ? "*" : Path(6);
    request.method_ = methods[Below(methods.size())];
    request.query_ = queries[Below(queries.size())];
    if (OneIn(2)) request.headers_["x-tenant"] = std::string(1, static_cast<char>('a' + Below(3)));
    if (OneIn(2)) request.headers_["x-flag"] = OneIn(2) ? "ax" : "";
    return request;
  }

 private:
  std::mt19937 random_;
};

TEST(MatcherPropertyTest, AgreesWithTheNaiveMatcher) {
#ifdef PORTICO_SANITIZED
  constexpr uint32_t kSets = 150;
#else
  constexpr uint32_t kSets = 2000;
#endif
  size_t found = 0;
  for (uint32_t seed = 0; seed < kSets; ++seed) {
    Generator generator(seed);
    std::vector<NaiveRule> rules(generator.OneIn(10) ? 150 : 1 + generator.Below(30));
    for (size_t i = 0; i < rules.size(); ++i) {
      rules[i].name = "r" + std::to_string(generator.Below(1000)) + "-" + std::to_string(i);
      rules[i].match = generator.Match();
    }
    std::vector<Matcher::Rule> input;
    for (uint32_t i = 0; i < rules.size(); ++i) input.push_back({rules[i].name, &rules[i].match, i});
    auto matcher = Matcher::Build(input);
    ASSERT_TRUE(matcher.ok()) << matcher.status();
    for (int i = 0; i < 40; ++i) {
      const TestRequest request = generator.Request();
      const uint32_t expected = NaiveMatch(rules, request);
      const uint32_t actual = (*matcher)->Match(request);
      found += expected != Matcher::kNone;
      ASSERT_EQ(actual, expected)
          << "seed " << seed << ": " << request.method_ << " " << request.host_ << " " << request.path_ << "?"
          << request.query_ << "\nexpected: "
          << (expected == Matcher::kNone ? "none" : rules[expected].match.ShortDebugString())
          << "\nactual: " << (actual == Matcher::kNone ? "none" : rules[actual].match.ShortDebugString());
    }
  }
  EXPECT_GT(found, kSets * 20) << "the requests hit too rarely to mean much";
}

// Many rules at one path, told apart by a header: the indexed lists.
TEST(MatcherPropertyTest, LongListsAgreeWithTheNaiveMatcher) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    Generator generator(seed);
    std::vector<NaiveRule> rules(20 + generator.Below(100));
    for (size_t i = 0; i < rules.size(); ++i) {
      rules[i].name = std::to_string(generator.Below(1000)) + "-" + std::to_string(i);
      v1::RouteMatch& match = rules[i].match;
      generator.OneIn(2) ? match.mutable_path()->set_prefix("/a") : match.mutable_path()->set_template_("/a/{x}");
      if (!generator.OneIn(4)) {
        auto* header = match.add_headers();
        header->set_name("x-tenant");
        header->set_exact(std::to_string(generator.Below(30)));
      }
      if (generator.OneIn(3)) generator.Header(*match.add_headers());
      if (generator.OneIn(3)) match.add_methods(generator.OneIn(2) ? "GET" : "PUT");
    }
    std::vector<Matcher::Rule> input;
    for (uint32_t i = 0; i < rules.size(); ++i) input.push_back({rules[i].name, &rules[i].match, i});
    auto matcher = Matcher::Build(input);
    ASSERT_TRUE(matcher.ok()) << matcher.status();
    for (int i = 0; i < 100; ++i) {
      TestRequest request;
      request.path_ = generator.OneIn(2) ? "/a/b" : "/a/b/c";
      request.method_ = generator.OneIn(2) ? "GET" : "POST";
      if (!generator.OneIn(5)) request.headers_["x-tenant"] = std::to_string(generator.Below(32));
      if (generator.OneIn(2)) request.headers_["x-flag"] = "a";
      ASSERT_EQ((*matcher)->Match(request), NaiveMatch(rules, request)) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace portico::routing
