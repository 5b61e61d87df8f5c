#include "api/validation/validate.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "api/resource/jwks.h"
#include "api/resource/resource.h"
#include "api/resource/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace portico::api {
namespace {

using ::testing::HasSubstr;

ResourceSet Set(const std::string& yaml) {
  absl::StatusOr<std::vector<v1::Resource>> resources = ParseResources(yaml, "test.yaml");
  EXPECT_TRUE(resources.ok()) << resources.status() << "\n" << yaml;
  ResourceSet set;
  if (!resources.ok()) return set;
  for (v1::Resource& resource : *resources) {
    StoredResourcePtr stored = MakeStored(std::move(resource));
    set[KeyOf(stored->resource)] = stored;
  }
  return set;
}

std::string Violations(const std::string& yaml) {
  std::vector<std::string> lines;
  for (const v1::Violation& violation : Validate(Set(yaml))) lines.push_back(ToString(violation));
  return absl::StrJoin(lines, "\n");
}

std::string Oct(size_t bytes) {
  return absl::StrCat(R"({"keys":[{"kty":"oct","k":")", EncodeBase64Url(std::string(bytes, 'k')),
                      R"("}]})");
}

// What the cases below refer to.
constexpr char kBase[] = R"(
- {kind: Upstream, name: users, spec: {endpoints: [{address: "10.0.0.1:80"}]}}
- {kind: Listener, name: http, spec: {address: "0.0.0.0:8080"}}
- {kind: AccessLog, name: main, spec: {path: stdout}}
- {kind: RateLimitPolicy, name: limit, spec: {rate: {requests: 1, per: 1s}, key: [{consumer: {}}]}}
- {kind: HeaderTransform, name: common, spec: {response: {set: [{name: x-a, value: b}]}}}
- {kind: Plan, name: gold}
)";

std::string RouteWith(const std::string& match, const std::string& rest) {
  return absl::StrCat(kBase, "- {kind: Route, name: r, spec: {match: {", match, "}, ", rest,
                      "}}\n");
}
const std::string kUsers = "upstreams: [{name: users}]";
const std::string kPath = "path: {prefix: /x}";

struct Case {
  std::string yaml;
  // Each a part of the violations; empty means accepted.
  std::vector<std::string> expected;
};

void ExpectAll(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    const std::string violations = Violations(c.yaml);
    if (c.expected.empty()) {
      EXPECT_EQ(violations, "") << c.yaml;
    }
    for (const std::string& part : c.expected) EXPECT_THAT(violations, HasSubstr(part)) << c.yaml;
    const size_t lines =
        violations.empty() ? 0 : std::count(violations.begin(), violations.end(), '\n') + 1;
    EXPECT_EQ(lines, c.expected.size()) << violations << "\n" << c.yaml;
  }
}

TEST(Validate, AcceptsNothingAndTheBase) {
  EXPECT_TRUE(Validate({}).empty());
  ExpectAll({{kBase, {}}});
}

TEST(Validate, Common) {
  ExpectAll({
      {"{kind: Consumer, name: Acme}",
       {"Consumer/Acme name: \"Acme\": is not a valid name -- use 1 to 128 of a-z"}},
      {"{kind: Consumer, name: -a}", {"name: \"-a\""}},
      {"{kind: Consumer, name: \"a b\"}", {"name: \"a b\""}},
      {absl::StrCat("{kind: Consumer, name: ", std::string(128, 'a'), "}"), {}},
      {absl::StrCat("{kind: Consumer, name: ", std::string(129, 'a'), "}"), {"..."}},
      {absl::StrCat("{kind: Consumer, name: a, description: ", std::string(1025, 'x'), "}"),
       {"description: \"1025 bytes\""}},
      {"{kind: Consumer, name: a, labels: {\"\": x}}", {"labels: is not a valid label name"}},
  });
}

TEST(Validate, ResourceWithoutSpec) {
  v1::Resource resource;
  resource.set_name("x");
  ResourceSet set;
  set[{"", "x"}] = MakeStored(resource);
  const auto violations = Validate(set);
  ASSERT_EQ(violations.size(), 1u);
  EXPECT_EQ(violations[0].field(), "kind");
}

