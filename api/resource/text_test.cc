#include "api/resource/text.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "api/resource/resource.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace portico::api {
namespace {

using ::testing::HasSubstr;

std::vector<v1::Resource> Parse(const std::string& text) {
  absl::StatusOr<std::vector<v1::Resource>> resources = ParseResources(text, "test.yaml");
  EXPECT_TRUE(resources.ok()) << resources.status() << "\n" << text;
  return resources.ok() ? *resources : std::vector<v1::Resource>();
}

std::string ErrorOf(const std::string& text) {
  absl::StatusOr<std::vector<v1::Resource>> resources = ParseResources(text, "test.yaml");
  EXPECT_FALSE(resources.ok()) << text;
  return std::string(resources.status().message());
}

// One resource of every kind that together set every field; also what the round trip is tried on.
constexpr char kEverything[] = R"yaml(
kind: Listener
name: http
labels: {team: edge, "42": "yes", empty: ""}
description: "Front door: \"all\" of it\nand a second line"
spec:
  address: 0.0.0.0:8080
  proxy_protocol: required
  trusted_hops: [10.0.0.0/8, "::1/128"]
  limits:
    max_header_bytes: 8192
    max_header_count: 50
    max_body_bytes: 18446744073709551615
    header_timeout: 100ms
    stream_idle_timeout: 5m
    idle_timeout: 1h
    max_requests_per_connection: 1000
  access_log: main
  tls:
    certificates: [site]
    min_version: 1.3
    client_authentication:
      mode: optional
      ca_bundles: [ca]
      subject_alt_names: [a.example, "spiffe://b/*"]
      fingerprints: ["00"]
    server_names:
    - {names: ["*.c.example"], client_authentication: {mode: required, ca_bundles: [ca]}}
    disable_session_tickets: true
  http2: {disabled: true, max_concurrent_streams: 7, stream_window: 65535, connection_window: 65536}
---
kind: Route
name: users
spec:
  match:
    listeners: [http]
    hosts: [api.example.com, "*.example.com"]
    path: {template: "/users/{id}/{rest=**}"}
    methods: [GET, POST]
    headers:
    - {name: x-a, exact: "42"}
    - {name: x-b, prefix: ""}
    - {name: x-c, regex: "^a\\d+$"}
    - {name: x-d, present: false}
    query:
    - {name: q, exact: "a b"}
    - {name: r, regex: .*}
    - {name: s, present: true}
  upstreams: [{name: users, weight: 3}, {name: canary}]
  rewrite: {prefix: /internal, host: users.internal}
  timeout: 1500ms
  authentication:
    any_of: [{jwt: {provider: main}}, {api_key: {}}, {api_key: {header: x-key}}]
    optional: true
  rate_limits: [per-consumer]
  header_transforms: [common]
  max_body_bytes: 1048576
  retry: {attempts: 3}
---
kind: Route
name: health
spec:
  match: {path: {exact: /healthz}}
  respond: {status: 200, body: "ok\n", content_type: text/plain}
---
kind: Upstream
name: users
spec:
  endpoints: [{address: "10.0.0.1:80", weight: 2}, {address: "[fd00::7]:80"}]
  load_balancer: least_request
  connect_timeout: 250ms
  idle_timeout: 90s
  circuit_breaker: {max_connections: 1, max_pending_requests: 2, max_requests: 3}
  outlier_detection: {disabled: true, consecutive_failures: 4, base_ejection_time: 10s, max_ejection_percent: 50}
  protocol: auto
  tls:
    ca_bundles: [ca]
    server_name: users.example
    subject_alt_names: ["*.example"]
    certificate: site
    min_version: TLS_VERSION_1_2
    insecure_skip_verify: true
---
kind: JwtProvider
name: main
spec:
  issuer: https://issuer.example
  audiences: [api, "true", "null", "~", "-", "0x1f", "1.5", "2030-01-01"]
  jwks: '{"keys": [{"kty": "RSA"}]}'
  algorithms: [RS256]
  clock_skew: 0s
  forward: true
  claims_to_headers: [{claim: sub, header: x-user-id}]
  consumer_claim: sub
---
kind: Consumer
name: acme
spec:
  api_keys:
  - {sha256: "00", label: "it's \"quoted\"", expires_at: "2030-12-31T23:59:59.5Z"}
  plan: gold
---
kind: Plan
name: gold
spec:
  rate_limits: [{policy: per-consumer, rate: {requests: 1000, per: 1m, burst: 5}}]
---
kind: RateLimitPolicy
name: per-consumer
spec:
  rate: {requests: 10, per: 1s}
  key: [{client_address: {}}, {consumer: {}}, {route: {}}, {header: x-tenant}, {claim: tenant}]
---
kind: HeaderTransform
name: common
spec:
  request:
    set: [{name: x-client-address, value: "${client.address}"}]
    add: [{name: x-a, value: " # not a comment: really"}]
    remove: [x-internal]
  response: {set: [{name: x-gateway, value: portico}]}
---
kind: AccessLog
name: main
spec: {path: stdout, request_headers: [user-agent], response_headers: [content-type]}
---
kind: Consumer
name: nobody
---
kind: Certificate
name: site
spec:
  chain: |
    -----BEGIN CERTIFICATE-----
    MIIB
    -----END CERTIFICATE-----
  private_key: "(redacted)"
  ocsp_response: AP8=
---
kind: CaBundle
name: ca
spec: {certificates: x}
---
kind: SessionTicketKeys
name: default
spec:
  keys: [{secret: AAAA, created_at: "2030-12-31T23:59:59Z"}, {secret: "(redacted)"}]
---
kind: Route
name: grpc
spec:
  match: {path: {grpc: {service: a.B, method: C}}}
  upstreams: [{name: users}]
  grpc_web: true
)yaml";

