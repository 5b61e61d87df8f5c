// What a connection is before it speaks HTTP: PROXY header, TLS, the choice of a protocol.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "dataplane/downstream/connection_test_support.h"
#include "dataplane/net/await.h"
#include "dataplane/tls/test_certificates.h"
#include "dataplane/tls/tls_stream.h"

namespace portico::downstream {
namespace {

class OpeningTest : public ConnectionTest {
 protected:
  // TLS to the server over a socket of its own.
  struct TlsClient {
    std::unique_ptr<tls::TlsStream> stream;
    absl::Status status;
    std::string received;
    bool end = false;
  };

  std::shared_ptr<const tls::ServerContext> Context(const tls::TestCertificate& leaf) {
    tls::ServerConfig config;
    config.certificates = {leaf.Pair("web")};
    config.http2 = false;
    auto context = tls::ServerContext::Create(config);
    EXPECT_TRUE(context.ok()) << context.status();
    return *context;
  }

  event::Task<void> Open(TlsClient& client, std::string first) {
    net::Connect connect(loop_, scope_, address_);
    auto stream = co_await connect;
    client.status = stream.status();
    if (!stream.ok()) co_return;
    if (!first.empty()) {
      net::Send send(**stream, scope_);
      send.Add(first);
      client.status = co_await send;
    }
    tls::ClientConfig config;
    config.ca_pem = authority_.pem;
    config.server_name = "a.example.com";
    client.stream = tls::MakeTlsClientStream(
        loop_, *std::move(stream), *tls::ClientContext::Create(config), loop_.upstream_buffers());
    client.status = co_await client.stream->Handshake(scope_);
  }
  event::Task<void> Exchange(TlsClient& client, std::string request, std::string suffix) {
    net::Send send(*client.stream, scope_);
    send.Add(request);
    client.status = co_await send;
    while (client.status.ok() && !client.end && !client.received.ends_with(suffix)) {
      net::Receive receive(*client.stream, scope_, loop_.upstream_buffers());
      absl::StatusOr<base::Buffer> bytes = co_await receive;
      client.status = bytes.status();
      if (!bytes.ok()) break;
      client.end = !*bytes;
      client.received.append(bytes->view());
    }
  }
  TlsClient ConnectTls(const std::string& first = "") {
    TlsClient client;
    event::RunTask(loop_, Open(client, first));
    return client;
  }
  std::string Ask(TlsClient& client, const std::string& request, const std::string& suffix) {
    client.received.clear();
    event::RunTask(loop_, Exchange(client, request, suffix));
    return client.received;
  }