TEST(Validate, Listener) {
  const auto listener = [](const std::string& spec) {
    return absl::StrCat(kBase, "- {kind: Listener, name: l, spec: {", spec, "}}");
  };
  ExpectAll({
      {listener("address: \"[::]:8443\", access_log: main, trusted_hops: [10.0.0.0/8]"), {}},
      {listener("address: \"127.0.0.1:0\""), {}},
      {listener(""), {"Listener/l spec.address: is required and not set"}},
      {listener("address: localhost:80"),
       {"spec.address: \"localhost:80\": does not start with an IP address"}},
      {listener("address: \"0.0.0.0:8080\""),
       {"Listener/l spec.address: \"0.0.0.0:8080\": is also the address of Listener/http"}},
      {listener("address: \"1.1.1.1:1\", access_log: man"),
       {"spec.access_log: \"man\": there is no AccessLog of this name -- did you mean \"main\"? "
        "Else"}},
      {listener("address: \"1.1.1.1:1\", trusted_hops: [10.0.0.1/8, x, 10.0.0.0/8, 10.0.0.0/8]"),
       {"spec.trusted_hops[0]: \"10.0.0.1/8\": has bits set after its prefix -- write "
        "\"10.0.0.0/8\"",
        "spec.trusted_hops[1]: \"x\"", "spec.trusted_hops[3]: \"10.0.0.0/8\": is there already"}},
      {listener("address: \"1.1.1.1:1\", limits: {max_header_bytes: 1023, max_header_count: 1001, "
                "header_timeout: 0s, idle_timeout: 25h, stream_idle_timeout: 1ms}"),
       {"spec.limits.header_timeout: \"0s\": is too short -- use 1ms to 24h",
        "spec.limits.idle_timeout: \"25h\": is too long",
        "spec.limits.max_header_bytes: \"1023\": is too small -- use 1024 to 1048576",
        "spec.limits.max_header_count: \"1001\""}},
      {listener("address: \"1.1.1.1:1\", https_redirect: {port: 65536}"),
       {"spec.https_redirect.port: \"65536\": is too large -- use 1 to 65535"}},
  });
}

TEST(Validate, Upstream) {
  const auto upstream = [](const std::string& spec) {
    return absl::StrCat("{kind: Upstream, name: u, spec: {", spec, "}}");
  };
  const std::string one = "endpoints: [{address: \"10.0.0.1:80\"}]";
  ExpectAll({
      {upstream(""), {"Upstream/u spec.endpoints: is required and not set"}},
      {upstream("endpoints: [{}, {address: \"users:80\"}, {address: \"10.0.0.1:0\"}, {address: "
                "\"0.0.0.0:80\"}, {address: \"10.0.0.1:80\", weight: 1001}, {address: "
                "\"10.0.0.1:80\"}]"),
       {"spec.endpoints[0].address: is required", "spec.endpoints[1].address: \"users:80\"",
        "spec.endpoints[2].address: \"10.0.0.1:0\": has port 0",
        "spec.endpoints[3].address: \"0.0.0.0:80\": is the unspecified",
        "spec.endpoints[4].weight: \"1001\": is too large -- use 1 to 1000",
        "spec.endpoints[5].address: \"10.0.0.1:80\": is there already"}},
      {upstream(one + ", connect_timeout: 61s"),
       {"spec.connect_timeout: \"61s\": is too long -- use 1ms to 1m"}},
      {upstream(one + ", connect_timeout: 0s"), {"spec.connect_timeout: \"0s\": is too short"}},
      {upstream(one + ", outlier_detection: {max_ejection_percent: 101, base_ejection_time: 301s}"),
       {"spec.outlier_detection.base_ejection_time",
        "spec.outlier_detection.max_ejection_percent: \"101\""}},
  });
}