TEST(ParseResources, ReadsWhatPeopleWrite) {
  const std::vector<v1::Resource> resources = Parse(kEverything);
  ASSERT_EQ(resources.size(), 15u);
  const v1::Listener& listener = resources[0].listener();
  EXPECT_EQ(resources[0].labels().at("42"), "yes");
  EXPECT_EQ(resources[0].description(), "Front door: \"all\" of it\nand a second line");
  EXPECT_EQ(listener.proxy_protocol(), v1::PROXY_PROTOCOL_REQUIRED);
  EXPECT_EQ(listener.limits().max_body_bytes(), UINT64_MAX);
  EXPECT_EQ(listener.limits().header_timeout().nanos(), 100000000);
  const v1::Route& route = resources[1].route();
  EXPECT_EQ(route.match().headers(0).exact(), "42");
  EXPECT_EQ(route.match().headers(1).condition_case(), v1::HeaderMatch::kPrefix);
  EXPECT_EQ(route.match().headers(3).condition_case(), v1::HeaderMatch::kPresent);
  EXPECT_EQ(route.authentication().any_of(1).method_case(), v1::AuthenticationMethod::kApiKey);
  EXPECT_EQ(resources[5].consumer().api_keys(0).expires_at().nanos(), 500000000);
  EXPECT_TRUE(resources[10].has_consumer());
  EXPECT_EQ(listener.tls().min_version(), v1::TLS_VERSION_1_3);
  EXPECT_EQ(resources[3].upstream().tls().min_version(), v1::TLS_VERSION_1_2);
  EXPECT_EQ(resources[11].certificate().chain().back(), '\n');
  EXPECT_EQ(resources[11].certificate().ocsp_response().size(), 2u);
  EXPECT_EQ(resources[13].session_ticket_keys().keys(0).secret(), std::string(3, '\0'));
  EXPECT_EQ(resources[14].route().match().path().grpc().method(), "C");
}

