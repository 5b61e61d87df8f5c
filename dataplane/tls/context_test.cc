// What servers and clients make of their configuration: certificates by name and kind, protocols,
// client authentication, tickets.
#include <set>

#include "dataplane/tls/stream_fixture.h"

namespace portico::tls {
namespace {

using Key = TestCertificateOptions::Key;

class ContextTest : public StreamTest {
 protected:
  TestCertificate Issue(Key key, const std::vector<std::string>& names) {
    TestCertificateOptions options;
    options.key = key;
    for (const std::string& name : names) options.alt_names.push_back("DNS:" + name);
    return MakeTestCertificate(options, &authority_);
  }
  TestCertificate IssueClient(const std::vector<std::string>& alt_names,
                              const TestCertificate& issuer) {
    TestCertificateOptions options;
    options.common_name = "client";
    options.alt_names = alt_names;
    return MakeTestCertificate(options, &issuer);
  }
  // Whose certificate a client sees that believes every one.
  std::string Shown(const std::shared_ptr<const ServerContext>& server, const std::string& name) {
    ClientConfig config;
    config.ca_pem = authority_.pem;
    config.server_name = name;
    config.subject_alt_names = {"*.example.com", "*.example.org", "a.b.example.com"};
    Pair pair = Connect(server, Client(config));
    EXPECT_TRUE(pair.ok()) << name << pair.server_status << pair.client_status;
    return pair.client->info().peer_certificate.fingerprint;
  }
  ClientAuthentication Required() const {
    ClientAuthentication authentication;
    authentication.mode = ClientAuthentication::Mode::kRequired;
    authentication.ca_pem = clients_.pem;
    return authentication;
  }

