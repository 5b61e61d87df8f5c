// A cluster whose endpoints speak TLS: who is believed, and what is spoken then.
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/net/await.h"
#include "dataplane/tls/client_context.h"
#include "dataplane/tls/server_context.h"
#include "dataplane/tls/test_certificates.h"
#include "dataplane/tls/tls_stream.h"
#include "dataplane/upstream/cluster_fixture.h"
#include "dataplane/upstream/h2_test_server.h"

namespace portico::upstream {
namespace {

using std::string;

constexpr char kName[] = "users.internal";

// The TLS of one connection at the endpoint's end: what is inside comes out at plain().
class TlsTerminator {
 public:
  // `fd`: of the connection; it stays the caller's.
  TlsTerminator(event::Loop& loop, int fd, std::shared_ptr<const tls::ServerContext> context)
      : loop_(loop),
        stream_(tls::MakeTlsServerStream(loop, net::MakeTcpStream(loop, ::dup(fd)),
                                         std::move(context), loop.downstream_buffers(), "")) {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    inside_ = net::MakeTcpStream(loop, fds[0]);
    plain_ = fds[1];
    event::Spawn(Run());
  }
  // Must be done().
  ~TlsTerminator() { ::close(plain_); }
  void Stop() { scope_.Request(absl::CancelledError("test ends")); }
  bool done() const { return done_; }
  int plain() const { return plain_; }

 private:
  event::Task<void> Run() {
    const absl::Status shaken = co_await stream_->Handshake(scope_);
    if (shaken.ok()) {
      co_await event::Both(Carry(*stream_, *inside_), Carry(*inside_, *stream_));
    } else {
      stream_->ShutdownWrite();
    }
    done_ = true;
  }
  event::Task<void> Carry(net::ByteStream& from, net::ByteStream& to) {
    while (true) {
      net::Receive receive(from, scope_, loop_.downstream_buffers());
      const absl::StatusOr<base::Buffer> bytes = co_await receive;
      if (!bytes.ok() || !*bytes) break;
      net::Send send(to, scope_);
      send.Add(bytes->view());
      const absl::Status sent = co_await send;
      if (!sent.ok()) break;
    }
    to.ShutdownWrite();
  }

  event::Loop& loop_;
  event::CancelScope scope_;
  std::unique_ptr<tls::TlsStream> stream_;
  std::unique_ptr<net::ByteStream> inside_;
  int plain_ = -1;
  bool done_ = false;
};

class ClusterTlsTest : public ClusterTest {
 protected:
  ~ClusterTlsTest() override {
    for (auto& endpoint : endpoints_) endpoint->Stop();
    for (auto& endpoint : endpoints_) {
      EXPECT_TRUE(event::RunUntil(loop_, [&] { return endpoint->done(); }));
    }
    endpoints_.clear();
    EXPECT_EQ(loop_.downstream_buffers().live(), 0u);
  }

  // As the snapshot makes it of an upstream's `protocol` and `tls`.
  std::shared_ptr<snapshot::UpstreamEntry> TlsEntry(v1::UpstreamProtocol protocol,
                                                    const tls::ClientConfig& config) {
    auto entry = Entry({server_.address()});
    entry->protocol = protocol;
    tls::ClientConfig with_protocol = config;
    if (protocol != v1::UPSTREAM_PROTOCOL_HTTP1) with_protocol.applications.push_back("h2");
    if (protocol != v1::UPSTREAM_PROTOCOL_HTTP2) with_protocol.applications.push_back("http/1.1");
    auto context = tls::ClientContext::Create(with_protocol);
    EXPECT_TRUE(context.ok()) << context.status();
    if (context.ok()) entry->tls = *std::move(context);
    return entry;
  }
  tls::ClientConfig Config() const {
    tls::ClientConfig config;
    config.ca_pem = authority_.pem;
    config.server_name = kName;
    return config;
  }

  // The next connection, as an endpoint with this certificate takes it.
  TlsTerminator& Accept(bool http2, const tls::TestCertificate& certificate) {
    tls::ServerConfig config;
    config.certificates = {certificate.Pair("users")};
    config.http2 = http2;
    auto context = tls::ServerContext::Create(config);
    EXPECT_TRUE(context.ok()) << context.status();
    const int fd = server_.Accept();
    endpoints_.push_back(std::make_unique<TlsTerminator>(loop_, fd, *std::move(context)));
    server_.Close(fd);
    return *endpoints_.back();
  }
  // One exchange with such an endpoint, which speaks HTTP/2 if that is what was chosen.
  void ExpectServed(Request& request, bool http2_endpoint, bool spoken_http2) {
    Start(request);
    TlsTerminator& endpoint = Accept(http2_endpoint, leaf_);
    ASSERT_TRUE(event::RunUntil(loop_, [&] { return request.acquired || request.done; }));
    ASSERT_TRUE(request.acquired) << request.detail;
    EXPECT_EQ(metrics_.upstream_http2_connections_total.value(), spoken_http2 ? 1u : 0u);
    if (!spoken_http2) {
      Serve(server_, endpoint.plain(), request);
      return;
    }
    H2TestServer server(::dup(endpoint.plain()));
    bool answered = false;
    EXPECT_TRUE(event::RunUntil(loop_, [&] {
      server.Turn();
      if (!answered && server.requests()[1].head_complete) {
        server.Respond(1, {{":status", "200"}}, "ok");
        answered = true;
      }
      return request.done;
    }));
    EXPECT_EQ(server.requests()[1][":scheme"], "https");
    EXPECT_TRUE(request.status.ok()) << request.status;
    EXPECT_EQ(request.body, "ok");
  }
  // One that comes to nothing, because of `reason`.
  void ExpectRefused(const string& reason) {
    EXPECT_EQ(refused_.error, AcquireError::kTlsFailed);
    EXPECT_NE(refused_.detail.message().find(reason), absl::string_view::npos) << refused_.detail;
    // Whose certificate it is.
    EXPECT_NE(refused_.detail.message().find(server_.address().ToString()),
              absl::string_view::npos)
        << refused_.detail;
    EXPECT_EQ(metrics_.upstream_tls_handshake_failures_total.value(), 1u);
    EXPECT_EQ(metrics_.upstream_connect_failures_total.value(), 1u);
    EXPECT_EQ(metrics_.upstream_tls_connections_total.value(), 0u);
    EXPECT_EQ(HostAt(server_.address()).consecutive_failures, 1u);
    EXPECT_EQ(cluster_->connections(), 0u);
  }
  void Try(std::shared_ptr<snapshot::UpstreamEntry> entry, bool http2,
           const tls::TestCertificate& certificate) {
    Make(std::move(entry));
    Start(refused_);
    Accept(http2, certificate);
    ASSERT_TRUE(Ends(refused_));
  }

