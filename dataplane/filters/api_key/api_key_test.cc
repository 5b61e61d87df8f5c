#include <string>

#include "api/resource/resource.h"
#include "dataplane/filters/api_key/api_key_builder.h"
#include "dataplane/filters/api_key/api_key_policy.h"
#include "dataplane/filters/filter_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace portico::filters {
namespace {

using testing::HasSubstr;

std::string Config(const std::string& keys, const std::string& method = "api_key: {}") {
  return "{kind: Consumer, name: alice, spec: {plan: gold, api_keys: [" + keys +
         "]}}\n---\n{kind: Plan, name: gold, spec: {}}\n---\n"
         "{kind: Route, name: users, spec: {match: {path: {prefix: /}}, respond: {status: 200}, authentication: "
         "{any_of: [{" +
         method + "}]}}}\n---\n{kind: Route, name: open, spec: {match: {path: {prefix: /o}}, respond: {status: 200}}}";
}

std::string Key(const std::string& key, const std::string& more = "") {
  return "{sha256: " + api::ToHex(api::Sha256(key)) + more + "}";
}

class ApiKeyTest : public testing::Test {
 protected:
  base::FakeClock clock_;
  ApiKeyBuilder builder_;
};

TEST_F(ApiKeyTest, IdentifiesAndRemovesTheKey) {
  const auto policy = BuildPolicy(builder_, ParseSet(Config(Key("secret-1") + ", " + Key("secret-2"))), "users");
  ASSERT_NE(policy, nullptr);
  TestExchange exchange(clock_);
  exchange.request.headers.Add("X-API-Key", "secret-2");
  EXPECT_FALSE(exchange.Request(*policy).has_value());
  EXPECT_EQ(exchange.context.identity.source, snapshot::Identity::Source::kApiKey);
  EXPECT_EQ(exchange.context.identity.consumer, "alice");
  EXPECT_EQ(exchange.context.identity.plan, "gold");
  EXPECT_EQ(exchange.RequestHeader("x-api-key"), "(none)");
  EXPECT_TRUE(exchange.context.credentials_seen);
}

TEST_F(ApiKeyTest, NoKeyIsNotRefusedHere) {
  const auto policy = BuildPolicy(builder_, ParseSet(Config(Key("secret-1"))), "users");
  TestExchange exchange(clock_);
  EXPECT_FALSE(exchange.Request(*policy).has_value());
  EXPECT_EQ(exchange.context.identity.source, snapshot::Identity::Source::kNone);
  EXPECT_FALSE(exchange.context.credentials_seen);
}

struct Refusal {
  const char* what;
  std::vector<std::string> sent;
  const char* reason;
  const char* message;
};

TEST_F(ApiKeyTest, Refusals) {
  // The fake clock starts on 2026-01-01.
  const std::string keys = Key("good") + ", " + Key("old", ", expires_at: 2025-12-31T23:59:50Z");
  const auto policy = BuildPolicy(builder_, ParseSet(Config(keys)), "users");
  const std::vector<Refusal> cases = {
      {"unknown", {"other"}, "api_key_unknown", "belongs to no consumer"},
      {"expired", {"old"}, "api_key_expired", "expired 10 s ago"},
      {"twice", {"good", "good"}, "api_key_malformed", "more than once"},
      {"empty", {""}, "api_key_malformed", "is empty"},
      {"long", {std::string(1025, 'x')}, "api_key_malformed", "too long"},
      {"a prefix is another key", {"goo"}, "api_key_unknown", "no consumer"},
  };
  for (const Refusal& c : cases) {
    SCOPED_TRACE(c.what);
    TestExchange exchange(clock_);
    for (const std::string& key : c.sent) exchange.request.headers.Add("x-api-key", key);
    const auto reply = exchange.Request(*policy);
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(reply->status, 401);
    EXPECT_EQ(reply->reason, c.reason);
    EXPECT_THAT(std::string(reply->message), HasSubstr(c.message));
    EXPECT_EQ(exchange.ResponseHeader("www-authenticate"), "ApiKey realm=\"portico\", header=\"x-api-key\"");
    EXPECT_EQ(exchange.RequestHeader("x-api-key"), "(none)");
  }
}

TEST_F(ApiKeyTest, ExpiresAtTheInstant) {
  const auto policy =
      BuildPolicy(builder_, ParseSet(Config(Key("k", ", expires_at: 2026-01-01T00:00:10Z"))), "users");
  clock_.Advance(10 * base::kNanosPerSecond - 1);
  TestExchange before(clock_);
  before.request.headers.Add("x-api-key", "k");
  EXPECT_FALSE(before.Request(*policy).has_value());
  clock_.Advance(1);
  TestExchange after(clock_);
  after.request.headers.Add("x-api-key", "k");
  EXPECT_TRUE(after.Request(*policy).has_value());
}

TEST_F(ApiKeyTest, OwnHeaderAndKeptIdentity) {
  const auto policy =
      BuildPolicy(builder_, ParseSet(Config(Key("k"), "api_key: {header: X-Partner-Key}")), "users");
  TestExchange exchange(clock_);
  exchange.context.identity.source = snapshot::Identity::Source::kJwt;
  exchange.context.identity.consumer = "bob";
  exchange.request.headers.Add("x-partner-key", "k");
  EXPECT_FALSE(exchange.Request(*policy).has_value());
  EXPECT_EQ(exchange.context.identity.consumer, "bob") << "the token was first";
  TestExchange wrong(clock_);
  wrong.context.identity.source = snapshot::Identity::Source::kJwt;
  wrong.request.headers.Add("x-partner-key", "wrong");
  EXPECT_TRUE(wrong.Request(*policy).has_value()) << "wrong credentials are refused whatever else there is";
}

TEST_F(ApiKeyTest, BuilderSharesAndNotices) {
  const api::ResourceSet first = ParseSet(Config(Key("k")));
  const auto policy = BuildPolicy(builder_, first, "users");
  const api::StoredResource& users = *first.at({"Route", "users"});
  const api::StoredResource& open = *first.at({"Route", "open"});
  EXPECT_EQ(BuildPolicy(builder_, first, "open"), nullptr);
  EXPECT_EQ(BuildPolicy(builder_, first, "users"), policy) << "nothing changed";
  EXPECT_FALSE(builder_.Affected(users));
  const api::ResourceSet second = ParseSet(Config(Key("k2")));
  ASSERT_TRUE(builder_.BeginSnapshot(second).ok());
  EXPECT_TRUE(builder_.Affected(users));
  EXPECT_FALSE(builder_.Affected(open));
  EXPECT_NE(*builder_.Build(users), policy);
}

}  // namespace
}  // namespace portico::filters
