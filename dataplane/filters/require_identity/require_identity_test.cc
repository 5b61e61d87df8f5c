#include "dataplane/filters/require_identity/require_identity.h"

#include "dataplane/filters/filter_fixture.h"
#include "gtest/gtest.h"

namespace portico::filters {
namespace {

std::string Route(const std::string& authentication) {
  return "{kind: Route, name: users, spec: {match: {path: {prefix: /}}, respond: {status: 200}" + authentication +
         "}}";
}

TEST(RequireIdentityTest, RefusesTheUnknownAndSaysWhatToSend) {
  base::FakeClock clock;
  RequireIdentityBuilder builder;
  const auto policy = BuildPolicy(
      builder, ParseSet(Route(", authentication: {any_of: [{jwt: {provider: a}}, {jwt: {provider: b}}, {api_key: {}}]}")),
      "users");
  ASSERT_NE(policy, nullptr);
  TestExchange exchange(clock);
  const auto reply = exchange.Request(*policy);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->status, 401);
  EXPECT_EQ(reply->reason, "credentials_missing");
  EXPECT_EQ(reply->message, "credentials are required: send a bearer token in Authorization or an API key in x-api-key");
  EXPECT_EQ(exchange.ResponseHeader("www-authenticate"),
            "Bearer realm=\"portico\", ApiKey realm=\"portico\", header=\"x-api-key\"");
}

TEST(RequireIdentityTest, LetsTheKnownPass) {
  base::FakeClock clock;
  RequireIdentityBuilder builder;
  const auto policy = BuildPolicy(builder, ParseSet(Route(", authentication: {any_of: [{api_key: {}}]}")), "users");
  TestExchange exchange(clock);
  exchange.context.identity.source = snapshot::Identity::Source::kApiKey;
  EXPECT_FALSE(exchange.Request(*policy).has_value());
}

TEST(RequireIdentityTest, OnlyWhereItIsAskedFor) {
  RequireIdentityBuilder builder;
  EXPECT_EQ(BuildPolicy(builder, ParseSet(Route("")), "users"), nullptr);
  EXPECT_EQ(
      BuildPolicy(builder, ParseSet(Route(", authentication: {any_of: [{api_key: {}}], optional: true}")), "users"),
      nullptr);
}

}  // namespace
}  // namespace portico::filters