  TestServer server_{loop_};
  std::vector<std::unique_ptr<TlsTerminator>> endpoints_;
  Request refused_;
  const tls::TestCertificate authority_ = tls::MakeTestAuthority("authority");
  const tls::TestCertificate leaf_ = tls::MakeTestServer({kName}, authority_);
};

struct Spoken {
  const char* name;
  v1::UpstreamProtocol protocol;
  bool http2_endpoint;
  bool spoken_http2;
};

class ClusterAlpnTest : public ClusterTlsTest, public testing::WithParamInterface<Spoken> {};

TEST_P(ClusterAlpnTest, Speaks) {
  const Spoken& spoken = GetParam();
  Make(TlsEntry(spoken.protocol, Config()));
  Request request;
  ExpectServed(request, spoken.http2_endpoint, spoken.spoken_http2);
  EXPECT_EQ(metrics_.upstream_tls_connections_total.value(), 1u);
  EXPECT_EQ(metrics_.upstream_tls_handshake_failures_total.value(), 0u);
  EXPECT_EQ(HostAt(server_.address()).speaks_http1, !spoken.spoken_http2);
}

INSTANTIATE_TEST_SUITE_P(
    Alpn, ClusterAlpnTest,
    testing::Values(Spoken{"AutoTakesHttp2", v1::UPSTREAM_PROTOCOL_AUTO, true, true},
                    Spoken{"AutoTakesHttp1", v1::UPSTREAM_PROTOCOL_AUTO, false, false},
                    // It is not even offered.
                    Spoken{"Http1IsNotHttp2", v1::UPSTREAM_PROTOCOL_HTTP1, true, false},
                    Spoken{"Http2", v1::UPSTREAM_PROTOCOL_HTTP2, true, true}),
    [](const auto& test) { return test.param.name; });

TEST_F(ClusterTlsTest, AnEndpointThatDoesNotChooseHttp2WhereItIsRequired) {
  Try(TlsEntry(v1::UPSTREAM_PROTOCOL_HTTP2, Config()), /*http2=*/false, leaf_);
  ExpectRefused("no_application_protocol");
}

TEST_F(ClusterTlsTest, CertificatesAreVerifiedByDefault) {
  const tls::TestCertificate stranger = tls::MakeTestAuthority("stranger");
  Try(TlsEntry(v1::UPSTREAM_PROTOCOL_AUTO, Config()), /*http2=*/true,
      tls::MakeTestServer({kName}, stranger));
  ExpectRefused("unable to get local issuer certificate");
}

TEST_F(ClusterTlsTest, AnotherName) {
  Try(TlsEntry(v1::UPSTREAM_PROTOCOL_AUTO, Config()), /*http2=*/true,
      tls::MakeTestServer({"orders.internal"}, authority_));
  ExpectRefused("the certificate is not for a name that is wanted");
}

TEST_F(ClusterTlsTest, AnExpiredCertificate) {
  tls::TestCertificateOptions options;
  options.alt_names = {string("DNS:") + kName};
  options.not_before = -7200;
  options.not_after = -3600;
  Try(TlsEntry(v1::UPSTREAM_PROTOCOL_AUTO, Config()), /*http2=*/true,
      tls::MakeTestCertificate(options, &authority_));
  ExpectRefused("expired");
}

TEST_F(ClusterTlsTest, WhoIsNotVerifiedIsBelieved) {
  tls::ClientConfig config = Config();
  config.server_name = "orders.internal";
  config.ca_pem = tls::MakeTestAuthority("stranger").pem;
  config.verify = false;
  Make(TlsEntry(v1::UPSTREAM_PROTOCOL_AUTO, config));
  Request request;
  ExpectServed(request, /*http2_endpoint=*/true, /*spoken_http2=*/true);
}

TEST_F(ClusterTlsTest, AHandshakeThatDoesNotEndIsAConnectTimeout) {
  Make(TlsEntry(v1::UPSTREAM_PROTOCOL_AUTO, Config()));
  Request request;
  Start(request);
  server_.Accept();
  Turns();
  EXPECT_FALSE(request.done);
  clock_.Advance(6 * kNanosPerSecond);
  ASSERT_TRUE(Ends(request));
  EXPECT_EQ(request.error, AcquireError::kConnectTimeout);
  EXPECT_EQ(cluster_->connections(), 0u);
}

}  // namespace
}  // namespace portico::upstream
