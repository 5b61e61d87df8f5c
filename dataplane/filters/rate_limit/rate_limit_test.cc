#include <string>
#include <vector>

#include "dataplane/filters/filter_fixture.h"
#include "dataplane/filters/rate_limit/rate_limit_builder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace portico::filters {
namespace {

using testing::HasSubstr;

std::string Policy(const std::string& name, const std::string& rate, const std::string& key = "{client_address: {}}") {
  return "{kind: RateLimitPolicy, name: " + name + ", spec: {rate: {" + rate + "}, key: [" + key + "]}}\n---\n";
}

std::string Route(const std::string& limits) {
  return "{kind: Route, name: users, spec: {match: {path: {prefix: /}}, respond: {status: 200}, rate_limits: [" +
         limits + "]}}\n";
}

struct OneClaim final : snapshot::ClaimSource {
  std::string value;
  std::optional<std::string_view> Find(std::string_view claim) const override {
    if (claim != "org") return std::nullopt;
    return value;
  }
};

class RateLimitTest : public testing::Test {
 protected:
  std::shared_ptr<const snapshot::Policy> Build(const std::string& config) {
    return BuildPolicy(builder_, ParseSet(config), "users");
  }
  // How many of `count` requests are admitted now; `edit` prepares each.
  template <typename Edit>
  int Admitted(const snapshot::Policy& policy, int count, Edit edit) {
    int admitted = 0;
    for (int i = 0; i < count; ++i) {
      TestExchange exchange(clock_);
      edit(exchange);
      admitted += !exchange.Request(policy).has_value();
    }
    return admitted;
  }
  int Admitted(const snapshot::Policy& policy, int count) {
    return Admitted(policy, count, [](TestExchange&) {});
  }
  static void From(TestExchange& exchange, const char* address) {
    exchange.context.client = *net::IpAddress::Parse(address);
  }

