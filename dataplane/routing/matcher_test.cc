#include "dataplane/routing/matcher.h"

#include <ostream>
#include <string>
#include <vector>

#include "dataplane/routing/naive_matcher.h"
#include "google/protobuf/text_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace portico::routing {
namespace {

v1::RouteMatch Parse(const std::string& text) {
  v1::RouteMatch match;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &match)) << text;
  return match;
}

// Rules are named by a letter in the order of the table.
struct Case {
  const char* what;
  std::vector<const char*> rules;
  const char* method;
  const char* host;
  const char* path;
  const char* query;
  int winner;  // -1: none
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.what; }

class MatcherTest : public testing::TestWithParam<Case> {};

TEST_P(MatcherTest, Picks) {
  const Case& c = GetParam();
  std::vector<NaiveRule> rules;
  for (size_t i = 0; i < c.rules.size(); ++i) {
    rules.push_back({std::string(1, static_cast<char>('a' + i)), Parse(c.rules[i])});
  }
  std::vector<Matcher::Rule> input;
  for (uint32_t i = 0; i < rules.size(); ++i) input.push_back({rules[i].name, &rules[i].match, i});
  auto matcher = Matcher::Build(input);
  ASSERT_TRUE(matcher.ok()) << matcher.status();
  TestRequest request;
  request.method_ = c.method;
  request.host_ = c.host;
  request.path_ = c.path;
  request.query_ = c.query;
  request.headers_ = {{"x-tenant", "acme"}, {"x-empty", ""}};
  const uint32_t expected = c.winner < 0 ? Matcher::kNone : static_cast<uint32_t>(c.winner);
  EXPECT_EQ((*matcher)->Match(request), expected) << c.what;
  EXPECT_EQ(NaiveMatch(rules, request), expected) << "the reference: " << c.what;
}

#define P(x) "path { prefix: '" x "' }"
#define E(x) "path { exact: '" x "' }"
#define T(x) "path { template: '" x "' }"
#define R(x) "path { regex: '" x "' }"
#define G(x) "path { grpc { " x " } }"

INSTANTIATE_TEST_SUITE_P(
    Paths, MatcherTest,
    testing::Values(
        Case{"whole segments count", {P("/api/dev")}, "GET", "h", "/api/developer", "", -1},
        Case{"a prefix matches itself", {P("/api/dev")}, "GET", "h", "/api/dev", "", 0},
        Case{"and with a slash", {P("/api/dev")}, "GET", "h", "/api/dev/", "", 0},
        Case{"and below", {P("/api/dev")}, "GET", "h", "/api/dev/x", "", 0},
        Case{"a trailing slash in a prefix says nothing", {P("/api/")}, "GET", "h", "/api", "", 0},
        Case{"the root matches all", {P("/")}, "GET", "h", "/a/b", "", 0},
        Case{"the root matches the root", {P("/")}, "GET", "h", "/", "", 0},
        Case{"the asterisk is no path", {P("/")}, "OPTIONS", "h", "*", "", -1},
        Case{"exact is exact", {E("/a")}, "GET", "h", "/a/", "", -1},
        Case{"exact before prefix", {P("/a/b"), E("/a/b")}, "GET", "h", "/a/b", "", 1},
        Case{"longest prefix", {P("/"), P("/a"), P("/a/b")}, "GET", "h", "/a/b/c", "", 2},
        Case{"template", {T("/users/{id}")}, "GET", "h", "/users/42", "", 0},
        Case{"template is whole", {T("/users/{id}")}, "GET", "h", "/users/42/orders", "", -1},
        Case{"variables are not empty", {T("/users/{id}")}, "GET", "h", "/users/", "", -1},
        Case{"rest may be nothing", {T("/users/{r=**}")}, "GET", "h", "/users", "", 0},
        Case{"rest may be a slash", {T("/users/{r=**}")}, "GET", "h", "/users/", "", 0},
        Case{"rest", {T("/users/{r=**}")}, "GET", "h", "/users/a/b", "", 0},
        Case{"literal before variable", {T("/users/{id}/x"), T("/{a}/me/x"), T("/users/me/{x}")}, "GET", "h",
             "/users/me/x", "", 2},
        Case{"longer template before shorter prefix", {P("/a"), T("/{x}/b/c")}, "GET", "h", "/a/b/c", "", 1},
        Case{"longer prefix before shorter template", {T("/{x}/{r=**}"), P("/a/b")}, "GET", "h", "/a/b", "", 1},
        Case{"whole before rest", {T("/a/{x}/{r=**}"), T("/a/{x}")}, "GET", "h", "/a/b", "", 1},
        Case{"prefix before regex", {R("/a/b"), P("/")}, "GET", "h", "/a/b", "", 1},
        Case{"regex matches the whole path", {R("/a")}, "GET", "h", "/a/b", "", -1},
        Case{"regex alternatives are anchored too", {R("/a|/b")}, "GET", "h", "/b", "", 0},
        Case{"regex with a bound", {R("/a/[0-9]+"), R("/b/[0-9]+")}, "GET", "h", "/b/17", "", 1},
        Case{"empty segments count", {P("/a//b")}, "GET", "h", "/a/b", "", -1},
        Case{"empty segments match", {P("/a//b")}, "GET", "h", "/a//b/c", "", 0},
        Case{"backtracks out of a literal", {T("/a/b/{x}/d"), T("/a/{y}/c/e")}, "GET", "h", "/a/b/c/e", "", 1}));