TEST(ParseResources, YamlAndJsonRoundTrip) {
  for (const v1::Resource& resource : Parse(kEverything)) {
    const std::string content = MakeStored(resource)->content;
    for (const std::string& text :
         {ToYaml(resource), ToJson(resource, true), ToJson(resource, false)}) {
      const std::vector<v1::Resource> again = Parse(text);
      ASSERT_EQ(again.size(), 1u);
      EXPECT_EQ(MakeStored(again[0])->content, content) << text;
    }
    EXPECT_EQ(ToYaml(resource).substr(0, 6), "kind: ");
  }
}

TEST(ParseResources, AnyTextSurvivesTheRoundTrip) {
  for (const std::string& text : {std::string(" "),
                                  std::string("a\tb"),
                                  std::string("\n"),
                                  std::string("a\r\nb\n\n"),
                                  std::string("\0", 1),
                                  std::string("\x01\x7f"),
                                  std::string("\xc2\x85\xe2\x80\xa8\xef\xbb\xbf"),
                                  std::string("\xf0\x9f\x98\x80"),
                                  std::string("'"),
                                  std::string("\""),
                                  std::string("\\"),
                                  std::string("# x"),
                                  std::string("a: b"),
                                  std::string("- a"),
                                  std::string("---"),
                                  std::string("..."),
                                  std::string("*a"),
                                  std::string("&a"),
                                  std::string("!t"),
                                  std::string("|"),
                                  std::string(">"),
                                  std::string("%x"),
                                  std::string("@x"),
                                  std::string("`x"),
                                  std::string("{"),
                                  std::string("]"),
                                  std::string("?"),
                                  std::string("1e3"),
                                  std::string("0s"),
                                  std::string("12:30:45"),
                                  std::string("No"),
                                  std::string("=x"),
                                  std::string("<<"),
                                  std::string(3000, 'x'),
                                  std::string("${a} $$"),
                                  std::string("5m"),
                                  std::string("y")}) {
    v1::Resource resource;
    resource.set_name("x");
    resource.set_description(text);
    (*resource.mutable_labels())[text] = text;
    resource.mutable_access_log()->add_request_headers(text);
    for (const std::string& written : {ToYaml(resource), ToJson(resource, true)}) {
      const std::vector<v1::Resource> again = Parse(written);
      ASSERT_EQ(again.size(), 1u) << written;
      EXPECT_EQ(MakeStored(again[0])->content, MakeStored(resource)->content) << written;
    }
  }
}

TEST(ParseResources, CamelCaseListsAliasesAndEmptyDocuments) {
  EXPECT_EQ(Parse("- {kind: Listener, name: a, spec: {proxyProtocol: PROXY_PROTOCOL_REQUIRED}}\n"
                  "- {kind: Listener, name: b, spec: {trustedHops: []}}")
                .size(),
            2u);
  EXPECT_EQ(Parse("---\n---\nkind: Consumer\nname: a\n---\n").size(), 1u);
  EXPECT_EQ(Parse("").size(), 0u);
  EXPECT_EQ(Parse("# only a comment\n").size(), 0u);
  const auto shared = Parse(
      "- {kind: Route, name: a, spec: {match: &m {path: {exact: /a}}}}\n"
      "- {kind: Route, name: b, spec: {match: *m}}");
  ASSERT_EQ(shared.size(), 2u);
  EXPECT_EQ(shared[1].route().match().path().exact(), "/a");
}

TEST(ParseResources, JsonThatTheYamlLibraryDoesNotTake) {
  const auto resources = Parse(
      "{\n\t\"kind\": \"Consumer\",\n\t\"name\": \"a\", \"description\": \"\\ud83d\\ude00\"}");
  ASSERT_EQ(resources.size(), 1u);
  EXPECT_EQ(resources[0].description(), "\xf0\x9f\x98\x80");
}

