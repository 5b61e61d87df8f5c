#include <optional>
#include <string>
#include <vector>

#include "api/resource/jwks.h"
#include "dataplane/filters/filter_fixture.h"
#include "dataplane/filters/jwt/jwt_builder.h"
#include "dataplane/filters/jwt/jwt_policy.h"
#include "dataplane/filters/jwt/token_cache.h"
#include "dataplane/filters/jwt/token_signer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace portico::filters {
namespace {

using testing::HasSubstr;

// 2026-01-01, where the fake clock starts.
constexpr int64_t kNow = 1'767'225'600;

std::string Claims(const std::string& more = "", int64_t exp = kNow + 300) {
  return R"({"iss":"https://issuer","aud":"api","sub":"alice","exp":)" + std::to_string(exp) + more + "}";
}

std::string Quoted(std::string text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') out += '\'';
    out += c;
  }
  return out + "'";
}

class JwtTest : public testing::Test {
 protected:
  static const TokenSigner& Rsa() {
    static const TokenSigner* const signer = std::make_unique<TokenSigner>("RS256", "r1").release();
    return *signer;
  }
  static const TokenSigner& Ec() {
    static const TokenSigner* const signer = std::make_unique<TokenSigner>("ES256", "e1").release();
    return *signer;
  }
  static const TokenSigner& Hmac() {
    static const TokenSigner* const signer = std::make_unique<TokenSigner>("HS256", "h1").release();
    return *signer;
  }

  JwtTest() { states_[static_cast<size_t>(snapshot::PolicyKind::kJwt)] = builder_.MakeWorkerState(); }

  TokenCache& cache() { return static_cast<TokenCache&>(*states_[static_cast<size_t>(snapshot::PolicyKind::kJwt)]); }

  static std::string Provider(const std::string& name, const std::string& jwks, const std::string& more = "",
                              const std::string& issuer = "https://issuer") {
    return "{kind: JwtProvider, name: " + name + ", spec: {issuer: '" + issuer +
           "', audiences: [api, web], jwks: " + Quoted(jwks) + more + "}}\n---\n";
  }
  static std::string Route(const std::string& methods = "{jwt: {provider: main}}") {
    return "{kind: Route, name: users, spec: {match: {path: {prefix: /}}, respond: {status: 200}, authentication: "
           "{any_of: [" +
           methods + "]}}}\n";
  }
  std::shared_ptr<const snapshot::Policy> Build(const std::string& config) {
    return BuildPolicy(builder_, ParseSet(config), "users");
  }

  std::optional<snapshot::LocalReply> Send(const snapshot::Policy& policy, TestExchange& exchange,
                                           const std::string& token) {
    exchange.context.metrics = &metrics_;
    exchange.request.headers.Add("Authorization", exchange.arena.Copy("Bearer " + token));
    return exchange.Request(policy);
  }
  // The reason of the refusal, or "ok".
  std::string Reason(const snapshot::Policy& policy, const std::string& token) {
    TestExchange exchange(clock_, &states_);
    const auto reply = Send(policy, exchange, token);
    if (!reply.has_value()) return "ok";
    message_ = std::string(reply->message);
    challenge_ = exchange.ResponseHeader("www-authenticate");
    EXPECT_EQ(reply->status, reply->reason == "jwt_audience" ? 403 : 401);
    EXPECT_EQ(exchange.context.identity.source, snapshot::Identity::Source::kNone);
    return std::string(reply->reason);
  }

  base::FakeClock clock_;
  JwtBuilder builder_{4 << 20};
  observe::WorkerMetrics metrics_;
  snapshot::PolicyWorkerStates states_;
  std::string message_, challenge_;
};

TEST_F(JwtTest, AcceptsEachAlgorithm) {
  const std::string jwks = "{\"keys\":[" + Rsa().jwk() + "," + Ec().jwk() + "," + Hmac().jwk() + "]}";
  const auto policy = Build(Provider("main", jwks, ", algorithms: [RS256, ES256, HS256]") + Route());
  ASSERT_NE(policy, nullptr);
  for (const TokenSigner* signer : {&Rsa(), &Ec(), &Hmac()}) {
    TestExchange exchange(clock_, &states_);
    const auto reply = Send(*policy, exchange, signer->Sign(Claims()));
    ASSERT_FALSE(reply.has_value()) << reply->message;
    EXPECT_EQ(exchange.context.identity.source, snapshot::Identity::Source::kJwt);
    EXPECT_EQ(exchange.context.identity.consumer, "alice");
    EXPECT_EQ(exchange.context.identity.claims->Find("iss"), "https://issuer");
    EXPECT_TRUE(exchange.context.credentials_seen);
    EXPECT_EQ(exchange.RequestHeader("authorization"), "(none)");
    EXPECT_EQ(exchange.ResponseHeader("www-authenticate"), "(none)");
  }
}