INSTANTIATE_TEST_SUITE_P(
    Grpc, MatcherTest,
    testing::Values(
        Case{"one method", {G("service: 'p.S' method: 'M'")}, "POST", "h", "/p.S/M", "", 0},
        Case{"and no other", {G("service: 'p.S' method: 'M'")}, "POST", "h", "/p.S/Many", "", -1},
        Case{"all methods", {G("service: 'p.S'")}, "POST", "h", "/p.S/M", "", 0},
        Case{"of this service", {G("service: 'p.S'")}, "POST", "h", "/p.Services/M", "", -1},
        Case{"method before service",
             {G("service: 'p.S'"), G("service: 'p.S' method: 'M'")},
             "POST",
             "h",
             "/p.S/M",
             "",
             1},
        Case{"service before all", {P("/"), G("service: 'p.S'")}, "POST", "h", "/p.S/M", "", 1},
        Case{"a path that says the same, by name",
             {G("service: 'p.S'"), P("/p.S")},
             "POST",
             "h",
             "/p.S/M",
             "",
             0}));

INSTANTIATE_TEST_SUITE_P(
    Hosts, MatcherTest,
    testing::Values(
        Case{"exact before wildcard", {"hosts: '*.example.com'" P("/a/b"), "hosts: 'a.example.com'" P("/")}, "GET",
             "a.example.com", "/a/b", "", 1},
        Case{"case of rules does not matter", {"hosts: 'A.Example.COM'" P("/")}, "GET", "a.example.com", "/", "", 0},
        Case{"longer wildcard first", {"hosts: '*.com'" E("/"), "hosts: '*.example.com'" P("/")}, "GET",
             "a.example.com", "/", "", 1},
        Case{"a wildcard needs a label in front", {"hosts: '*.example.com'" P("/")}, "GET", "example.com", "/", "", -1},
        Case{"or several", {"hosts: '*.example.com'" P("/")}, "GET", "a.b.example.com", "/", "", 0},
        Case{"falls through to the wildcard", {"hosts: '*.example.com'" P("/"), "hosts: 'a.example.com'" P("/x")},
             "GET", "a.example.com", "/y", "", 0},
        Case{"falls through to any", {P("/"), "hosts: '*.example.com'" P("/x"), "hosts: 'a.example.com'" P("/x")},
             "GET", "a.example.com", "/y", "", 0},
        Case{"no host sent", {"hosts: 'a.example.com'" P("/")}, "GET", "", "/", "", -1},
        Case{"IPv6", {"hosts: '[::1]'" P("/")}, "GET", "[::1]", "/", "", 0},
        Case{"several hosts", {"hosts: ['a.com', 'b.com', 'a.com']" P("/")}, "GET", "b.com", "/", "", 0}));

