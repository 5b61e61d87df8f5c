#include "dataplane/filters/header_transform/header_transform.h"

#include <map>
#include <string>
#include <vector>

#include "dataplane/filters/filter_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace portico::filters {
namespace {

constexpr char kRoute[] = R"(
---
kind: Route
name: users
spec: {match: {path: {prefix: /}}, respond: {status: 200}, header_transforms: [one, two]}
)";

std::vector<std::string> All(const http::HeaderList& headers, std::string_view name) {
  std::vector<std::string> values;
  for (const http::HeaderField& field : headers) {
    if (!field.name.empty() && http::EqualsIgnoreCase(field.name, name)) values.emplace_back(field.value);
  }
  return values;
}

struct MapClaims final : snapshot::ClaimSource {
  std::map<std::string, std::string, std::less<>> claims;
  std::optional<std::string_view> Find(std::string_view claim) const override {
    const auto found = claims.find(claim);
    if (found == claims.end()) return std::nullopt;
    return found->second;
  }
};

class HeaderTransformTest : public testing::Test {
 protected:
  base::FakeClock clock_;
  HeaderTransformBuilder builder_;
};

TEST_F(HeaderTransformTest, RemovesSetsAndAddsInOrder) {
  const auto policy = BuildPolicy(builder_, ParseSet(std::string(R"(
kind: HeaderTransform
name: one
spec:
  request: {remove: [X-Debug], set: [{name: x-set, value: one}], add: [{name: x-add, value: one}]}
  response: {set: [{name: x-last, value: one}], add: [{name: x-both, value: one}]}
---
kind: HeaderTransform
name: two
spec:
  request: {set: [{name: X-Set, value: two}], add: [{name: x-add, value: two}, {name: x-debug, value: back}]}
  response: {remove: [Server], set: [{name: x-last, value: two}], add: [{name: x-both, value: two}]}
)") + kRoute),
                                  "users");
  ASSERT_NE(policy, nullptr);
  TestExchange exchange(clock_);
  exchange.request.headers.Add("x-debug", "1");
  exchange.request.headers.Add("X-Set", "a");
  exchange.request.headers.Add("x-set", "b");
  exchange.request.headers.Add("x-add", "client");
  EXPECT_FALSE(exchange.Request(*policy).has_value());
  EXPECT_THAT(All(exchange.request.headers, "x-set"), testing::ElementsAre("two"));
  EXPECT_THAT(All(exchange.request.headers, "x-add"), testing::ElementsAre("client", "one", "two"));
  EXPECT_THAT(All(exchange.request.headers, "x-debug"), testing::ElementsAre("back"));
  http::ResponseHead response(exchange.arena);
  response.headers.Add("Server", "backend");
  policy->OnResponse(exchange.context, response);
  EXPECT_THAT(All(response.headers, "server"), testing::IsEmpty());
  EXPECT_THAT(All(response.headers, "x-both"), testing::ElementsAre("two", "one"));
  EXPECT_THAT(All(response.headers, "x-last"), testing::ElementsAre("one")) << "the first transform has the last word";
}

TEST_F(HeaderTransformTest, Variables) {
  struct Case {
    const char* value;
    const char* expected;
  };
  const std::vector<Case> cases = {
      {"plain", "plain"},
      {"$$5", "$5"},
      {"${client.address}", "192.0.2.1"},
      {"${request.id}", "req-1"},
      {"${request.method} ${request.path}", "GET /users/42"},
      {"${request.host}", "api.example.com"},
      {"${request.header.X-Tenant}", "acme"},
      {"${request.header.x-none}", ""},
      {"[${request.header.x-none}]", "[]"},
      {"${route.name}/${upstream.name}", "users/users-upstream"},
      {"${consumer.name}@${consumer.plan}", "alice@gold"},
      {"${claim.realm.tenant}", "acme-eu"},
      {"${claim.none}", ""},
      {"a${claim.evil}b", "ab"},
      {"${claim.none} trimmed", "trimmed"},
  };
  MapClaims claims;
  claims.claims = {{"realm.tenant", "acme-eu"}, {"evil", "x\r\nset-cookie: y"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.value);
    auto parts = api::ParseHeaderTemplate(c.value);
    ASSERT_TRUE(parts.ok()) << parts.status();
    TestExchange exchange(clock_);
    exchange.request.headers.Add("x-tenant", "acme");
    exchange.context.identity.consumer = "alice";
    exchange.context.identity.plan = "gold";
    exchange.context.identity.claims = &claims;
    EXPECT_EQ(ValueTemplate(*parts).Evaluate(exchange.context), c.expected);
  }
}

TEST_F(HeaderTransformTest, VariablesOfTls) {
  auto parts = api::ParseHeaderTemplate(
      "${tls.version}|${tls.server_name}|${tls.client.fingerprint}|${tls.client.subject}|${tls.client.san}");
  ASSERT_TRUE(parts.ok()) << parts.status();
  TestExchange exchange(clock_);
  EXPECT_EQ(ValueTemplate(*parts).Evaluate(exchange.context), "||||");
  net::TlsInfo tls;
  tls.version = "TLSv1.3";
  tls.server_name = "a.example.com";
  tls.peer_certificate = {"ab12", "CN=x", {"x.example.com"}, {}};
  exchange.context.tls = &tls;
  EXPECT_EQ(ValueTemplate(*parts).Evaluate(exchange.context), "TLSv1.3|a.example.com|||")
      << "what was not verified";
  tls.has_peer_certificate = true;
  EXPECT_EQ(ValueTemplate(*parts).Evaluate(exchange.context),
            "TLSv1.3|a.example.com|ab12|CN=x|x.example.com");
  tls.peer_certificate.uris = {"spiffe://a/b"};
  EXPECT_EQ(ValueTemplate(*parts).Evaluate(exchange.context),
            "TLSv1.3|a.example.com|ab12|CN=x|spiffe://a/b");
}

TEST_F(HeaderTransformTest, AnonymousCallersHaveEmptyValues) {
  TestExchange exchange(clock_);
  auto parts = api::ParseHeaderTemplate("<${consumer.name}${claim.sub}>");
  ASSERT_TRUE(parts.ok());
  EXPECT_EQ(ValueTemplate(*parts).Evaluate(exchange.context), "<>");
}

TEST_F(HeaderTransformTest, RefusesWhatFramesMessages) {
  for (const char* name : {"Host", "content-length", "Transfer-Encoding", "Connection", "bad name", ":path", ""}) {
    SCOPED_TRACE(name);
    v1::HeaderTransform spec;
    spec.mutable_request()->add_set()->set_name(name);
    const auto result = MakeTransform(spec);
    EXPECT_FALSE(result.ok());
    EXPECT_THAT(std::string(result.status().message()), testing::HasSubstr("spec.request.set[0].name"));
    v1::HeaderTransform removing;
    removing.mutable_response()->add_remove(name);
    EXPECT_THAT(std::string(MakeTransform(removing).status().message()), testing::HasSubstr("spec.response.remove[0]"));
  }
  v1::HeaderTransform spec;
  auto* edit = spec.mutable_response()->add_add();
  edit->set_name("x-a");
  edit->set_value("${nope}");
  EXPECT_THAT(std::string(MakeTransform(spec).status().message()), testing::HasSubstr("spec.response.add[0].value"));
  edit->set_value("a\r\nb");
  EXPECT_FALSE(MakeTransform(spec).ok());
}

TEST_F(HeaderTransformTest, BuilderSharesAndNotices) {
  const std::string two = "---\n{kind: HeaderTransform, name: two, spec: {}}\n";
  const api::ResourceSet first =
      ParseSet("{kind: HeaderTransform, name: one, spec: {request: {remove: [a]}}}\n" + two + kRoute);
  const auto policy = BuildPolicy(builder_, first, "users");
  const api::StoredResource& route = *first.at({"Route", "users"});
  EXPECT_EQ(BuildPolicy(builder_, first, "users"), policy);
  EXPECT_FALSE(builder_.Affected(route));
  const api::ResourceSet second =
      ParseSet("{kind: HeaderTransform, name: one, spec: {request: {remove: [b]}}}\n" + two + kRoute);
  ASSERT_TRUE(builder_.BeginSnapshot(second).ok());
  EXPECT_TRUE(builder_.Affected(route));
  EXPECT_NE(*builder_.Build(route), policy);
}

}  // namespace
}  // namespace portico::filters
