#include "tools/porticoctl/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_split.h"
#include "tools/porticoctl/kinds.h"

namespace portico::ctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string NoEnvironment(const std::string&) { return ""; }

std::variant<Arguments, EarlyExit> Parse(const std::string& line,
                                         const Environment& environment = NoEnvironment) {
  return ParseArguments(absl::StrSplit(line, ' ', absl::SkipEmpty()), environment);
}

Arguments Parsed(const std::string& line, const Environment& environment = NoEnvironment) {
  auto result = Parse(line, environment);
  if (const EarlyExit* exit = std::get_if<EarlyExit>(&result)) {
    ADD_FAILURE() << line << ": " << exit->text;
    return {};
  }
  return std::get<Arguments>(result);
}

TEST(ArgumentsTest, Apply) {
  const Arguments a = Parsed(
      "apply -f a.yaml -f b -f - --dry-run --expected-revision 7 -m why --author me --timeout 2m");
  EXPECT_EQ(a.verb, Verb::kApply);
  EXPECT_THAT(a.files, ElementsAre("a.yaml", "b", "-"));
  EXPECT_TRUE(a.change.dry_run);
  EXPECT_EQ(a.change.expected_revision, 7u);
  EXPECT_EQ(a.change.message, "why");
  EXPECT_EQ(a.change.author, "me");
  EXPECT_EQ(a.connection.timeout, absl::Minutes(2));
  EXPECT_EQ(a.output, std::nullopt);
}

TEST(ArgumentsTest, GlobalFlagsStandAnywhere) {
  for (const char* line : {"--server [::1]:5 --insecure -o json list routes",
                           "list --server [::1]:5 routes --insecure -o json",
                           "list routes --server=[::1]:5 --insecure --output=json"}) {
    const Arguments a = Parsed(line);
    EXPECT_EQ(a.verb, Verb::kList);
    EXPECT_EQ(a.connection.server, "[::1]:5");
    EXPECT_TRUE(a.connection.insecure);
    EXPECT_EQ(a.output, OutputFormat::kJson);
    EXPECT_EQ(a.kind, "Route");
  }
}

TEST(ArgumentsTest, NamesMayLookLikeVerbs) {
  const Arguments a = Parsed("get route list");
  EXPECT_EQ(a.verb, Verb::kGet);
  EXPECT_THAT(a.names, ElementsAre("list"));
}

TEST(ArgumentsTest, EveryVerb) {
  EXPECT_EQ(Parsed("diff 3").revisions, std::vector<uint64_t>({3}));
  EXPECT_EQ(Parsed("diff 3 5").revisions, std::vector<uint64_t>({3, 5}));
  EXPECT_THAT(Parsed("diff -f x").files, ElementsAre("x"));
  EXPECT_THAT(Parsed("delete Upstreams a b --wait").names, ElementsAre("a", "b"));
  EXPECT_EQ(Parsed("rollback 4 --wait").revision, 4u);
  EXPECT_EQ(Parsed("rollout --wait --revision 9 --min-proxies 2").min_proxies, 2u);
  EXPECT_EQ(Parsed("history --limit 0").limit, 0u);
  EXPECT_EQ(Parsed("list --label a=b --label c=").labels.size(), 2u);
  EXPECT_EQ(Parsed("fleet").verb, Verb::kFleet);
  EXPECT_EQ(Parsed("validate -f x").verb, Verb::kValidate);
  EXPECT_TRUE(Parsed("hash-key --generate").generate);
  EXPECT_EQ(Parsed("completion zsh").shell, "zsh");
  const TokenOptions token =
      Parsed(
          "token --key-file k --claim a=1 --claim b=x=y --audience u --audience v --alg HS256 "
          "--expires-in 15m --jwks --create-key")
          .token;
  EXPECT_THAT(token.claims, ElementsAre("a=1", "b=x=y"));
  EXPECT_THAT(token.audiences, ElementsAre("u", "v"));
  EXPECT_EQ(token.expires_in, absl::Minutes(15));
}