TEST(ParseResources, ErrorsNameLineFieldValueAndFix) {
  const struct {
    const char* text;
    const char* error;
  } kCases[] = {
      {"kind: Route\nname: r\nspec:\n  match:\n    path: {prefx: /x}\n",
       "test.yaml:5: Route/r spec.match.path.prefx: is not a known field; did you mean "
       "\"prefix\"?"},
      {"kind: Route\nname: r\nspec: {zzzzzz: 1}",
       "test.yaml:3: Route/r spec.zzzzzz: is not a known field; known are match, upstreams, "
       "respond"},
      {"kind: Rout\nname: r",
       "test.yaml:1: kind: \"Rout\" is not a known kind; did you mean \"Route\"?"},
      {"kind: Banana\nname: r",
       "test.yaml:1: kind: \"Banana\" is not a known kind; write one of Listener, Route"},
      {"name: r", "test.yaml:1: kind: is missing; write one of Listener"},
      {"kind: Route", "test.yaml:1: name: is missing"},
      {"kind: Route\nname: r\nspce: {}",
       "test.yaml:3: spce: is not a known field; did you mean \"spec\"?"},
      {"kind: Route\nname: r\nmatch: {}", "settings stand under \"spec\""},
      {"kind: Route\nname: r\nname: s", "test.yaml:3: name: is given twice"},
      {"kind: Route\nname: r\nspec: {timeout: 15}",
       "test.yaml:3: Route/r spec.timeout: \"15\" has no unit; write a number and a unit"},
      {"kind: Route\nname: r\nspec: {timeout: soon}", "\"soon\" is not a duration"},
      {"kind: Route\nname: r\nspec: {retry: {attempts: -1}}",
       "spec.retry.attempts: \"-1\" is not a whole number from 0 to 4294967295"},
      {"kind: Route\nname: r\nspec: {retry: {attempts: 4294967296}}", "not a whole number"},
      {"kind: Route\nname: r\nspec: {max_body_bytes: 1.5}", "\"1.5\" is not a whole number"},
      {"kind: Route\nname: r\nspec: {match: {methods: GET}}",
       "spec.match.methods: is a single value; write a list"},
      {"kind: Route\nname: r\nspec: {match: {path: /x}}",
       "spec.match.path: is a single value; write a map"},
      {"kind: Route\nname: r\nspec: {match: {path: {exact: /x, prefix: /y}}}",
       "spec.match.path.prefix: cannot stand beside exact; remove one of them"},
      {"kind: Route\nname: r\nspec: {match: {path: {exact: [/x]}}}",
       "spec.match.path.exact: is a list; write a single value"},
      {"kind: Upstream\nname: u\nspec: {outlier_detection: {disabled: yes}}",
       "\"yes\" is not a boolean; write true or false"},
      {"kind: Upstream\nname: u\nspec: {load_balancer: fastest}",
       "\"fastest\" is not a known value; write one of round_robin, least_request"},
      {"kind: Upstream\nname: u\nspec: {endpoints: [{address: a}, {adress: b}]}",
       "spec.endpoints[1].adress: is not a known field; did you mean \"address\"?"},
      {"kind: Consumer\nname: c\nspec: {api_keys: [{expires_at: tomorrow}]}",
       "\"tomorrow\" is not a time"},
      {"kind: Consumer\nname: c\nlabels: [a]", "labels: is a list; write a map"},
      {"kind: Consumer\nname: c\n---\nkind: Consumer\nname: c",
       "test.yaml:4: Consumer/c: is written twice, first on line 1"},
      {"just text", "test.yaml:1: a resource is a map"},
      {"a: [", "test.yaml:"},
      {"kind: !!binary x\nname: !mine y", "test.yaml:2: the tag \"!mine\" is not accepted"},
      {"...\n,--\nkind: Plan", "test.yaml:2: no value can start here"},
      {"a: &a [*a]", "alias refers to what it is part of"},
  };
  for (const auto& c : kCases) EXPECT_THAT(ErrorOf(c.text), HasSubstr(c.error)) << c.text;
}