  event::CancelScope scope_;
  const tls::TestCertificate authority_ = tls::MakeTestAuthority("authority");
  const tls::TestCertificate leaf_ = tls::MakeTestServer({"a.example.com"}, authority_);
};

TEST_F(OpeningTest, ServesOverTls) {
  AcceptorOptions options;
  options.tls = Context(leaf_);
  StartServer(options);
  TlsClient client = ConnectTls();
  ASSERT_TRUE(client.status.ok()) << client.status;
  EXPECT_EQ(Count(Ask(client, Get("/"), "hello"), "200 OK"), 1);
  EXPECT_TRUE(handler_.last_info.secure);
  ASSERT_NE(handler_.last_info.tls, nullptr);
  EXPECT_EQ(handler_.last_info.tls->server_name, "a.example.com");
  EXPECT_EQ(Count(Ask(client, Get("/"), "hello"), "200 OK"), 1);
  EXPECT_EQ(observer_.handshakes, 1);
  EXPECT_EQ(observer_.opened, 1);
  EXPECT_EQ(acceptor_->idle_connections(), 1u);
  acceptor_->Drain();
  Pass(base::kNanosPerSecond);
  EXPECT_TRUE(Until([&] { return acceptor_->ended(); }));
  // The end was announced.
  EXPECT_EQ(Ask(client, "", ""), "");
}

TEST_F(OpeningTest, LargeBodiesOverTls) {
  AcceptorOptions options;
  options.tls = Context(leaf_);
  StartServer(options);
  TlsClient client = ConnectTls();
  ASSERT_TRUE(client.status.ok());
  const std::string body(3'000'000, 'b');
  EXPECT_EQ(
      Count(Ask(client, "POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n\r\n" + body,
                "read"),
            "200 OK"),
      1);
  EXPECT_EQ(handler_.read_bytes, body.size());
  handler_.large_pieces = 50;
  EXPECT_GT(Ask(client, Get("/large", "Connection: close\r\n"), "never").size(), 50u * 64 * 1024);
  EXPECT_TRUE(client.end);
}

TEST_F(OpeningTest, ProxyHeaderBeforeTls) {
  AcceptorOptions options;
  options.tls = Context(leaf_);
  options.connection.proxy_protocol = true;
  StartServer(options);
  TlsClient client = ConnectTls("PROXY TCP4 192.0.2.7 192.0.2.1 1234 443\r\n");
  ASSERT_TRUE(client.status.ok()) << client.status;
  EXPECT_EQ(Count(Ask(client, Get("/peer"), "192.0.2.7:1234"), "200 OK"), 1);
}

TEST_F(OpeningTest, PlainHttpOnTlsIsToldSo) {
  AcceptorOptions options;
  options.tls = Context(leaf_);
  StartServer(options);
  Client& client = Connect();
  client.Send(Get("/"));
  ASSERT_TRUE(client.Receive("plain_http_on_tls\"}\n"));
  EXPECT_EQ(client.received().find("HTTP/1.1 400 Bad Request\r\n"), 0u);
  const size_t head = client.received().find("\r\n\r\n") + 4;
  EXPECT_NE(
      client.received().find("content-length: " + std::to_string(client.received().size() - head)),
      std::string::npos);
  ASSERT_TRUE(client.ReceiveEnd());
  EXPECT_TRUE(client.end());
  EXPECT_EQ(observer_.errors, std::vector<std::string>{"plain_http_on_tls"});
}

TEST_F(OpeningTest, GarbageIsNoTls) {
  AcceptorOptions options;
  options.tls = Context(leaf_);
  StartServer(options);
  Client& client = Connect();
  client.Send(std::string(100, '\x80'));
  ASSERT_TRUE(client.ReceiveEnd());
  // An alert.
  EXPECT_EQ(client.received().substr(0, 1), "\x15");
  client.Close();
  ASSERT_TRUE(Until([&] { return acceptor_->connections() == 0; }));
  EXPECT_EQ(observer_.errors, std::vector<std::string>{"tls_handshake_failed"});
  EXPECT_EQ(observer_.handshake_failures, std::vector<std::string>{"not_tls"});
}

TEST_F(OpeningTest, HandshakesHaveADeadline) {
  AcceptorOptions options;
  options.tls = Context(leaf_);
  StartServer(options);
  Client& silent = Connect();
  Client& slow = Connect();
  slow.Send(std::string("\x16\x03\x01\x02\x00", 5));
  ASSERT_TRUE(Until([&] { return acceptor_->connections() == 2; }));
  Turn();
  Pass(9 * base::kNanosPerSecond);
  EXPECT_EQ(acceptor_->connections(), 2u);
  Pass(2 * base::kNanosPerSecond);
  ASSERT_TRUE(silent.ReceiveEnd());
  ASSERT_TRUE(slow.ReceiveEnd());
  // Who said nothing has not failed.
  EXPECT_EQ(observer_.handshake_failures, std::vector<std::string>{"timeout"});
}

TEST_F(OpeningTest, NewHandshakesSeeTheNewCertificateAndOldConnectionsStay) {
  AcceptorOptions options;
  options.tls = Context(leaf_);
  StartServer(options);
  TlsClient old = ConnectTls();
  ASSERT_TRUE(old.status.ok());
  const tls::TestCertificate next = tls::MakeTestServer({"a.example.com"}, authority_);
  acceptor_->SetTls(Context(next));
  TlsClient fresh = ConnectTls();
  ASSERT_TRUE(fresh.status.ok()) << fresh.status;
  EXPECT_EQ(old.stream->info().peer_certificate.fingerprint, leaf_.fingerprint);
  EXPECT_EQ(fresh.stream->info().peer_certificate.fingerprint, next.fingerprint);
  EXPECT_EQ(Count(Ask(old, Get("/"), "hello"), "200 OK"), 1);
  EXPECT_EQ(Count(Ask(fresh, Get("/"), "hello"), "200 OK"), 1);
  // And to cleartext.
  acceptor_->SetTls(nullptr);
  Client& plain = Connect();
  plain.Send(Get("/"));
  EXPECT_TRUE(plain.Receive("hello"));
  EXPECT_EQ(Count(Ask(old, Get("/"), "hello"), "200 OK"), 1);
}

TEST_F(OpeningTest, DrainAndForceCloseReachHandshakes) {
  AcceptorOptions options;
  options.tls = Context(leaf_);
  StartServer(options);
  Client& silent = Connect();
  Client& begun = Connect();
  begun.Send(std::string("\x16\x03\x01\x02\x00", 5));
  ASSERT_TRUE(Until([&] { return acceptor_->connections() == 2; }));
  Turn();
  acceptor_->Drain();
  Pass(base::kNanosPerSecond);
  EXPECT_TRUE(silent.ReceiveEnd());
  EXPECT_EQ(acceptor_->connections(), 1u);
  acceptor_->ForceClose(absl::CancelledError("now"));
  EXPECT_TRUE(begun.ReceiveEnd());
  EXPECT_TRUE(Until([&] { return acceptor_->ended(); }));
}

TEST_F(OpeningTest, WhatLooksLikeAPrefaceAtFirstIsARequest) {
  StartServer();
  for (const std::string cut : {"P", "PR", "PRI", "PRI * HTTP/2."}) {
    Client& client = Connect();
    client.Send(cut);
    Turn();
    client.Send("X / HTTP/1.1\r\nHost: h\r\n\r\n");
    ASSERT_TRUE(Until([&] {
      client.Poll();
      return !client.received().empty();
    })) << cut;
    EXPECT_EQ(client.received().find("HTTP/1."), 0u) << cut << client.received();
  }
  Client& client = Connect();
  client.Send("POS");
  Turn();
  client.Send("T / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
  EXPECT_TRUE(client.Receive("hello"));
}

}  // namespace
}  // namespace portico::downstream