TEST(ArgumentsTest, EnvironmentGivesDefaults) {
  const auto environment = [](const std::string& name) {
    if (name == "PORTICO_SERVER") return std::string("cp:7400");
    if (name == "PORTICO_TLS_CA") return std::string("ca.pem");
    if (name == "PORTICO_INSECURE") return std::string("1");
    if (name == "USER") return std::string("jo");
    return std::string();
  };
  const Arguments a = Parsed("apply -f x", environment);
  EXPECT_EQ(a.connection.server, "cp:7400");
  EXPECT_EQ(a.connection.tls_ca, "ca.pem");
  EXPECT_TRUE(a.connection.insecure);
  EXPECT_EQ(a.change.author, "jo");
  EXPECT_EQ(Parsed("fleet --server other:1", environment).connection.server, "other:1");
}

struct Mistake {
  std::string line;
  std::string says;
};

class MistakeTest : public testing::TestWithParam<Mistake> {};

TEST_P(MistakeTest, IsOneLineAndCodeTwo) {
  auto result = Parse(GetParam().line);
  const EarlyExit* exit = std::get_if<EarlyExit>(&result);
  ASSERT_NE(exit, nullptr);
  EXPECT_EQ(exit->code, kExitUsage);
  EXPECT_THAT(exit->text, HasSubstr(GetParam().says));
  EXPECT_THAT(exit->text, HasSubstr("--help"));
  EXPECT_EQ(exit->text.find('\n'), std::string::npos) << exit->text;
}

INSTANTIATE_TEST_SUITE_P(
    All, MistakeTest,
    testing::Values(Mistake{"", "say what to do"}, Mistake{"aply -f x", "unknown verb \"aply\""},
                    Mistake{"--bogus list", "unknown flag --bogus"},
                    Mistake{"list --bogus", "unknown flag --bogus"}, Mistake{"apply", "--file"},
                    Mistake{"apply -f", "--file"},
                    Mistake{"list gizmos", "unknown kind \"gizmos\"; kinds are"},
                    Mistake{"get route", "name"}, Mistake{"get route a b", "At Most 1"},
                    Mistake{"delete route", "names"}, Mistake{"diff", "either -f or"},
                    Mistake{"diff -f x --output table 3 4", ""}, Mistake{"diff 0", "start at 1"},
                    Mistake{"rollback x", "revision = x"}, Mistake{"rollback 0", "start at 1"},
                    Mistake{"list --label x", "NAME=VALUE"}, Mistake{"list -o xml", "xml"},
                    Mistake{"fleet --timeout soon", "--timeout \"soon\""},
                    Mistake{"fleet --timeout 0s", "--timeout \"0s\""},
                    Mistake{"apply -f x --dry-run --wait", "exclude each other"},
                    Mistake{"token --key-file k --claim x", "NAME=VALUE"},
                    Mistake{"token --key-file k --alg none", "none"},
                    Mistake{"token --key-file k --expires-in never", "--expires-in"},
                    Mistake{"completion ksh", "ksh"}));

TEST(ArgumentsTest, HelpAndVersion) {
  for (const char* line : {"--help", "-h", "apply --help", "--version"}) {
    auto result = Parse(line);
    const EarlyExit* exit = std::get_if<EarlyExit>(&result);
    ASSERT_NE(exit, nullptr) << line;
    EXPECT_EQ(exit->code, kExitOk);
    EXPECT_FALSE(exit->text.empty());
  }
  auto apply = Parse("apply --help");
  EXPECT_THAT(std::get<EarlyExit>(apply).text, HasSubstr("--dry-run"));
}

TEST(KindsTest, AnyCaseAndPlural) {
  for (const char* text : {"Route", "route", "routes", "ROUTES"}) {
    EXPECT_EQ(CanonicalKind(text), "Route") << text;
  }
  for (const char* text :
       {"RateLimitPolicy", "rate-limit-policies", "rate_limit_policy", "ratelimitpolicies"}) {
    EXPECT_EQ(CanonicalKind(text), "RateLimitPolicy") << text;
  }
  EXPECT_EQ(CanonicalKind("access-logs"), "AccessLog");
  EXPECT_EQ(CanonicalKind("jwtproviders"), "JwtProvider");
  for (const char* text : {"", "s", "routess", "rout"}) EXPECT_EQ(CanonicalKind(text), "") << text;
}

}  // namespace
}  // namespace portico::ctl