INSTANTIATE_TEST_SUITE_P(
    Conditions, MatcherTest,
    testing::Values(
        Case{"method", {"methods: 'POST'" P("/p")}, "GET", "h", "/p", "", -1},
        Case{"a wrong method hides nothing", {P("/"), "methods: 'POST'" P("/p")}, "GET", "h", "/p", "", 0},
        Case{"a wrong method on exact hides nothing", {P("/"), "methods: 'POST'" E("/p")}, "GET", "h", "/p", "", 0},
        Case{"named method first", {P("/p"), "methods: ['PUT', 'GET']" P("/p")}, "GET", "h", "/p", "", 1},
        Case{"unusual methods", {"methods: 'PURGE'" P("/p"), "methods: 'BAN'" P("/p")}, "BAN", "h", "/p", "", 1},
        Case{"methods keep their case", {"methods: 'GET'" P("/p")}, "get", "h", "/p", "", -1},
        Case{"header", {P("/"), "headers { name: 'X-Tenant' exact: 'acme' }" P("/")}, "GET", "h", "/", "", 1},
        Case{"header prefix", {"headers { name: 'x-tenant' prefix: 'ac' }" P("/")}, "GET", "h", "/", "", 0},
        Case{"header regex is whole", {"headers { name: 'x-tenant' regex: 'ac' }" P("/")}, "GET", "h", "/", "", -1},
        Case{"header absent", {"headers { name: 'x-none' present: false }" P("/")}, "GET", "h", "/", "", 0},
        Case{"empty is present", {"headers { name: 'x-empty' present: true }" P("/")}, "GET", "h", "/", "", 0},
        Case{"absent equals nothing", {"headers { name: 'x-none' exact: '' }" P("/")}, "GET", "h", "/", "", -1},
        Case{"more headers first",
             {"headers { name: 'x-tenant' present: true }" P("/"),
              "headers { name: 'x-tenant' present: true } headers { name: 'x-empty' exact: '' }" P("/")},
             "GET", "h", "/", "", 1},
        Case{"a method counts more than headers",
             {"headers { name: 'x-tenant' present: true }" P("/"), "methods: 'GET'" P("/")}, "GET", "h", "/", "", 1},
        Case{"query", {"query { name: 'v' exact: 'a b' }" P("/")}, "GET", "h", "/", "x=1&v=a%20b", 0},
        Case{"query name is decoded", {"query { name: 'v w' present: true }" P("/")}, "GET", "h", "/", "v%20w", 0},
        Case{"plus is plus", {"query { name: 'v' exact: 'a b' }" P("/")}, "GET", "h", "/", "v=a+b", -1},
        Case{"the first parameter counts", {"query { name: 'v' exact: '2' }" P("/")}, "GET", "h", "/", "v=1&v=2", -1},
        Case{"query regex", {"query { name: 'v' regex: '[0-9]+' }" P("/")}, "GET", "h", "/", "v=%31%32", 0},
        Case{"query absent", {"query { name: 'v' present: false }" P("/")}, "GET", "h", "/", "vv=1", 0},
        Case{"name decides last", {P("/x"), P("/x")}, "GET", "h", "/x", "", 0}));

TEST(MatcherErrors, NameTheRuleAndTheField) {
  const auto build = [](const char* text) {
    const v1::RouteMatch match = Parse(text);
    return std::string(Matcher::Build({{"users", &match, 0}}).status().message());
  };
  EXPECT_THAT(build(R("(")), testing::HasSubstr("rule users: match.path.regex: \"(\""));
  EXPECT_THAT(build(T("/{a")), testing::HasSubstr("match.path.template: \"/{a\""));
  EXPECT_THAT(build(P("api")), testing::HasSubstr("match.path.prefix: \"api\""));
  EXPECT_THAT(build("hosts: 'a:80'" P("/")), testing::HasSubstr("match.hosts: \"a:80\""));
  EXPECT_THAT(build("headers { name: 'x' regex: '[' }" P("/")), testing::HasSubstr("match.headers[0].regex"));
  EXPECT_THAT(build("query { name: 'x' }" P("/")), testing::HasSubstr("match.query[0]: has no condition"));
  EXPECT_THAT(build("hosts: 'a'"), testing::HasSubstr("match.path: is missing"));
}

TEST(MatcherTest, NothingMatchesInAnEmptySet) {
  auto matcher = Matcher::Build({});
  ASSERT_TRUE(matcher.ok());
  EXPECT_EQ((*matcher)->Match(TestRequest()), Matcher::kNone);
}

TEST(MatcherTest, LongPathsAndHostsAreBounded) {
  const v1::RouteMatch match = Parse("hosts: '*.example.com'" T("/a/{x}/{r=**}"));
  auto matcher = Matcher::Build({{"a", &match, 7}});
  ASSERT_TRUE(matcher.ok());
  TestRequest request;
  for (int i = 0; i < 20000; ++i) request.host_ += "a.";
  request.host_ += "example.com";
  request.path_ = "/a" + std::string(60000, '/');
  EXPECT_EQ((*matcher)->Match(request), Matcher::kNone);
  request.path_ = "/a/b" + std::string(60000, '/');
  EXPECT_EQ((*matcher)->Match(request), 7u);
}

TEST(MatcherTest, StaysBelowAKibibyteForEachRoute) {
  std::vector<v1::RouteMatch> matches(10000);
  std::vector<std::string> names(matches.size());
  std::vector<Matcher::Rule> rules;
  for (uint32_t i = 0; i < matches.size(); ++i) {
    names[i] = "route-" + std::to_string(i);
    matches[i].mutable_path()->set_template_("/service-" + std::to_string(i) + "/v1/items/{id}");
    rules.push_back({names[i], &matches[i], i});
  }
  auto matcher = Matcher::Build(rules);
  ASSERT_TRUE(matcher.ok());
  EXPECT_LT((*matcher)->memory_bytes() / matches.size(), 256u);
}

}  // namespace
}  // namespace portico::routing
