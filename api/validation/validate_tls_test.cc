// What validation says of certificates, TLS settings and gRPC conditions.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "api/resource/resource.h"
#include "api/resource/test_certificates.h"
#include "api/resource/text.h"
#include "api/validation/validate.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace portico::api {
namespace {

using ::testing::HasSubstr;

const TestPair& Pair() {
  static const TestPair pair = MakeTestCertificate({.subject = "a", .dns_names = {"a.example"}});
  return pair;
}

std::string Block(const std::string& text) {
  return "|\n        " + absl::StrReplaceAll(text, {{"\n", "\n        "}}) + "\n";
}

std::string Certificate(const std::string& name, const TestPair& pair) {
  return absl::StrCat("- kind: Certificate\n  name: ", name,
                      "\n  spec:\n    chain: ", Block(pair.certificate),
                      "    private_key: ", Block(pair.key));
}

// What the cases below refer to.
const std::string& Base() {
  static const std::string base = absl::StrCat(
      "- {kind: Upstream, name: users, spec: {endpoints: [{address: \"10.0.0.1:80\"}]}}\n",
      Certificate("site", Pair()),
      "- kind: CaBundle\n  name: ca\n  spec:\n    certificates: ", Block(Pair().certificate));
  return base;
}

std::string Violations(const std::string& yaml) {
  absl::StatusOr<std::vector<v1::Resource>> resources = ParseResources(yaml, "test.yaml");
  if (!resources.ok()) return std::string(resources.status().message());
  ResourceSet set;
  for (v1::Resource& resource : *resources) {
    StoredResourcePtr stored = MakeStored(std::move(resource));
    set[KeyOf(stored->resource)] = stored;
  }
  std::vector<std::string> lines;
  for (const v1::Violation& violation : Validate(set)) lines.push_back(ToString(violation));
  return absl::StrJoin(lines, "\n");
}

struct Case {
  std::string spec;
  // Each a part of one violation; empty means accepted.
  std::vector<std::string> expected;
};

void ExpectAll(const std::string& kind, const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    const std::string violations = Violations(
        absl::StrCat(Base(), "- {kind: ", kind, ", name: tested, spec: {", c.spec, "}}\n"));
    for (const std::string& part : c.expected) EXPECT_THAT(violations, HasSubstr(part)) << c.spec;
    const size_t lines =
        violations.empty()
            ? 0
            : static_cast<size_t>(std::count(violations.begin(), violations.end(), '\n')) + 1;
    EXPECT_EQ(lines, c.expected.size()) << violations << "\n" << c.spec;
  }
}