TEST_F(JwtTest, Refusals) {
  const auto policy = Build(Provider("main", "{\"keys\":[" + Rsa().jwk() + "," + Ec().jwk() + "," + Hmac().jwk() + "]}") +
                            Route());
  const TokenSigner stranger("ES256", "e1"), other_kid("ES256", "e2");
  const std::string good = Ec().Sign(Claims());
  std::string flipped = good;
  flipped[flipped.size() - 10] = flipped[flipped.size() - 10] == 'A' ? 'B' : 'A';
  struct Case {
    const char* what;
    std::string token;
    const char* reason;
    const char* message;
  };
  const std::vector<Case> cases = {
      {"good", good, "ok", ""},
      {"web audience", Ec().Sign(R"({"iss":"https://issuer","aud":["x","web"],"exp":1767225700})"), "ok", ""},
      {"no parts", "abc", "jwt_malformed", "three parts"},
      {"encrypted", "a.b.c.d.e", "jwt_malformed", "three parts"},
      {"not base64url", good + "=", "jwt_malformed", "base64url"},
      {"not JSON", Ec().Sign("{\"alg\":\"ES256\"", "{}"), "jwt_malformed", "JSON"},
      {"an array", Ec().Sign("[1]"), "jwt_malformed", "JSON"},
      {"claims twice", Ec().Sign(R"({"sub":"a","sub":"b"})"), "jwt_malformed", "JSON"},
      {"nested too deep", Ec().Sign("{\"a\":" + std::string(40, '[') + std::string(40, ']') + "}"), "jwt_malformed", ""},
      {"too long", Ec().Sign(Claims(",\"x\":\"" + std::string(8000, 'x') + "\"")), "jwt_malformed", "8192"},
      {"crit", Ec().Sign(R"({"alg":"ES256","kid":"e1","crit":["b64"],"b64":false})", Claims()), "jwt_malformed", "crit"},
      {"crit null", Ec().Sign(R"({"alg":"ES256","kid":"e1","crit":null})", Claims()), "jwt_malformed", "crit"},
      {"kid is a number", Ec().Sign(R"({"alg":"ES256","kid":1})", Claims()), "jwt_malformed", "kid"},
      {"no alg", Ec().Sign(R"({"kid":"e1"})", Claims()), "jwt_malformed", "algorithm"},
      {"none", Ec().Sign(R"({"alg":"none"})", Claims()), "jwt_algorithm", ""},
      {"None", api::EncodeBase64Url(R"({"alg":"None"})") + "." + api::EncodeBase64Url(Claims()) + ".", "jwt_algorithm", ""},
      {"HS256 is not on by default", Hmac().Sign(Claims()), "jwt_algorithm", ""},
      {"alg of another key", Ec().Sign(R"({"alg":"RS256","kid":"e1"})", Claims()), "jwt_algorithm", "fit"},
      {"unknown key", other_kid.Sign(Claims()), "jwt_unknown_kid", ""},
      {"same kid, another key", stranger.Sign(Claims()), "jwt_bad_signature", ""},
      {"flipped", flipped, "jwt_bad_signature", ""},
      {"no signature", good.substr(0, good.rfind('.') + 1), "jwt_bad_signature", ""},
      {"other issuer", Ec().Sign(R"({"iss":"https://evil","aud":"api","exp":1767225700})"), "jwt_issuer", ""},
      {"no issuer", Ec().Sign(R"({"aud":"api","exp":1767225700})"), "jwt_issuer", ""},
      {"issuer is a list", Ec().Sign(R"({"iss":["https://issuer"],"aud":"api","exp":1767225700})"), "jwt_malformed", "iss"},
      {"other audience", Ec().Sign(R"({"iss":"https://issuer","aud":"api2","exp":1767225700})"), "jwt_audience", ""},
      {"no audience", Ec().Sign(R"({"iss":"https://issuer","exp":1767225700})"), "jwt_audience", ""},
      {"audience is a number", Ec().Sign(R"({"iss":"https://issuer","aud":7,"exp":1767225700})"), "jwt_malformed", "aud"},
      {"joined audiences are no audience", Ec().Sign(R"({"iss":"https://issuer","aud":"api,web","exp":1767225700})"), "jwt_audience", ""},
      {"no expiry", Ec().Sign(R"({"iss":"https://issuer","aud":"api"})"), "jwt_missing_exp", ""},
      {"expiry is text", Ec().Sign(R"({"iss":"https://issuer","aud":"api","exp":"1767225700"})"), "jwt_malformed", "exp"},
      {"expiry is null", Ec().Sign(R"({"iss":"https://issuer","aud":"api","exp":null})"), "jwt_malformed", "exp"},
      {"expired", Ec().Sign(Claims("", kNow - 72)), "jwt_expired", "expired 72 s ago"},
      {"within the skew", Ec().Sign(Claims("", kNow - 59)), "ok", ""},
      {"at the end of the skew", Ec().Sign(Claims("", kNow - 60)), "jwt_expired", "60 s"},
      {"huge expiry", Ec().Sign(R"({"iss":"https://issuer","aud":"api","exp":1e300})"), "ok", ""},
      {"fractional expiry", Ec().Sign(R"({"iss":"https://issuer","aud":"api","exp":1767225700.5})"), "ok", ""},
      {"not yet", Ec().Sign(Claims(",\"nbf\":" + std::to_string(kNow + 61))), "jwt_not_yet_valid", "in 61 s"},
      {"nearly", Ec().Sign(Claims(",\"nbf\":" + std::to_string(kNow + 60))), "ok", ""},
      {"from the future", Ec().Sign(Claims(",\"iat\":" + std::to_string(kNow + 100))), "jwt_not_yet_valid", "in 100 s"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    EXPECT_EQ(Reason(*policy, c.token), c.reason);
    if (std::string(c.reason) == "ok") continue;
    EXPECT_THAT(message_, HasSubstr(c.message));
    if (std::string(c.reason) == "jwt_audience") continue;
    EXPECT_THAT(challenge_, testing::StartsWith("Bearer realm=\"portico\", error=\"invalid_token\", error_description=\""));
    EXPECT_EQ(std::count(challenge_.begin(), challenge_.end(), '"'), 6) << challenge_;
  }
}

TEST_F(JwtTest, TokenWithoutKidTriesTheKeysThatFit) {
  const TokenSigner first("ES256", ""), second("ES256", ""), stranger("ES256", "");
  const auto policy = Build(Provider("main", "{\"keys\":[" + Rsa().jwk() + "," + first.jwk() + "," + second.jwk() + "]}") +
                            Route());
  ASSERT_NE(policy, nullptr);
  EXPECT_EQ(Reason(*policy, second.Sign(Claims())), "ok");
  EXPECT_EQ(Reason(*policy, stranger.Sign(Claims())), "jwt_bad_signature");
  EXPECT_EQ(Reason(*policy, Rsa().Sign(R"({"alg":"RS256"})", Claims())), "ok");
}

TEST_F(JwtTest, OtherSchemesAndNoTokenAreNotRefusedHere) {
  const auto policy = Build(Provider("main", Ec().jwks()) + Route());
  for (const char* value : {"Basic dXNlcjpwYXNz", "Bearerx", "Negotiate"}) {
    TestExchange exchange(clock_, &states_);
    exchange.request.headers.Add("authorization", value);
    EXPECT_FALSE(exchange.Request(*policy).has_value());
    EXPECT_FALSE(exchange.context.credentials_seen);
    EXPECT_EQ(exchange.RequestHeader("authorization"), value);
  }
  TestExchange none(clock_, &states_);
  EXPECT_FALSE(none.Request(*policy).has_value());
  TestExchange twice(clock_, &states_);
  const std::string token = "bearer  " + Ec().Sign(Claims()) + " ";
  twice.request.headers.Add("authorization", token);
  EXPECT_FALSE(twice.Request(*policy).has_value()) << "the scheme has no case";
  TestExchange several(clock_, &states_);
  several.request.headers.Add("authorization", token);
  several.request.headers.Add("authorization", "Basic x");
  const auto reply = several.Request(*policy);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->reason, "jwt_malformed");
  TestExchange empty(clock_, &states_);
  EXPECT_EQ(Send(*policy, empty, "")->reason, "jwt_malformed");
}

TEST_F(JwtTest, ClaimsGoToHeadersAndNothingElseDoes) {
  const auto policy = Build(
      Provider("main", Ec().jwks(),
               ", forward: true, claims_to_headers: [{claim: sub, header: x-user}, {claim: realm.tenant, header: "
               "x-tenant}, {claim: roles, header: x-roles}, {claim: age, header: x-age}, {claim: admin, header: "
               "x-admin}, {claim: evil, header: x-evil}, {claim: mixed, header: x-mixed}, {claim: none, header: x-none}]") +
      Route());
  ASSERT_NE(policy, nullptr);
  const std::vector<const char*> names = {"x-user", "x-tenant", "x-roles", "x-age", "x-admin", "x-evil", "x-mixed", "x-none"};
  TestExchange exchange(clock_, &states_);
  for (const char* name : names) exchange.request.headers.Add(name, "spoofed");
  exchange.request.headers.Add("X-User", "spoofed again");
  const std::string token = Ec().Sign(Claims(
      R"(,"realm":{"tenant":"acme"},"roles":["a","b"],"age":42,"admin":true,"evil":"x\r\ny: z","mixed":["a",1],"none":null)"));
  EXPECT_FALSE(Send(*policy, exchange, token).has_value());
  EXPECT_EQ(exchange.RequestHeader("x-user"), "alice");
  EXPECT_EQ(exchange.request.headers.Remove("x-user"), 1u);
  EXPECT_EQ(exchange.RequestHeader("x-tenant"), "acme");
  EXPECT_EQ(exchange.RequestHeader("x-roles"), "a,b");
  EXPECT_EQ(exchange.RequestHeader("x-age"), "42");
  EXPECT_EQ(exchange.RequestHeader("x-admin"), "true");
  for (const char* name : {"x-evil", "x-mixed", "x-none"}) EXPECT_EQ(exchange.RequestHeader(name), "(none)") << name;
  EXPECT_EQ(exchange.RequestHeader("authorization"), "Bearer " + token) << "forward keeps it";
  // Without a token they are removed as well.
  TestExchange anonymous(clock_, &states_);
  for (const char* name : names) anonymous.request.headers.Add(name, "spoofed");
  EXPECT_FALSE(anonymous.Request(*policy).has_value());
  for (const char* name : names) EXPECT_EQ(anonymous.RequestHeader(name), "(none)") << name;
  // To services behind CGI these are the same.
  TestExchange lookalike(clock_, &states_);
  lookalike.request.headers.Add("X_User", "spoofed");
  EXPECT_FALSE(lookalike.Request(*policy).has_value());
  EXPECT_EQ(lookalike.RequestHeader("x_user"), "(none)");
}

TEST_F(JwtTest, ConsumerAndPlan) {
  const std::string consumers =
      "{kind: Consumer, name: team-a, spec: {plan: gold}}\n---\n{kind: Plan, name: gold, spec: {}}\n---\n";
  const auto policy =
      Build(consumers + Provider("main", Ec().jwks(), ", consumer_claim: org.team") + Route());
  TestExchange exchange(clock_, &states_);
  EXPECT_FALSE(Send(*policy, exchange, Ec().Sign(Claims(R"(,"org":{"team":"team-a"})"))).has_value());
  EXPECT_EQ(exchange.context.identity.consumer, "team-a");
  EXPECT_EQ(exchange.context.identity.plan, "gold");
  TestExchange other(clock_, &states_);
  EXPECT_FALSE(Send(*policy, other, Ec().Sign(Claims(R"(,"org":{"team":"team-b"})"))).has_value());
  EXPECT_EQ(other.context.identity.consumer, "team-b");
  EXPECT_EQ(other.context.identity.plan, "");
}

TEST_F(JwtTest, SeveralProvidersAreToldApartByIssuer) {
  const TokenSigner other("ES256", "o1");
  const auto policy = Build(Provider("main", Ec().jwks()) + Provider("second", other.jwks(), "", "https://second") +
                            Route("{jwt: {provider: main}}, {jwt: {provider: second}}"));
  ASSERT_NE(policy, nullptr);
  const std::string second = R"({"iss":"https://second","aud":"api","exp":1767225700})";
  EXPECT_EQ(Reason(*policy, Ec().Sign(Claims())), "ok");
  const std::string token = other.Sign(second);
  EXPECT_EQ(Reason(*policy, token), "ok");
  EXPECT_EQ(Reason(*policy, token), "ok");
  EXPECT_EQ(cache().entries(), 2u);
  EXPECT_EQ(Reason(*policy, Ec().Sign(second)), "jwt_unknown_kid") << "the keys of one issuer prove nothing of another";
  EXPECT_EQ(Reason(*policy, other.Sign(R"({"iss":"https://third","aud":"api","exp":1767225700})")), "jwt_issuer");
}

TEST_F(JwtTest, CacheHitsExpireAndFollowTheKeys) {
  const auto policy = Build(Provider("main", Ec().jwks()) + Route());
  const std::string token = Ec().Sign(Claims());
  EXPECT_EQ(Reason(*policy, token), "ok");
  EXPECT_EQ(cache().hits(), 0u);
  EXPECT_EQ(Reason(*policy, token), "ok");
  EXPECT_EQ(cache().hits(), 1u);
  EXPECT_EQ(metrics_.jwt_cache_hits_total.value(), 1u);
  EXPECT_EQ(metrics_.jwt_cache_misses_total.value(), 1u);
  // The same keys in another revision: still hot.
  const auto relabelled = Build(Provider("main", Ec().jwks(), ", claims_to_headers: [{claim: sub, header: x-user}]") + Route());
  EXPECT_NE(relabelled, policy);
  EXPECT_EQ(Reason(*relabelled, token), "ok");
  EXPECT_EQ(cache().hits(), 2u);
  // Without the key it is no good any more.
  const TokenSigner replacement("ES256", "e2");
  const auto rotated = Build(Provider("main", replacement.jwks()) + Route());
  EXPECT_EQ(Reason(*rotated, token), "jwt_unknown_kid");
  EXPECT_EQ(Reason(*policy, token), "ok") << "an exchange of the old revision";
  // Time passes.
  clock_.Advance(360 * base::kNanosPerSecond);
  EXPECT_EQ(Reason(*policy, token), "jwt_expired");
  EXPECT_EQ(cache().entries(), 0u);
}

TEST_F(JwtTest, ClaimsOutliveTheCacheEntry) {
  const auto policy = Build(Provider("main", Ec().jwks()) + Route());
  const std::string token = Ec().Sign(Claims());
  EXPECT_EQ(Reason(*policy, token), "ok");
  TestExchange exchange(clock_, &states_);
  EXPECT_FALSE(Send(*policy, exchange, token).has_value());
  states_ = {};
  EXPECT_EQ(exchange.context.identity.consumer, "alice");
  EXPECT_EQ(exchange.context.identity.claims->Find("sub"), "alice");
  EXPECT_EQ(exchange.context.identity.claims->Find("nope"), std::nullopt);
}

TEST_F(JwtTest, BuilderErrorsAndSharing) {
  const api::ResourceSet set = ParseSet(Provider("main", Ec().jwks()) + Route());
  const auto policy = BuildPolicy(builder_, set, "users");
  const api::StoredResource& route = *set.at({"Route", "users"});
  EXPECT_EQ(BuildPolicy(builder_, set, "users"), policy);
  EXPECT_FALSE(builder_.Affected(route));
  ASSERT_TRUE(builder_.BeginSnapshot(ParseSet(Provider("main", Rsa().jwks()) + Route())).ok());
  EXPECT_TRUE(builder_.Affected(route));
  ASSERT_TRUE(builder_.BeginSnapshot(ParseSet(Route())).ok());
  EXPECT_THAT(std::string(builder_.Build(route).status().message()), HasSubstr("\"main\" is no JwtProvider"));
  const absl::Status broken = builder_.BeginSnapshot(ParseSet(Provider("main", "{\"keys\":[{}]}") + Route()));
  EXPECT_THAT(std::string(broken.message()), HasSubstr("JwtProvider/main spec.jwks"));
}

}  // namespace
}  // namespace portico::filters