TEST(ParseResources, SaysAllErrorsAtOnce) {
  const std::string errors = ErrorOf(
      "kind: Route\nname: r\nspec:\n  timeout: 15\n  upstream: []\n  retry: {attempts: "
      "x}\n---\nkind: Nothing\nname: n\n");
  EXPECT_THAT(errors, HasSubstr(":4: Route/r spec.timeout"));
  EXPECT_THAT(
      errors,
      HasSubstr(":5: Route/r spec.upstream: is not a known field; did you mean \"upstreams\"?"));
  EXPECT_THAT(errors, HasSubstr(":6: Route/r spec.retry.attempts"));
  EXPECT_THAT(errors, HasSubstr(":8: kind"));
}

TEST(ParseResources, IsBounded) {
  // Nine levels of nine aliases would be 387 million values.
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 9; ++i) {
    absl::StrAppend(&bomb, "a", i, ": &a", i, " [");
    for (int j = 0; j < 9; ++j) absl::StrAppend(&bomb, j ? "," : "", "*a", i - 1);
    bomb += "]\n";
  }
  EXPECT_THAT(ErrorOf(bomb), HasSubstr("aliases written out"));
  EXPECT_THAT(ErrorOf(std::string(100, '[')), HasSubstr("test.yaml:"));
  EXPECT_THAT(ErrorOf(std::string(100, '[') + std::string(100, ']')), HasSubstr("nested deeper"));
  EXPECT_THAT(ErrorOf(std::string(100000, '[')), HasSubstr("test.yaml:"));
  EXPECT_THAT(ErrorOf(std::string((64 << 20) + 1, ' ')), HasSubstr("67108864"));
}

TEST(ParseResources, EveryFieldTypeOfTheProtosIsSupported) {
  // The reader and the writer know these types only.
  std::vector<const google::protobuf::Descriptor*> open = {v1::Resource::descriptor()};
  while (!open.empty()) {
    const auto* type = open.back();
    open.pop_back();
    for (int i = 0; i < type->field_count(); ++i) {
      const auto* field = type->field(i);
      switch (field->cpp_type()) {
        case google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE:
          if (field->message_type()->file()->package() == "portico.v1")
            open.push_back(field->message_type());
          break;
        case google::protobuf::FieldDescriptor::CPPTYPE_STRING:
        case google::protobuf::FieldDescriptor::CPPTYPE_ENUM:
          break;
        case google::protobuf::FieldDescriptor::CPPTYPE_BOOL:
        case google::protobuf::FieldDescriptor::CPPTYPE_UINT32:
        case google::protobuf::FieldDescriptor::CPPTYPE_UINT64:
          EXPECT_FALSE(field->is_repeated()) << field->full_name();
          break;
        default:
          ADD_FAILURE() << field->full_name();
      }
    }
  }
}

TEST(ToYaml, KeyOfManyEscapedBytesIsReadBack) {
  // Keys from where the short form is safe to where each byte's escape makes it too long.
  for (const size_t size : {1u, 200u, 201u, 256u, 400u, 512u, 2000u}) {
    v1::Resource consumer;
    consumer.set_name("c");
    consumer.mutable_consumer();
    (*consumer.mutable_labels())[std::string(size, '\0')] = "x";
    const auto again = ParseResources(ToYaml(consumer), "again");
    ASSERT_TRUE(again.ok()) << size << ": " << again.status();
    EXPECT_EQ(MakeStored(again->front())->content, MakeStored(consumer)->content) << size;
  }
}