TEST(Validate, RouteMatch) {
  ExpectAll({
      {RouteWith(kPath, kUsers), {}},
      {RouteWith(
           "hosts: [A.example, \"*.b.example\"], path: {template: \"/u/{id}\"}, methods: [GET]",
           kUsers),
       {}},
      {RouteWith("", kUsers), {"Route/r spec.match.path: is required"}},
      {RouteWith("path: {exact: x}", kUsers),
       {"spec.match.path.exact: \"x\": does not start with \"/\" -- put one in front"}},
      {RouteWith("path: {exact: \"/u/{id}\"}", kUsers), {"use match.path.template"}},
      {RouteWith("path: {prefix: /x/}", kUsers),
       {"spec.match.path.prefix: \"/x/\": ends with \"/\", but a prefix counts whole segments "
        "anyway -- write \"/x\""}},
      {RouteWith("path: {template: /x}", kUsers), {"has no variable -- use match.path.exact"}},
      {RouteWith("path: {regex: \"(\"}", kUsers), {"spec.match.path.regex: \"(\": missing )"}},
      {RouteWith("path: {regex: \"\"}", kUsers), {"spec.match.path.regex: is required"}},
      {RouteWith("path: {regex: \"(a{100}){10}b{1000}(x{1000}){3}y*\"}", kUsers),
       {"spec.match.path.regex"}},
      {RouteWith("path: {regex: \"/(((((((a|b){5}){5}){5}){5})))\"}", kUsers), {}},
      {RouteWith("hosts: [\"a:80\", \"*\", a.example, A.EXAMPLE], " + kPath, kUsers),
       {"hosts[0]: \"a:80\": holds a port", "hosts[1]: \"*\"",
        "hosts[3]: \"A.EXAMPLE\": is there already"}},
      {RouteWith("methods: [get, \"G T\", GET, GET], " + kPath, kUsers),
       {"methods[0]: \"get\": is not in upper case", "methods[1]: \"G T\": is not a method",
        "methods[3]: \"GET\": is there already"}},
      {RouteWith("headers: [{name: \"a b\", present: true}, {name: x}, {name: host, exact: a}, "
                 "{name: y, exact: \" a\"}, {name: z, regex: \"[\"}], " +
                     kPath,
                 kUsers),
       {"headers[0].name: \"a b\"", "headers[1]: \"x\": has no condition",
        "headers[2].name: \"host\"", "headers[3].exact", "headers[4].regex"}},
      {RouteWith("headers: [{name: x, exact: a}, {name: X, exact: b}, {name: x, present: false}, "
                 "{name: x, exact: a}], " +
                     kPath,
                 kUsers),
       {"headers[1]: \"b\": cannot equal two values at once",
        "headers[2]: \"x\": is required to be absent", "headers[3]: \"x\": is there already"}},
      {RouteWith(
           "query: [{name: \"\", present: true}, {name: q}, {name: q, regex: \"*\"}], " + kPath,
           kUsers),
       {"query[0].name", "query[1]: \"q\": has no condition", "query[2].regex"}},
      {RouteWith("listeners: [htp], " + kPath, kUsers),
       {"spec.match.listeners[0]: \"htp\": there is no Listener of this name -- did you mean "
        "\"http\"?"}},
  });
}