  base::FakeClock clock_;
  std::shared_ptr<CellTable> table_ = std::make_shared<CellTable>(1024);
  RateLimitBuilder builder_{table_};
};

TEST_F(RateLimitTest, AdmitsTheBurstThenTheRate) {
  const auto policy = Build(Policy("per-client", "requests: 10, per: 10s, burst: 3") + Route("per-client"));
  EXPECT_EQ(Admitted(*policy, 20), 3);
  clock_.Advance(base::kNanosPerSecond - 1);
  EXPECT_EQ(Admitted(*policy, 20), 0);
  clock_.Advance(1);
  EXPECT_EQ(Admitted(*policy, 20), 1);
  clock_.Advance(100 * base::kNanosPerSecond);
  EXPECT_EQ(Admitted(*policy, 20), 3);
}

TEST_F(RateLimitTest, FieldsOfAdmittedAndRefused) {
  const auto policy = Build(Policy("per-client", "requests: 2, per: 60s") + Route("per-client"));
  struct Case {
    const char* state;
    bool admitted;
  };
  for (const Case& c : {Case{"\"per-client\";r=1;t=30", true}, Case{"\"per-client\";r=0;t=60", true},
                        Case{"\"per-client\";r=0;t=60", false}}) {
    TestExchange exchange(clock_);
    const auto reply = exchange.Request(*policy);
    EXPECT_EQ(exchange.ResponseHeader("ratelimit-policy"), "\"per-client\";q=2;w=60");
    EXPECT_EQ(exchange.ResponseHeader("ratelimit"), c.state);
    ASSERT_EQ(!reply.has_value(), c.admitted);
    EXPECT_EQ(exchange.ResponseHeader("retry-after"), c.admitted ? "(none)" : "30");
    if (c.admitted) continue;
    EXPECT_EQ(reply->status, 429);
    EXPECT_EQ(reply->reason, "rate_limited");
    EXPECT_EQ(reply->message, "the limit of per-client is used up; try again in 30 s");
  }
}

TEST_F(RateLimitTest, RetryAfterIsAtLeastOneAndRoundedUp) {
  const auto policy = Build(Policy("fast", "requests: 10, per: 100ms, burst: 1") + Route("fast"));
  EXPECT_EQ(Admitted(*policy, 1), 1);
  TestExchange exchange(clock_);
  EXPECT_TRUE(exchange.Request(*policy).has_value());
  EXPECT_EQ(exchange.ResponseHeader("retry-after"), "1");
  EXPECT_EQ(exchange.ResponseHeader("ratelimit-policy"), "\"fast\";q=100;w=1") << "whole seconds are announced";
}

TEST_F(RateLimitTest, KeyParts) {
  const auto add = [](const char* name, const char* value) {
    return [=](TestExchange& exchange) { exchange.request.headers.Add(name, value); };
  };
  {
    const auto policy = Build(Policy("a", "requests: 1, per: 60s") + Route("a"));
    EXPECT_EQ(Admitted(*policy, 2, [](TestExchange& e) { From(e, "192.0.2.7"); }), 1);
    EXPECT_EQ(Admitted(*policy, 2, [](TestExchange& e) { From(e, "192.0.2.8"); }), 1);
    EXPECT_EQ(Admitted(*policy, 2, [](TestExchange& e) { From(e, "2001:db8:0:1::1"); }), 1);
    EXPECT_EQ(Admitted(*policy, 2, [](TestExchange& e) { From(e, "2001:db8:0:1:ffff::2"); }), 0) << "one /64";
    EXPECT_EQ(Admitted(*policy, 2, [](TestExchange& e) { From(e, "2001:db8:0:2::1"); }), 1);
  }
  {
    const auto policy = Build(Policy("c", "requests: 1, per: 60s", "{consumer: {}}") + Route("c"));
    const auto as = [](const char* name) { return [=](TestExchange& e) { e.context.identity.consumer = name; }; };
    EXPECT_EQ(Admitted(*policy, 2, as("alice")), 1);
    EXPECT_EQ(Admitted(*policy, 2, as("bob")), 1);
    EXPECT_EQ(Admitted(*policy, 2, as("")), 1) << "anonymous by address";
    EXPECT_EQ(Admitted(*policy, 2, [](TestExchange& e) { From(e, "192.0.2.99"); }), 1);
  }
  {
    const auto policy = Build(Policy("h", "requests: 1, per: 60s", "{header: X-Tenant}") + Route("h"));
    EXPECT_EQ(Admitted(*policy, 2, add("x-tenant", "a")), 1);
    EXPECT_EQ(Admitted(*policy, 2, add("x-TENANT", "b")), 1);
    EXPECT_EQ(Admitted(*policy, 2), 1) << "absent is the empty value";
    EXPECT_EQ(Admitted(*policy, 2, add("x-tenant", "")), 0);
  }
  {
    // Around the longest value that stands in the key as it is.
    const auto policy =
        Build(Policy("long", "requests: 1, per: 60s", "{header: X-Tenant}") + Route("long"));
    for (const size_t size : {63u, 64u, 65u, 1000u}) {
      std::string value(size, 'v');
      EXPECT_EQ(Admitted(*policy, 2, add("x-tenant", value.c_str())), 1) << size;
      EXPECT_EQ(Admitted(*policy, 2, add("x-tenant", value.c_str())), 0) << size;
      value.back() = 'w';
      EXPECT_EQ(Admitted(*policy, 2, add("x-tenant", value.c_str())), 1) << size;
    }
  }
  {
    // Where one part ends and the next begins is part of the key.
    const auto policy = Build(
        Policy("two", "requests: 1, per: 60s", "{header: X-A}, {header: X-B}") + Route("two"));
    const auto both = [](const char* a, const char* b) {
      return [=](TestExchange& exchange) {
        exchange.request.headers.Add("x-a", a);
        exchange.request.headers.Add("x-b", b);
      };
    };
    EXPECT_EQ(Admitted(*policy, 2, both("a", "bc")), 1);
    EXPECT_EQ(Admitted(*policy, 2, both("ab", "c")), 1);
    EXPECT_EQ(Admitted(*policy, 2, both("ab", "c")), 0);
  }
  {
    const auto policy = Build(Policy("r", "requests: 1, per: 60s", "{route: {}}") + Route("r"));
    EXPECT_EQ(Admitted(*policy, 2), 1);
    EXPECT_EQ(Admitted(*policy, 2, [](TestExchange& e) { e.route = NamedRoute("orders"); }), 1);
  }
  {
    const auto policy = Build(Policy("l", "requests: 1, per: 60s", "{claim: org}") + Route("l"));
    OneClaim a, b;
    a.value = "a";
    b.value = "b";
    EXPECT_EQ(Admitted(*policy, 2, [&](TestExchange& e) { e.context.identity.claims = &a; }), 1);
    EXPECT_EQ(Admitted(*policy, 2, [&](TestExchange& e) { e.context.identity.claims = &b; }), 1);
    EXPECT_EQ(Admitted(*policy, 2), 1) << "no token";
  }
  {
    const auto policy =
        Build(Policy("t", "requests: 1, per: 60s", "{client_certificate: {}}") + Route("t"));
    net::TlsInfo job, renewed, other, none;
    job.has_peer_certificate = renewed.has_peer_certificate = other.has_peer_certificate = true;
    job.peer_certificate = {"01", "CN=job", {"job.example.com"}, {"spiffe://example.com/job"}};
    renewed.peer_certificate = {"02", "CN=new", {}, {"spiffe://example.com/job"}};
    other.peer_certificate = {"03", "CN=job", {"job.example.com"}, {}};
    const auto with = [](const net::TlsInfo* tls, const char* address = "192.0.2.7") {
      return [=](TestExchange& e) {
        From(e, address);
        e.context.tls = tls;
      };
    };
    EXPECT_EQ(Admitted(*policy, 2, with(&job)), 1);
    EXPECT_EQ(Admitted(*policy, 2, with(&renewed, "192.0.2.8")), 0) << "the same client";
    EXPECT_EQ(Admitted(*policy, 2, with(&other)), 1);
    EXPECT_EQ(Admitted(*policy, 2, with(&none)), 1) << "without a certificate by address";
    EXPECT_EQ(Admitted(*policy, 2, with(nullptr)), 0) << "in cleartext, too";
    EXPECT_EQ(Admitted(*policy, 2, with(nullptr, "192.0.2.8")), 1);
  }
  {
    // Parts do not run into each other.
    const auto policy = Build(Policy("two", "requests: 1, per: 60s", "{header: a}, {header: b}") + Route("two"));
    const auto both = [](const char* a, const char* b) {
      return [=](TestExchange& e) {
        e.request.headers.Add("a", a);
        e.request.headers.Add("b", b);
      };
    };
    EXPECT_EQ(Admitted(*policy, 2, both("x", "yz")), 1);
    EXPECT_EQ(Admitted(*policy, 2, both("xy", "z")), 1);
  }
}

TEST_F(RateLimitTest, AllOrNothing) {
  const auto policy = Build(Policy("wide", "requests: 10, per: 60s") + Policy("narrow", "requests: 2, per: 60s", "{header: t}") +
                            Route("wide, narrow"));
  EXPECT_EQ(Admitted(*policy, 5), 2);
  TestExchange refused(clock_);
  const auto reply = refused.Request(*policy);
  ASSERT_TRUE(reply.has_value());
  EXPECT_THAT(std::string(reply->message), HasSubstr("narrow"));
  EXPECT_EQ(refused.ResponseHeader("ratelimit"), "\"wide\";r=8;t=12, \"narrow\";r=0;t=60")
      << "what narrow refuses costs nothing of wide";
  EXPECT_EQ(refused.ResponseHeader("ratelimit-policy"), "\"wide\";q=10;w=60, \"narrow\";q=2;w=60");
  // Eight are left for another value.
  int admitted = 0;
  for (int i = 0; i < 10; ++i) {
    admitted += Admitted(*policy, 1, [&](TestExchange& e) { e.request.headers.Add("t", e.arena.Copy(std::to_string(i))); });
  }
  EXPECT_EQ(admitted, 8);
}

TEST_F(RateLimitTest, PlansOverride) {
  const std::string plans =
      "{kind: Plan, name: gold, spec: {rate_limits: [{policy: p, rate: {requests: 5, per: 60s}}]}}\n---\n"
      "{kind: Plan, name: other, spec: {}}\n---\n";
  const auto policy = Build(plans + Policy("p", "requests: 2, per: 60s", "{consumer: {}}") + Route("p"));
  const auto as = [](const char* name, const char* plan) {
    return [=](TestExchange& e) {
      e.context.identity.consumer = name;
      e.context.identity.plan = plan;
    };
  };
  EXPECT_EQ(Admitted(*policy, 9, as("a", "gold")), 5);
  EXPECT_EQ(Admitted(*policy, 9, as("b", "other")), 2);
  EXPECT_EQ(Admitted(*policy, 9, as("c", "")), 2);
  TestExchange exchange(clock_);
  as("d", "gold")(exchange);
  EXPECT_FALSE(exchange.Request(*policy).has_value());
  EXPECT_EQ(exchange.ResponseHeader("ratelimit-policy"), "\"p\";q=5;w=60");
}

TEST_F(RateLimitTest, CountersGoOnAcrossRevisions) {
  const auto first = Build(Policy("p", "requests: 4, per: 60s") + Route("p"));
  EXPECT_EQ(Admitted(*first, 9), 4);
  const auto second = Build(Policy("p", "requests: 8, per: 60s") + Route("p"));
  EXPECT_NE(first, second);
  EXPECT_EQ(Admitted(*second, 9), 0) << "what was used up stays used up";
  clock_.Advance(15 * base::kNanosPerSecond);
  EXPECT_EQ(Admitted(*second, 9), 2) << "and comes back at the new rate";
  // From a day to a second: nobody waits for the old day.
  const auto daily = Build(Policy("q", "requests: 1, per: 86400s") + Route("q"));
  EXPECT_EQ(Admitted(*daily, 2), 1);
  const auto quick = Build(Policy("q", "requests: 1, per: 1s") + Route("q"));
  EXPECT_EQ(Admitted(*quick, 2), 0);
  clock_.Advance(base::kNanosPerSecond);
  EXPECT_EQ(Admitted(*quick, 2), 1);
}

TEST_F(RateLimitTest, PoliciesDoNotShareCounters) {
  const auto policy = Build(Policy("p", "requests: 1, per: 60s") + Policy("q", "requests: 1, per: 60s") + Route("p"));
  EXPECT_EQ(Admitted(*policy, 2), 1);
  const auto other = Build(Policy("p", "requests: 1, per: 60s") + Policy("q", "requests: 1, per: 60s") + Route("q"));
  EXPECT_EQ(Admitted(*other, 2), 1);
}

TEST_F(RateLimitTest, ExtremeRates) {
  const auto policy = Build(Policy("huge", "requests: 1000000000, per: 1ms, burst: 1000000000") +
                            Policy("slow", "requests: 1, per: 86400s, burst: 1000000000", "{header: x}") +
                            Route("huge, slow"));
  EXPECT_EQ(Admitted(*policy, 1000), 1000);
}

TEST_F(RateLimitTest, BuilderErrorsAndSharing) {
  const api::ResourceSet set = ParseSet(Policy("p", "requests: 1, per: 60s") + Route("p, p"));
  const auto policy = BuildPolicy(builder_, set, "users");
  const api::StoredResource& route = *set.at({"Route", "users"});
  EXPECT_EQ(BuildPolicy(builder_, set, "users"), policy);
  EXPECT_FALSE(builder_.Affected(route));
  EXPECT_EQ(Admitted(*policy, 2), 1) << "naming a policy twice counts once";
  ASSERT_TRUE(builder_.BeginSnapshot(ParseSet(Policy("p", "requests: 2, per: 60s") + Route("p"))).ok());
  EXPECT_TRUE(builder_.Affected(route));
  ASSERT_TRUE(builder_.BeginSnapshot(ParseSet(Route("p"))).ok());
  EXPECT_THAT(std::string(builder_.Build(route).status().message()), HasSubstr("\"p\" is no RateLimitPolicy"));
  EXPECT_EQ(Build(Route("")), nullptr);
}

}  // namespace
}  // namespace portico::filters