TEST(Text, BytesAreBase64) {
  const auto resources = Parse(
      "{kind: Certificate, name: c, spec: {chain: a, private_key: b, ocsp_response: \"AP8=\"}}");
  ASSERT_EQ(resources.size(), 1u);
  EXPECT_EQ(resources[0].certificate().ocsp_response(), std::string("\0\xff", 2));
  EXPECT_THAT(ToYaml(resources[0]), HasSubstr("ocsp_response: \"AP8=\""));
  const std::string error =
      ErrorOf("{kind: Certificate, name: c, spec: {ocsp_response: \"my secret!\"}}");
  EXPECT_THAT(error, HasSubstr("spec.ocsp_response: is not base64"));
  EXPECT_EQ(error.find("my secret"), std::string::npos);
}

TEST(ToYaml, LinesStayLines) {
  v1::Resource resource;
  resource.set_name("c");
  const std::string pem = "-----BEGIN CERTIFICATE-----\nMIIB\nAA==\n-----END CERTIFICATE-----\n";
  for (const std::string& text :
       {pem, pem + pem, pem + "\n", "\n" + pem, " " + pem, pem + " x\n", pem + "x",
        std::string("a\n"), std::string("a\n\n"), std::string("a: b\n- c\n# d\n"),
        std::string("a\nb \n"), std::string("a\r\nb\r\n"), std::string("\n\n")}) {
    resource.mutable_certificate()->set_chain(text);
    const std::string yaml = ToYaml(resource);
    const auto again = ParseResources(yaml, "again");
    ASSERT_TRUE(again.ok()) << again.status() << yaml;
    EXPECT_EQ(again->front().certificate().chain(), text) << yaml;
  }
  resource.mutable_certificate()->set_chain(pem);
  EXPECT_THAT(ToYaml(resource),
              HasSubstr("  chain: |\n    -----BEGIN CERTIFICATE-----\n    MIIB\n"));
}

TEST(Redacted, HidesKeysAndTakesThemBack) {
  v1::Resource certificate;
  certificate.set_name("c");
  certificate.mutable_certificate()->set_chain("chain");
  certificate.mutable_certificate()->set_private_key("key");
  v1::Resource tickets;
  tickets.set_name("default");
  tickets.mutable_session_ticket_keys()->add_keys()->set_secret(std::string(32, '\xfe'));
  tickets.mutable_session_ticket_keys()->add_keys()->set_secret(std::string(32, '\xff'));
  for (const v1::Resource& stored : {certificate, tickets}) {
    EXPECT_FALSE(HasRedacted(stored));
    v1::Resource shown = Redacted(stored);
    EXPECT_TRUE(HasRedacted(shown));
    EXPECT_THAT(ToYaml(shown), HasSubstr("(redacted)"));
    // What is read from the text is what was shown.
    v1::Resource again = Parse(ToYaml(shown)).at(0);
    EXPECT_EQ(again.SerializeAsString(), shown.SerializeAsString());
    again.set_description("edited");
    RestoreRedacted(stored, again);
    EXPECT_FALSE(HasRedacted(again));
    again.clear_description();
    EXPECT_EQ(again.SerializeAsString(), stored.SerializeAsString());
  }
  // A key in the wrong place.
  certificate.mutable_certificate()->set_chain("-----BEGIN PRIVATE KEY-----");
  EXPECT_EQ(Redacted(certificate).certificate().chain(), "(redacted)");
}

TEST(Redacted, HidesSecretsOnly) {
  v1::Resource provider;
  provider.set_name("p");
  provider.mutable_jwt_provider()->set_jwks(R"({"keys":[{"kty":"oct","k":"c2VjcmV0"}]})");
  EXPECT_EQ(Redacted(provider).jwt_provider().jwks(), "(redacted)");
  provider.mutable_jwt_provider()->set_jwks("my secret, pasted wrongly");
  EXPECT_EQ(Redacted(provider).jwt_provider().jwks(), "(redacted)");
  provider.mutable_jwt_provider()->set_jwks(R"({"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]})");
  EXPECT_EQ(Redacted(provider).jwt_provider().jwks(), provider.jwt_provider().jwks());
}

}  // namespace
}  // namespace portico::api