TEST(Validate, RouteActions) {
  ExpectAll({
      {RouteWith(kPath, "respond: {status: 200, body: ok}"), {}},
      {RouteWith(kPath, "timeout: 1s"),
       {"spec.upstreams: is required and not set -- name an Upstream, or set respond"}},
      {RouteWith(kPath, kUsers + ", respond: {status: 200}"),
       {"spec.respond: stands beside upstreams"}},
      {RouteWith(kPath, "respond: {status: 99}"),
       {"spec.respond.status: \"99\": is too small -- use 200 to 599"}},
      {RouteWith(kPath, "respond: {status: 204, body: x}"),
       {"spec.respond.body: \"x\": cannot be sent with status 204"}},
      {RouteWith(kPath,
                 "respond: {status: 200, content_type: \"a\\nb\"}, retry: {attempts: 2}, rewrite: "
                 "{host: a}"),
       {"spec.respond.content_type", "spec.retry: has no effect", "spec.rewrite: has no effect"}},
      {RouteWith(kPath,
                 "upstreams: [{name: user}, {name: \"\"}, {name: users, weight: 1000001}, {name: "
                 "users}]"),
       {"spec.upstreams[0].name: \"user\": there is no Upstream of this name -- did you mean "
        "\"users\"? Else correct the name, or create the Upstream in the same apply",
        "spec.upstreams[1].name: is required", "spec.upstreams[2].weight",
        "spec.upstreams[3].name: \"users\": is there already"}},
      {RouteWith("path: {exact: /x}", kUsers + ", rewrite: {prefix: /y}"),
       {"spec.rewrite.prefix: \"/y\": replaces a matched prefix, but match.path has none"}},
      {RouteWith(kPath, kUsers + ", rewrite: {prefix: /, host: \"users.internal:8080\"}"), {}},
      {RouteWith(kPath, kUsers + ", rewrite: {}"), {"spec.rewrite: changes nothing"}},
      {RouteWith(kPath, kUsers + ", rewrite: {prefix: y/, host: \"*.a\"}"),
       {"spec.rewrite.host: \"*.a\": is a wildcard", "spec.rewrite.prefix: \"y/\""}},
      {RouteWith(kPath, kUsers + ", rewrite: {host: \"a:x\"}"),
       {"spec.rewrite.host: \"a:x\": has a port"}},
      {RouteWith(kPath, kUsers + ", timeout: 0s"), {"spec.timeout: \"0s\": is too short"}},
      {RouteWith(kPath, kUsers + ", retry: {attempts: 6}"),
       {"spec.retry.attempts: \"6\": is too large -- use 1 to 5"}},
      {RouteWith(kPath, kUsers + ", rate_limits: [limit, limit, none], header_transforms: [comon]"),
       {"spec.rate_limits[1]: \"limit\": is there already",
        "spec.rate_limits[2]: \"none\": there is no RateLimitPolicy",
        "spec.header_transforms[0]: \"comon\": there is no HeaderTransform of this name -- did you "
        "mean \"common\"?"}},
      {RouteWith(kPath, kUsers + ", authentication: {}"),
       {"spec.authentication.any_of: is required"}},
      {RouteWith(kPath, kUsers + ", authentication: {any_of: [{}, {jwt: {}}, {jwt: {provider: p}}, "
                                 "{api_key: {}}, {api_key: {header: X-Api-Key}}, {api_key: "
                                 "{header: Authorization}}, {api_key: {header: Host}}]}"),
       {"any_of[0]: names no method", "any_of[1].jwt.provider: is required",
        "any_of[2].jwt.provider: \"p\": there is no JwtProvider",
        "any_of[4].api_key.header: \"x-api-key\": is there already",
        "any_of[5].api_key.header: \"Authorization\": is the field that the JWT",
        "any_of[6].api_key.header: \"host\""}},
  });
}

