#include "tests/gate/scenarios.h"

#include <cstdio>

#include "dataplane/tls/test_certificates.h"

namespace portico::gate {
namespace {

constexpr int kRoutes = 1000;
// How many of them are asked for.
constexpr int kRoutesInUse = 50;

// A key and a token made with it once, so that every replay has the same bytes. The
// private half was thrown away. Expires in 2036.
constexpr char kJwks[] =
    R"({"keys": [{"kty": "EC", "crv": "P-256", "kid": "replay-1", "use": "sig", "alg": "ES256", )"
    R"("x": "_Mo0Puv-obqEAJPAQ7qVeDFTeNks7U5WRpwfugOvmj4", )"
    R"("y": "2g9rx_YcKWJ6p6wTVSl-phwnIeDa0RMPte_8-shT9uI"}]})";
constexpr char kToken[] =
    "eyJhbGciOiJFUzI1NiIsImtpZCI6InJlcGxheS0xIiwidHlwIjoiSldUIn0."
    "eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUuY29tLyIsImF1ZCI6ImFwaS5leGFtcGxlLmNvbSIsInN1YiI6ImNvb"
    "nN1bWVyLTE3IiwiZXhwIjoyMDgyNzU4NDAwLCJpYXQiOjE3NjcyMjU2MDAsInNjb3BlIjoicmVhZCB3cml0ZSIsInJlYW"
    "xtIjp7InRlbmFudCI6ImFjbWUifSwiZW1haWwiOiJzb21lb25lQGV4YW1wbGUuY29tIn0."
    "neB7R3u8YrdJb8lVj4Z0avqPa9DT0mOJVGjs22XD8goBjBRSROcY5s8fihF-3Sp2b_09gxsDd3d8cdqRS1I9ww";

constexpr char kUpstream[] =
    "---\n{kind: Upstream, name: app, spec: {endpoints: [{address: '192.0.2.80:8080'}]}}\n";

std::string Number(int number) {
  char text[16];
  std::snprintf(text, sizeof text, "%04d", number);
  return text;
}

// Six fields, as an API client or a browser's fetch() sends them.
std::string Request(const std::string& method, const std::string& path, const std::string& more,
                    const std::string& body = "") {
  return method + " " + path +
         " HTTP/1.1\r\n"
         "Host: api.example.com\r\n"
         "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Firefox/115.0\r\n"
         "Accept: application/json, text/plain, */*\r\n"
         "Accept-Language: en-US,en;q=0.5\r\n"
         "Accept-Encoding: gzip, deflate, br\r\n"
         "Referer: https://app.example.com/dashboard\r\n" +
         more + "\r\n" + body;
}

std::string Response(const std::string& body) {
  return "HTTP/1.1 200 OK\r\n"
         "Server: app/1.4\r\n"
         "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
         "Content-Type: application/json; charset=utf-8\r\n"
         "Content-Length: " +
         std::to_string(body.size()) +
         "\r\n"
         "Cache-Control: private, max-age=0\r\n"
         "ETag: \"5f3c-1a2b3c4d\"\r\n"
         "Vary: Accept-Encoding\r\n"
         "X-Content-Type-Options: nosniff\r\n"
         "\r\n" +
         body;
}

const std::string& SmallBody() {
  static const std::string body =
      R"({"id": 17, "name": "a customer", "plan": "gold", "active": true})";
  return body;
}

Scenario Plain() {
  return {.name = "plain",
          .configuration =
              "{kind: Listener, name: web, spec: {address: '127.0.0.1:8080'}}\n"
              "---\n{kind: Route, name: all, spec: {match: {path: {prefix: /}}, "
              "upstreams: [{name: app}]}}\n" +
              std::string(kUpstream),
          .requests = {Request("GET", "/v1/customers/17?fields=id,name", "")},
          .response = Response(SmallBody())};
}

Scenario Body() {
  Scenario scenario = Plain();
  scenario.name = "body";
  const std::string upload(1024, 'u');
  scenario.requests = {Request("POST", "/v1/customers/17/notes",
                               "Content-Type: application/octet-stream\r\nContent-Length: 1024\r\n",
                               upload)};
  scenario.response = Response(std::string(16 * 1024, 'd'));
  return scenario;
}

// In a YAML block, below a key that stands four spaces in.
std::string Indented(const std::string& pem) {
  std::string text = "|\n      ";
  for (const char c : pem) {
    text += c;
    if (c == '\n') text += "      ";
  }
  return text + "\n";
}

// The plain scenario over TLS, with a certificate of this run.
Scenario OverTls(bool http2) {
  Scenario scenario = Plain();
  scenario.name = http2 ? "h2" : "tls";
  scenario.protocol =
      http2 ? Scenario::Protocol::kHttp2OverTls : Scenario::Protocol::kHttp1OverTls;
  const tls::TestCertificate authority = tls::MakeTestAuthority("authority");
  const tls::TestCertificate server = tls::MakeTestServer({"api.example.com"}, authority);
  scenario.configuration =
      "kind: Certificate\nname: api\nspec:\n    chain: " + Indented(server.pem) +
      "    private_key: " + Indented(server.key_pem) +
      "---\n{kind: Listener, name: web, spec: {address: '127.0.0.1:8443', tls: {certificates: "
      "[api]}}}\n"
      "---\n{kind: Route, name: all, spec: {match: {path: {prefix: /}}, "
      "upstreams: [{name: app}]}}\n" +
      std::string(kUpstream);
  return scenario;
}

Scenario Full(const std::string& access_log) {
  Scenario scenario;
  scenario.name = "full";
  scenario.configuration =
      "{kind: Listener, name: web, spec: {address: '127.0.0.1:8080', access_log: main}}\n"
      "---\n{kind: AccessLog, name: main, spec: {path: '" +
      access_log +
      "', request_headers: [referer]}}\n"
      "---\n{kind: JwtProvider, name: company, spec: {issuer: 'https://login.example.com/', "
      "audiences: [api.example.com], jwks: '" +
      kJwks +
      "', claims_to_headers: [{claim: sub, header: x-user}, "
      "{claim: realm.tenant, header: x-tenant}]}}\n"
      "---\n{kind: Consumer, name: consumer-17, spec: {plan: gold}}\n"
      "---\n{kind: Plan, name: gold, spec: {rate_limits: [{policy: per-consumer, "
      "rate: {requests: 1000000, per: 1s}}]}}\n"
      "---\n{kind: RateLimitPolicy, name: per-consumer, spec: {rate: {requests: 100, per: 1s}, "
      "key: [{consumer: {}}]}}\n"
      "---\n{kind: HeaderTransform, name: gateway, spec: {request: {remove: [x-internal], "
      "set: [{name: x-client-address, value: '${client.address}'}]}, "
      "response: {remove: [server], set: [{name: x-gateway, value: portico}]}}}\n" +
      std::string(kUpstream);
  for (int i = 0; i < kRoutes; ++i) {
    const std::string number = Number(i);
    scenario.configuration +=
        "---\n{kind: Route, name: route-" + number +
        ", spec: {match: {hosts: [api.example.com], path: {template: '/v1/service-" + number +
        "/items/{id}'}}, upstreams: [{name: app}], "
        "authentication: {any_of: [{jwt: {provider: company}}]}, "
        "rate_limits: [per-consumer], header_transforms: [gateway]}}\n";
  }
  for (int i = 0; i < kRoutesInUse; ++i) {
    scenario.requests.push_back(
        Request("GET", "/v1/service-" + Number(i * (kRoutes / kRoutesInUse)) + "/items/4711",
                "Authorization: Bearer " + std::string(kToken) + "\r\n"));
  }
  scenario.response = Response(SmallBody());
  return scenario;
}

}  // namespace

Scenario MakeScenario(std::string_view name, const std::string& access_log) {
  if (name == "plain") return Plain();
  if (name == "body") return Body();
  if (name == "tls" || name == "h2") return OverTls(name == "h2");
  if (name == "full") return Full(access_log);
  return {};
}

}  // namespace portico::gate