  const TestCertificate clients_ = MakeTestAuthority("clients");
};

TEST_P(ContextTest, CertificatesByName) {
  const TestCertificate first = Issue(Key::kP256, {"first.example.com"});
  const TestCertificate exact = Issue(Key::kP256, {"a.example.com"});
  const TestCertificate wild = Issue(Key::kP256, {"*.example.com"});
  ServerConfig config;
  config.certificates = {first.Pair("first"), wild.Pair("wild"), exact.Pair("exact")};
  const auto server = Server(config);
  EXPECT_EQ(Shown(server, "a.example.com"), exact.fingerprint);
  EXPECT_EQ(Shown(server, "A.Example.COM"), exact.fingerprint);
  EXPECT_EQ(Shown(server, "other.example.com"), wild.fingerprint);
  EXPECT_EQ(Shown(server, "first.example.com"), first.fingerprint);
  EXPECT_EQ(Shown(server, "a.b.example.com"), first.fingerprint) << "one label";
  EXPECT_EQ(Shown(server, "else.example.org"), first.fingerprint);
  EXPECT_EQ(Shown(server, ""), first.fingerprint);
  ASSERT_EQ(server->expiries().size(), 3u);
  EXPECT_EQ(server->expiries()[1].name, "wild");
  const int64_t now = base::RealClock().Unix() / base::kNanosPerSecond;
  EXPECT_NEAR(static_cast<double>(server->expiries()[1].not_after),
              static_cast<double>(now + 24 * 3600), 60);
}

TEST_P(ContextTest, BothKindsOfKeys) {
  const TestCertificate rsa = Issue(Key::kRsa, {"a.example.com"});
  const TestCertificate ecdsa = Issue(Key::kP256, {"a.example.com"});
  const TestCertificate p384 = Issue(Key::kP384, {"b.example.com"});
  ServerConfig config;
  config.certificates = {rsa.Pair("rsa"), ecdsa.Pair("ecdsa"), p384.Pair("p384")};
  const auto server = Server(config);
  EXPECT_EQ(Shown(server, "a.example.com"), ecdsa.fingerprint);
  EXPECT_EQ(Shown(server, ""), ecdsa.fingerprint);
  EXPECT_EQ(Shown(server, "b.example.com"), p384.fingerprint);
  // Alone, each of them works; in TLS 1.2, too: tests/integration has such clients.
  config.certificates = {rsa.Pair("rsa")};
  EXPECT_EQ(Shown(Server(config), "a.example.com"), rsa.fingerprint);
}

TEST_P(ContextTest, Applications) {
  struct Case {
    std::vector<std::string> offered;
    bool http2;
    std::string chosen;
    bool ok;
  };
  const Case cases[] = {{{"http/1.1", "h2"}, true, "h2", true},
                        {{"http/1.1", "h2"}, false, "http/1.1", true},
                        {{"http/1.1"}, true, "http/1.1", true},
                        {{}, true, "", true},
                        {{"h2"}, false, "", false},
                        {{"h3"}, true, "", false}};
  for (const Case& c : cases) {
    ServerConfig server = DefaultServer();
    server.http2 = c.http2;
    ClientConfig client = DefaultClient();
    client.applications = c.offered;
    Pair pair = Connect(Server(server), Client(client));
    EXPECT_EQ(pair.ok(), c.ok);
    if (c.ok) {
      EXPECT_EQ(pair.server->info().application, c.chosen);
      EXPECT_EQ(pair.client->info().application, c.chosen);
    } else {
      EXPECT_EQ(pair.server->failure(), "no_common_application");
      EXPECT_EQ(pair.client->failure(), "peer_alert");
    }
  }
}

TEST_P(ContextTest, ClientAuthenticationTable) {
  const TestCertificate good =
      IssueClient({"DNS:x.clients.example.com", "URI:spiffe://a/b"}, clients_);
  const TestCertificate stranger = IssueClient({"DNS:x.clients.example.com"}, authority_);
  TestCertificateOptions old;
  old.not_before = -7200;
  old.not_after = -3600;
  const TestCertificate expired = MakeTestCertificate(old, &clients_);
  using Mode = ClientAuthentication::Mode;
  struct Case {
    const char* what;
    Mode mode;
    const TestCertificate* shown;
    std::vector<std::string> names, fingerprints;
    const char* failure;  // Of the server; empty: none.
    bool verified;
  };
  const Case cases[] = {
      {"off", Mode::kOff, &good, {}, {}, "", false},
      {"optional, none", Mode::kOptional, nullptr, {}, {}, "", false},
      {"optional, good", Mode::kOptional, &good, {}, {}, "", true},
      {"optional, bad", Mode::kOptional, &stranger, {}, {}, "peer_certificate", false},
      {"required, none", Mode::kRequired, nullptr, {}, {}, "no_peer_certificate", false},
      {"required, good", Mode::kRequired, &good, {}, {}, "", true},
      {"required, bad", Mode::kRequired, &stranger, {}, {}, "peer_certificate", false},
      {"required, expired", Mode::kRequired, &expired, {}, {}, "peer_certificate", false},
      {"name", Mode::kRequired, &good, {"*.clients.example.com"}, {}, "", true},
      {"uri", Mode::kRequired, &good, {"spiffe://a/*"}, {}, "", true},
      {"other name", Mode::kRequired, &good, {"spiffe://b/*"}, {}, "peer_certificate", false},
      {"fingerprint", Mode::kRequired, &good, {}, {good.fingerprint}, "", true},
      {"other fingerprint",
       Mode::kRequired,
       &good,
       {},
       {stranger.fingerprint},
       "peer_certificate",
       false},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    ServerConfig server = DefaultServer();
    server.client_authentication.mode = c.mode;
    server.client_authentication.ca_pem = clients_.pem;
    server.client_authentication.subject_alt_names = c.names;
    server.client_authentication.fingerprints = c.fingerprints;
    ClientConfig client = DefaultClient();
    if (c.shown != nullptr) client.certificate = c.shown->Pair("client");
    Pair pair = Connect(Server(server), Client(client));
    EXPECT_EQ(pair.server->failure(), c.failure) << pair.server_status;
    EXPECT_EQ(pair.server_status.ok(), std::string(c.failure).empty());
    if (!pair.server_status.ok()) {
      EXPECT_TRUE(absl::IsUnauthenticated(pair.server_status)) << pair.server_status;
      continue;
    }
    EXPECT_EQ(pair.server->info().has_peer_certificate, c.verified);
    if (!c.verified) continue;
    EXPECT_EQ(pair.server->info().peer_certificate.fingerprint, good.fingerprint);
    EXPECT_EQ(pair.server->info().peer_certificate.subject, "CN=client");
    EXPECT_EQ(pair.server->info().peer_certificate.uris, std::vector<std::string>{"spiffe://a/b"});
  }
}

TEST_P(ContextTest, ClientAuthenticationByServerName) {
  ServerConfig config;
  config.certificates = {Issue(Key::kP256, {"*.example.com"}).Pair("web")};
  config.server_names.resize(2);
  config.server_names[0].names = {"admin.example.com"};
  config.server_names[0].client_authentication = Required();
  config.server_names[1].names = {"*.secret.example.com"};
  config.server_names[1].client_authentication = Required();
  const auto server = Server(config);
  EXPECT_EQ(server->ClientAuthenticationFor("a.example.com"), 0);
  EXPECT_EQ(server->ClientAuthenticationFor("admin.example.com"), 1);
  EXPECT_EQ(server->ClientAuthenticationFor("admin.example.com."), 1);
  EXPECT_EQ(server->ClientAuthenticationFor("x.secret.example.com"), 2);
  EXPECT_EQ(server->ClientAuthenticationFor("secret.example.com"), 0);
  EXPECT_EQ(server->ClientAuthenticationFor(""), 0);
  ClientConfig client = DefaultClient();
  Pair open = Connect(server, Client(client));
  EXPECT_TRUE(open.ok()) << open.client_status;
  EXPECT_EQ(open.server->info().client_authentication, 0);
  client.server_name = "admin.example.com";
  Pair closed = Connect(server, Client(client));
  EXPECT_EQ(closed.server->failure(), "no_peer_certificate");
  client.certificate = IssueClient({}, clients_).Pair("client");
  Pair admin = Connect(server, Client(client));
  ASSERT_TRUE(admin.ok()) << admin.server_status;
  EXPECT_EQ(admin.server->info().client_authentication, 1);
  EXPECT_EQ(admin.server->info().authentications, server.get());
}

TEST_P(ContextTest, ServersAreVerified) {
  const TestCertificate stranger = MakeTestAuthority("stranger");
  TestCertificateOptions options;
  options.alt_names = {"IP:127.0.0.1", "DNS:a.example.com", "URI:spiffe://a/server"};
  const TestCertificate leaf = MakeTestCertificate(options, &authority_);
  options.not_before = -7200;
  options.not_after = -3600;
  const TestCertificate expired = MakeTestCertificate(options, &authority_);
  struct Case {
    const char* what;
    const TestCertificate* shown;
    std::string ca, name;
    std::vector<std::string> alt_names;
    bool verify, ok;
  };
  const Case cases[] = {
      {"good", &leaf, authority_.pem, "a.example.com", {}, true, true},
      {"two bundles", &leaf, stranger.pem + authority_.pem, "a.example.com", {}, true, true},
      {"address", &leaf, authority_.pem, "127.0.0.1", {}, true, true},
      {"other address", &leaf, authority_.pem, "127.0.0.2", {}, true, false},
      {"other name", &leaf, authority_.pem, "b.example.com", {}, true, false},
      {"uri", &leaf, authority_.pem, "b.example.com", {"spiffe://a/server"}, true, true},
      {"other uri", &leaf, authority_.pem, "a.example.com", {"spiffe://a/other"}, true, false},
      {"other issuer", &leaf, stranger.pem, "a.example.com", {}, true, false},
      {"expired", &expired, authority_.pem, "a.example.com", {}, true, false},
      {"not asked", &expired, "", "b.example.com", {}, false, true},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    ServerConfig server;
    server.certificates = {c.shown->Pair("web")};
    ClientConfig client;
    client.ca_pem = c.ca;
    client.server_name = c.name;
    client.subject_alt_names = c.alt_names;
    client.verify = c.verify;
    Pair pair = Connect(Server(server), Client(client));
    EXPECT_EQ(pair.ok(), c.ok) << pair.client_status;
    if (c.ok) {
      EXPECT_EQ(pair.client->info().has_peer_certificate, c.verify);
      continue;
    }
    EXPECT_TRUE(absl::IsUnauthenticated(pair.client_status)) << pair.client_status;
    EXPECT_EQ(pair.client->failure(), "peer_certificate");
    EXPECT_EQ(pair.server->failure(), "certificate_refused") << pair.server_status;
    EXPECT_TRUE(absl::IsUnauthenticated(pair.server_status)) << pair.server_status;
  }
}

TEST_P(ContextTest, WhatIsNotGoodIsNamed) {
  const TestCertificate other = Issue(Key::kP256, {"a.example.com"});
  ServerConfig config;
  const auto message = [&](CertificatePair pair) {
    config.certificates = {leaf_.Pair("fine"), std::move(pair)};
    const auto context = ServerContext::Create(config);
    EXPECT_TRUE(absl::IsInvalidArgument(context.status())) << context.status();
    const std::string text(context.status().message());
    EXPECT_NE(text.find("\"bad\""), std::string::npos) << text;
    EXPECT_EQ(text.find("BEGIN"), std::string::npos) << text;
    return text;
  };
  EXPECT_NE(message({"bad", leaf_.pem, other.key_pem, ""}).find("not the one of the chain"),
            std::string::npos);
  EXPECT_NE(message({"bad", "", leaf_.key_pem, ""}).find("no certificate"), std::string::npos);
  EXPECT_NE(message({"bad", leaf_.pem, "nonsense", ""}).find("cannot be read"), std::string::npos);
  EXPECT_NE(message({"bad", leaf_.pem.substr(0, 100), leaf_.key_pem, ""}).find("cannot be read"),
            std::string::npos);
  EXPECT_NE(
      message({"bad", leaf_.pem,
               "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMII=\n-----END ENCRYPTED PRIVATE KEY-----\n",
               ""})
          .find("encrypted"),
      std::string::npos);
  config.certificates = {leaf_.Pair("fine")};
  config.client_authentication.mode = ClientAuthentication::Mode::kRequired;
  config.client_authentication.ca_pem = "nonsense";
  EXPECT_TRUE(absl::IsInvalidArgument(ServerContext::Create(config).status()));
  config = ServerConfig();
  EXPECT_TRUE(absl::IsInvalidArgument(ServerContext::Create(config).status()));
  ClientConfig client;
  client.ca_pem = authority_.pem;
  EXPECT_TRUE(absl::IsInvalidArgument(ClientContext::Create(client).status()))
      << "no name to check";
}

// Whether a client that got a session from `first` resumes with `second`.
class TicketTest : public ContextTest {
 protected:
  bool Resumes(const ServerConfig& first, const ServerConfig& second,
               const ClientConfig& client_config) {
    const auto client = Client(client_config);
    const auto first_server = Server(first), second_server = Server(second);
    for (const auto& server : {first_server, second_server}) {
      Pair pair = Connect(server, client);
      EXPECT_TRUE(pair.ok()) << pair.server_status << pair.client_status;
      if (!pair.ok()) return false;
      // The tickets come with the first bytes.
      EXPECT_EQ(Pass(*pair.server, *pair.client, "x"), "x");
      EXPECT_EQ(pair.server->info().resumed, pair.client->info().resumed);
      last_ = pair.server->info();
      if (server == second_server) return pair.server->info().resumed;
      EXPECT_FALSE(pair.server->info().resumed);
    }
    return false;
  }