TEST(Validate, DuplicateAndShadowedRoutes) {
  const auto two = [](const std::string& a, const std::string& b) {
    return absl::StrCat(kBase, "- {kind: Route, name: a, spec: {match: {", a, "}, ", kUsers,
                        "}}\n- {kind: Route, name: b, spec: {match: {", b, "}, ", kUsers, "}}\n");
  };
  const std::string lost = "Route/b spec.match: \"";
  ExpectAll({
      {two("path: {prefix: /x}", "path: {prefix: /x}"),
       {"Route/b spec.match: \"prefix /x\": can never win: every request it takes goes to Route/a, "
        "with the same conditions and an earlier name -- remove one"}},
      {two("path: {prefix: /x}", "path: {exact: /x}"), {}},
      {two("path: {template: \"/u/{id}\"}", "path: {template: \"/u/{name}\"}"), {lost}},
      {two("path: {template: \"/u/{id=**}\"}", "path: {template: \"/u/{name}\"}"), {}},
      {two("hosts: [a.x, b.x], path: {prefix: /}", "hosts: [B.x], path: {prefix: /}"), {lost}},
      {two("hosts: [a.x], path: {prefix: /}", "hosts: [a.x, b.x], path: {prefix: /}"), {}},
      {two("path: {prefix: /}", "hosts: [a.x], path: {prefix: /}"), {}},
      {two("methods: [GET, PUT], path: {prefix: /}", "methods: [PUT], path: {prefix: /}"), {lost}},
      {two("methods: [GET], path: {prefix: /}", "methods: [GET, PUT], path: {prefix: /}"), {}},
      {two("path: {prefix: /}", "methods: [PUT], path: {prefix: /}"), {}},
      {two("path: {prefix: /}", "listeners: [http], path: {prefix: /}"), {lost}},
      {two("listeners: [http], path: {prefix: /}", "path: {prefix: /}"), {}},
      {two("headers: [{name: x, exact: a}, {name: y, present: true}], path: {prefix: /}",
           "headers: [{name: Y, present: true}, {name: X, exact: a}], path: {prefix: /}"),
       {lost}},
      {two("headers: [{name: x, exact: a}], path: {prefix: /}",
           "headers: [{name: x, prefix: a}], path: {prefix: /}"),
       {}},
      {two("query: [{name: x, exact: a}], path: {prefix: /}",
           "query: [{name: x, exact: a}], path: {prefix: /}"),
       {lost}},
      {absl::StrCat(
           two("hosts: [a.x], path: {prefix: /}", "hosts: [b.x], path: {prefix: /}"),
           "- {kind: Route, name: c, spec: {match: {hosts: [b.x, a.x], path: {prefix: /}}, ",
           kUsers, "}}\n"),
       {"Route/c spec.match: \"prefix /\": can never win: every request it takes goes to Route/a, "
        "Route/b"}},
  });
}

TEST(Validate, JwtProvider) {
  const auto provider = [](const std::string& jwks, const std::string& rest) {
    return absl::StrCat("{kind: JwtProvider, name: p, spec: {issuer: i, audiences: [a], jwks: '",
                        jwks, "', ", rest, "}}");
  };
  ExpectAll({
      {provider(Oct(32), "algorithms: [HS256]"), {}},
      {"{kind: JwtProvider, name: p}",
       {"spec.audiences: is required", "spec.issuer: is required", "spec.jwks: is required"}},
      {provider(Oct(32), "forward: true"),
       {"spec.algorithms: does not name HS256, but jwks holds an oct key"}},
      {provider(Oct(32), "algorithms: [HS256, RS256, none, HS256]"),
       {"algorithms[1]: \"RS256\": has no RSA key", "algorithms[2]: \"none\": is not a supported",
        "algorithms[3]: \"HS256\": is there already"}},
      {provider(Oct(5), "algorithms: [HS256]"),
       {"spec.jwks.keys[0].k: \"5 bytes\": an oct key must have 32 to 1024 bytes"}},
      {provider("{", ""), {"spec.jwks: is not JSON"}},
      {provider("(redacted)", ""), {"spec.jwks: is what dumps show in place of a secret"}},
      {provider(Oct(32), "algorithms: [HS256], clock_skew: 601s"),
       {"spec.clock_skew: \"601s\": is too long -- use 0s to 10m"}},
      {provider(Oct(32),
                "algorithms: [HS256], claims_to_headers: [{claim: sub, header: x-u}, {claim: \"\", "
                "header: X-U}, {claim: a, header: host}, {claim: a, header: x-u}, {claim: a, "
                "header: authorization}]"),
       {"[1].claim: is required", "[1].header: \"X-U\": is not in lower case",
        "[2].header: \"host\"", "[3].header: \"x-u\": is there already",
        "[4].header: \"authorization\""}},
  });
  // Secrets never stand in a violation.
  EXPECT_THAT(Violations(provider(R"({"keys":[{"kty":"oct","k":"aHVudGVyMg"}]})", "")),
              ::testing::Not(HasSubstr("aHVudGVyMg")));
}