TEST(ValidateTls, Listener) {
  const std::string at = "address: \"0.0.0.0:443\", ";
  const auto tls = [&](const std::string& rest) {
    return absl::StrCat(at, "tls: {certificates: [site]", rest.empty() ? "" : ", ", rest, "}");
  };
  const auto client = [&](const std::string& rest) {
    return tls(absl::StrCat("client_authentication: {", rest, "}"));
  };
  const std::string print(64, 'a');
  ExpectAll(
      "Listener",
      {
          {tls(""), {}},
          {tls("min_version: 1.3, disable_session_tickets: true"), {}},
          {at + "tls: {}", {"spec.tls.certificates: is required and not set"}},
          {at + "tls: {certificates: [site, sit, site]}",
           {"spec.tls.certificates[1]: \"sit\": there is no Certificate of this name -- did you "
            "mean \"site\"?",
            "spec.tls.certificates[2]: \"site\": is there already"}},
          {tls("") + ", https_redirect: {}", {"spec.https_redirect: stands beside tls"}},
          {client("mode: required, ca_bundles: [ca]"), {}},
          {client("mode: optional"), {"client_authentication.ca_bundles: is required"}},
          {client("ca_bundles: [ca]"),
           {"client_authentication.mode: \"off\": has rules beside it"}},
          {client("mode: required, ca_bundles: [cb]"),
           {"client_authentication.ca_bundles[0]: \"cb\": there is no CaBundle"}},
          {client("mode: required, ca_bundles: [ca], subject_alt_names: [a.example, "
                  "\"*.b.example\", \"spiffe://c/*\", \"urn:x:1\"]"),
           {}},
          {client("mode: required, ca_bundles: [ca], subject_alt_names: [\"a b\", \"*\", "
                  "\"spiffe://a/*/b\", \"1:x\", \"10.0.0.1\", A.example, a.example]"),
           {"subject_alt_names[0]: \"a b\"", "subject_alt_names[1]: \"*\"",
            "subject_alt_names[2]: \"spiffe://a/*/b\": is neither", "subject_alt_names[3]: \"1:x\"",
            "subject_alt_names[4]: \"10.0.0.1\": is an address",
            "subject_alt_names[6]: \"a.example\": is there already"}},
          {client(absl::StrCat("mode: required, ca_bundles: [ca], fingerprints: [", print, ", \"",
                               std::string(62, 'b'), ":BB\", abc, ", std::string(64, 'A'), "]")),
           {"fingerprints[2]: \"abc\": is not a SHA-256", "fingerprints[3]: \"AAA"}},
          {tls("server_names: [{names: [a.example, \"*.b.example\"], client_authentication: {mode: "
               "required, ca_bundles: [ca]}}, {names: [c.example]}]"),
           {}},
          {tls("server_names: [{}, {names: [a.example, \"a:1\", \"*\"]}, {names: [A.example], "
               "client_authentication: {mode: required, ca_bundles: [no]}}]"),
           {"server_names[0].names: is required", "server_names[1].names[1]: \"a:1\"",
            "server_names[1].names[2]: \"*\"",
            "server_names[2].names[0]: \"A.example\": is there already",
            "server_names[2].client_authentication.ca_bundles[0]: \"no\""}},
          {at + "http2: {max_concurrent_streams: 1000, stream_window: 65535, connection_window: "
                "16777216}",
           {}},
          {at + "http2: {max_concurrent_streams: 1001, stream_window: 65534, connection_window: "
                "16777217}",
           {"spec.http2.max_concurrent_streams: \"1001\": is too large",
            "spec.http2.stream_window: \"65534\": is too small",
            "spec.http2.connection_window: \"16777217\": is too large"}},
      });
}

TEST(ValidateTls, Upstream) {
  const std::string to = "endpoints: [{address: \"10.0.0.1:443\"}], ";
  ExpectAll(
      "Upstream",
      {
          {to + "tls: {ca_bundles: [ca], server_name: a.example}, protocol: auto", {}},
          {to + "protocol: http2", {}},
          {to + "protocol: auto", {"spec.protocol: \"auto\": is chosen during the TLS handshake"}},
          {to + "tls: {}",
           {"spec.tls.ca_bundles: is required", "spec.tls.server_name: is required"}},
          {to + "tls: {insecure_skip_verify: true}", {}},
          {to + "tls: {ca_bundles: [ca], server_name: \"*.a.example\"}",
           {"spec.tls.server_name: \"*.a.example\": is a wildcard"}},
          {to + "tls: {ca_bundles: [ca], server_name: \"10.0.0.1\"}",
           {"spec.tls.server_name: \"10.0.0.1\": is an address"}},
          {to + "tls: {ca_bundles: [ca, cb], server_name: a, subject_alt_names: [\"x y\"], "
                "certificate: sit}",
           {"spec.tls.ca_bundles[1]: \"cb\": there is no CaBundle",
            "spec.tls.subject_alt_names[0]: \"x y\"",
            "spec.tls.certificate: \"sit\": there is no Certificate of this name -- did you mean "
            "\"site\"?"}},
      });
}