  net::TlsInfo last_;
  const std::string one_ = std::string(32, '1'), two_ = std::string(32, '2');
};

TEST_P(TicketTest, GoodOnEveryProxyWithTheSameKeys) {
  ServerConfig a = DefaultServer();
  a.ticket_secrets = {one_};
  EXPECT_TRUE(Resumes(a, a, DefaultClient()));
  ServerConfig b = a;
  b.ticket_secrets = {two_};
  EXPECT_FALSE(Resumes(a, b, DefaultClient())) << "another key";
  b.ticket_secrets = {two_, one_};
  EXPECT_TRUE(Resumes(a, b, DefaultClient())) << "a rotated key";
  b.ticket_secrets = {};
  EXPECT_FALSE(Resumes(b, b, DefaultClient())) << "none at all";
}

TEST_P(TicketTest, BoundToCertificateAndClientAuthentication) {
  const TestCertificate client_certificate = IssueClient({"URI:spiffe://a/b"}, clients_);
  ClientConfig client = DefaultClient();
  client.certificate = client_certificate.Pair("client");
  ServerConfig a = DefaultServer();
  a.ticket_secrets = {one_};
  ServerConfig b = a;
  b.certificates = {Issue(Key::kP256, {"a.example.com"}).Pair("web")};
  EXPECT_FALSE(Resumes(a, b, client)) << "another certificate";
  b = a;
  b.client_authentication = Required();
  EXPECT_FALSE(Resumes(a, b, client)) << "client authentication";
  EXPECT_TRUE(last_.has_peer_certificate);
  EXPECT_FALSE(Resumes(b, a, client)) << "no client authentication";
  EXPECT_TRUE(Resumes(b, b, client));
  EXPECT_TRUE(last_.has_peer_certificate) << "of the session";
  EXPECT_EQ(last_.peer_certificate.fingerprint, client_certificate.fingerprint);
  EXPECT_EQ(last_.peer_certificate.uris, std::vector<std::string>{"spiffe://a/b"});
  ServerConfig c = b;
  c.client_authentication.subject_alt_names = {"spiffe://a/*"};
  EXPECT_FALSE(Resumes(b, c, client)) << "other rules";
}

TEST_P(TicketTest, NotAcrossServerNames) {
  ServerConfig config;
  config.certificates = {Issue(Key::kP256, {"*.example.com"}).Pair("web")};
  config.ticket_secrets = {one_};
  config.server_names.resize(1);
  config.server_names[0].names = {"admin.example.com"};
  config.server_names[0].client_authentication = Required();
  const auto server = Server(config);
  ClientConfig client_config = DefaultClient();
  const auto open = Client(client_config);
  for (int i = 0; i < 2; ++i) {
    Pair pair = Connect(server, open);
    ASSERT_TRUE(pair.ok());
    EXPECT_EQ(Pass(*pair.server, *pair.client, "x"), "x");
    EXPECT_EQ(pair.server->info().resumed, i == 1);
  }
  // One context is one cache, so another name is another upstream; its sessions are its own.
  client_config.server_name = "admin.example.com";
  Pair pair = Connect(server, Client(client_config));
  EXPECT_EQ(pair.server->failure(), "no_peer_certificate");
}

INSTANTIATE_TEST_SUITE_P(Engines, ContextTest, testing::ValuesIn(event::Engines()),
                         event::EngineName);
INSTANTIATE_TEST_SUITE_P(Engines, TicketTest, testing::ValuesIn(event::Engines()),
                         event::EngineName);

}  // namespace
}  // namespace portico::tls