TEST(Validate, ConsumerAndPlan) {
  const std::string hash(64, 'a');
  ExpectAll({
      {absl::StrCat("{kind: Consumer, name: c, spec: {api_keys: [{sha256: ", hash, "}]}}"), {}},
      {absl::StrCat("[{kind: Consumer, name: c, spec: {api_keys: [{sha256: ", hash,
                    "}, {sha256: ", hash,
                    "}]}}, {kind: Consumer, name: d, spec: {api_keys: [{sha256: ", hash, "}]}}]"),
       {"Consumer/c spec.api_keys[1].sha256: \"" + hash +
            "\": is also spec.api_keys[0].sha256 of Consumer/c",
        "Consumer/d spec.api_keys[0].sha256: \"" + hash +
            "\": is also spec.api_keys[0].sha256 of Consumer/c"}},
      {"{kind: Consumer, name: c, spec: {api_keys: [{sha256: my-secret-key}, {}], plan: gold}}",
       {"api_keys[0].sha256: \"(redacted)\": is not a SHA-256", "api_keys[1].sha256: is required",
        "spec.plan: \"gold\": there is no Plan"}},
      {absl::StrCat(kBase,
                    "- {kind: Plan, name: p, spec: {rate_limits: [{policy: limit, rate: {requests: "
                    "1, per: 1s}}, {policy: limit, rate: {}}, {policy: lmit}]}}"),
       {"rate_limits[1].policy: \"limit\": is there already",
        "rate_limits[1].rate.requests: \"0\": is too small", "rate_limits[1].rate.per: is required",
        "rate_limits[2].policy: \"lmit\": there is no RateLimitPolicy of this name -- did you mean "
        "\"limit\"?",
        "rate_limits[2].rate: is required"}},
  });
}

TEST(Validate, RateLimitPolicy) {
  const auto policy = [](const std::string& spec) {
    return absl::StrCat("{kind: RateLimitPolicy, name: p, spec: {", spec, "}}");
  };
  ExpectAll({
      {policy(""), {"spec.key: is required", "spec.rate: is required"}},
      {policy("rate: {requests: 1000000001, per: 25h, burst: 1000000001}, key: [{}, {header: \"a "
              "b\"}, {claim: \"\"}, {route: {}}, {route: {}}, {header: host}, {header: Host}]"),
       {"spec.key[0]: names nothing", "spec.key[1].header: \"a b\"",
        "spec.key[2].claim: is required", "spec.key[4]: is there already",
        "spec.key[6].header: \"Host\": is there already", "spec.rate.burst",
        "spec.rate.per: \"25h\"", "spec.rate.requests"}},
  });
}

TEST(Validate, HeaderTransform) {
  const auto transform = [](const std::string& spec) {
    return absl::StrCat("{kind: HeaderTransform, name: t, spec: {", spec, "}}");
  };
  ExpectAll({
      {transform("request: {set: [{name: x-a, value: \"${client.address}\"}], add: [{name: x-a, "
                 "value: $$5}], remove: [x-b]}"),
       {}},
      {transform("response: {set: [{name: x-request-id, value: \"${request.id}\"}]}"), {}},
      {transform("request: {set: [{name: x-a, value: \"${client.adress}\"}]}"),
       {"spec.request.set[0].value: \"${client.adress}\": has the unknown variable "
        "\"${client.adress}\" -- did you mean \"${client.address}\"? known are"}},
      {transform("request: {set: [{name: x-a, value: a}, {name: X-A, value: b}, {name: "
                 "x-request-id, value: c}], add: [{value: a}, {name: content-length, value: "
                 "\"1\"}], remove: [x-A, x-b, X-B, \"a:b\", connection]}"),
       {"set[1].name: \"X-A\": is there already",
        "set[2].name: \"x-request-id\": is a request field that Portico sets itself",
        "add[0].name: is required", "add[1].name: \"content-length\"",
        "remove[0]: \"x-A\": is removed here and set by set[0]",
        "remove[2]: \"X-B\": is there already", "remove[3]: \"a:b\"", "remove[4]: \"connection\""}},
      {transform("response: {set: [{name: x-a, value: \"a\\r\\nx-b: c\"}, {name: x-b, value: "
                 "\"a\\0b\"}, {name: x-c, value: \" a\"}]}"),
       {"set[0].value: \"a\\x0d\\x0ax-b: c\"", "set[1].value: \"a\\x00b\"", "set[2].value"}},
  });
}