TEST(ValidateTls, CertificatesBundlesAndTicketKeys) {
  const TestPair other = MakeTestCertificate({.subject = "b"});
  EXPECT_EQ(Violations(Certificate("c", other)), "");
  const std::string half =
      Violations(Certificate("c", {.certificate = Pair().certificate, .key = other.key}));
  EXPECT_THAT(half, HasSubstr("Certificate/c spec.private_key: \"(redacted)\": is not the key of "
                              "the first certificate of the chain -- replace chain and"));
  EXPECT_EQ(half.find("BEGIN"), std::string::npos);
  ExpectAll("Certificate", {{"", {"spec.chain: is required", "spec.private_key: is required"}}});
  ExpectAll("CaBundle", {{"", {"spec.certificates: is required"}},
                         {"certificates: x", {"spec.certificates: holds no certificate"}}});
  ExpectAll("SessionTicketKeys", {{"keys: [{secret: AAAA}]",
                                   {"name: \"tested\": is not \"default\"",
                                    "spec.keys[0].secret: \"(redacted)\": is not 32 bytes long"}},
                                  {"", {"name: \"tested\"", "spec.keys: is required"}}});
}

TEST(ValidateTls, GrpcConditions) {
  const std::string rest = ", upstreams: [{name: users}]";
  const auto grpc = [&](const std::string& text) {
    return absl::StrCat("match: {path: {grpc: {", text, "}}}", rest);
  };
  ExpectAll("Route",
            {
                {grpc("service: pkg.v1.Service"), {}},
                {grpc("service: Service, method: Get_1"), {}},
                {grpc(""), {"spec.match.path.grpc.service: is required"}},
                {grpc("service: \"/pkg.Service\""), {"\"/pkg.Service\": is not the full name"}},
                {grpc("service: pkg..Service"), {"\"pkg..Service\": is not the full name"}},
                {grpc("service: pkg.1Service"), {"is not the full name"}},
                {grpc("service: a, method: a.b"), {"grpc.method: \"a.b\": is not the name"}},
            });
  const auto route = [&](const char* name, const std::string& path) {
    return absl::StrCat("- {kind: Route, name: ", name, ", spec: {match: {path: {", path, "}}",
                        rest, "}}\n");
  };
  const std::string wins = "Route/b spec.match: ";
  const struct {
    std::string a, b, expected;
  } pairs[] = {
      {"grpc: {service: p.S}", "prefix: /p.S", "\"prefix /p.S\": can never win"},
      {"prefix: /p.S", "grpc: {service: p.S}", "\"grpc /p.S\": can never win"},
      {"exact: /p.S/M", "grpc: {service: p.S, method: M}", "\"grpc /p.S/M\": can never win"},
      {"grpc: {service: p.S, method: M}", "grpc: {service: p.S}", ""},
  };
  for (const auto& pair : pairs) {
    const std::string found =
        Violations(absl::StrCat(Base(), route("a", pair.a), route("b", pair.b)));
    if (pair.expected.empty()) {
      EXPECT_EQ(found, "");
    } else {
      EXPECT_THAT(found, HasSubstr(wins + pair.expected));
    }
  }
}

// A change costs what changes: certificates that it does not touch are not read again.
TEST(ValidateTls, OneChangeReadsNoOtherCertificate) {
  absl::StatusOr<std::vector<v1::Resource>> resources = ParseResources(
      absl::StrCat(Base(),
                   "- {kind: Listener, name: l, spec: {address: \"0.0.0.0:443\", tls: "
                   "{certificates: [site]}}}\n"),
      "test.yaml");
  ASSERT_TRUE(resources.ok());
  ResourceSet before;
  for (const v1::Resource& resource : *resources) before[KeyOf(resource)] = MakeStored(resource);
  ResourceSet after = before;
  v1::Resource site = before.at({"Certificate", "site"})->resource;
  site.set_description("changed");
  after[KeyOf(site)] = MakeStored(site);
  ChangeCost cost;
  EXPECT_TRUE(ValidateChange(before, after, {KeyOf(site)}, &cost).empty());
  EXPECT_EQ(cost.examined, 1u);
  after.erase({"Certificate", "site"});
  const auto violations = ValidateChange(before, after, {{"Certificate", "site"}}, &cost);
  ASSERT_EQ(violations.size(), 1u);
  EXPECT_EQ(violations[0].field(), "spec.tls.certificates[0]");
}

}  // namespace
}  // namespace portico::api