TEST(Validate, AccessLog) {
  const auto log = [](const std::string& spec) {
    return absl::StrCat(kBase, "- {kind: AccessLog, name: l, spec: {", spec, "}}\n");
  };
  const std::string route =
      "- {kind: Route, name: r, spec: {match: {path: {prefix: /}}, upstreams: [{name: users}], "
      "authentication: {any_of: [{api_key: {header: X-Key}}]}}}\n";
  ExpectAll({
      {log("path: /var/log/portico/access.log, request_headers: [user-agent, x-key]"), {}},
      {log(""), {"spec.path: is required"}},
      {log("path: access.log"), {"spec.path: \"access.log\": is not the absolute path of a file"}},
      {log("path: /var/../etc/passwd"), {"holds \"..\""}},
      {log("path: /var/log/"), {"spec.path"}},
      {log("path: stdout, request_headers: [Authorization, cookie, x-api-key, a, A, \"a b\"], "
           "response_headers: [set-cookie]"),
       {"request_headers[0]: \"Authorization\": carries credentials", "request_headers[1]",
        "request_headers[2]", "request_headers[4]: \"A\": is there already",
        "request_headers[5]: \"a b\"", "response_headers[0]: \"set-cookie\""}},
      {log("path: stdout, request_headers: [x-key]") + route,
       {"AccessLog/l spec.request_headers[0]: \"x-key\": carries API keys (Route/r), which are "
        "never logged"}},
  });
}

TEST(Validate, OrderAndShorteningAreStable) {
  v1::Resource resource;
  resource.set_name("x");
  std::string umlauts;
  for (int i = 0; i < 100; ++i) umlauts += "\xc3\xbc";
  resource.mutable_upstream()->add_endpoints()->set_address(umlauts);
  resource.mutable_upstream()->mutable_connect_timeout()->set_nanos(-2000000000);
  resource.mutable_upstream()->set_load_balancer(static_cast<v1::LoadBalancer>(77));
  ResourceSet set;
  set[{"Upstream", "x"}] = MakeStored(resource);
  const std::vector<v1::Violation> violations = Validate(set);
  ASSERT_EQ(violations.size(), 3u);
  EXPECT_EQ(violations[0].field(), "spec.connect_timeout");
  EXPECT_EQ(violations[1].field(), "spec.endpoints[0].address");
  EXPECT_LE(violations[1].value().size(), 128u);
  EXPECT_EQ(violations[1].value().substr(violations[1].value().size() - 5), "\xc3\xbc...");
  EXPECT_EQ(violations[2].field(), "spec.load_balancer");
  EXPECT_TRUE(violations[1].SerializeAsString().size() > 0);
}

TEST(Validate, SettingsThatThisVersionDoesNotKnowAreRefused) {
  ResourceSet set = Set(RouteWith(kPath, kUsers + ", authentication: {any_of: [{api_key: {}}]}"));
  const auto with_unknown = [&](auto place) {
    v1::Resource resource = set.at({"Route", "r"})->resource;
    google::protobuf::Message& message = place(resource);
    message.GetReflection()->MutableUnknownFields(&message)->AddVarint(99, 1);
    ResourceSet changed = set;
    changed[{"Route", "r"}] = MakeStored(resource);
    std::vector<std::string> lines;
    for (const v1::Violation& violation : Validate(changed)) lines.push_back(ToString(violation));
    return absl::StrJoin(lines, "\n");
  };
  using Message = google::protobuf::Message;
  EXPECT_EQ(Violations(RouteWith(kPath, kUsers)), "");
  EXPECT_THAT(with_unknown([](v1::Resource& r) -> Message& { return r; }),
              HasSubstr("Route/r: \"field number 99\": is a setting that this version"));
  EXPECT_THAT(with_unknown([](v1::Resource& r) -> Message& { return *r.mutable_route(); }),
              HasSubstr("Route/r spec: \"field number 99\""));
  EXPECT_THAT(with_unknown([](v1::Resource& r) -> Message& {
                return *r.mutable_route()->mutable_authentication()->mutable_any_of(0);
              }),
              HasSubstr("Route/r spec.authentication.any_of[0]: \"field number 99\""));
}

}  // namespace
}  // namespace portico::api
