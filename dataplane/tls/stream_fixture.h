// What the tests of TlsStream share: two streams over a pair of sockets, on each engine.
#ifndef DATAPLANE_TLS_STREAM_FIXTURE_H_
#define DATAPLANE_TLS_STREAM_FIXTURE_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/event/engine_fixture.h"
#include "dataplane/event/frame_pool.h"
#include "dataplane/event/run_task.h"
#include "dataplane/net/await.h"
#include "dataplane/net/socket_pair.h"
#include "dataplane/tls/test_certificates.h"
#include "dataplane/tls/tls_stream.h"

namespace portico::tls {

// How a handshake of both sides ended.
struct Pair {
  std::unique_ptr<TlsStream> server, client;
  absl::Status server_status, client_status;
  bool ok() const { return server_status.ok() && client_status.ok(); }
};

class StreamTest : public testing::TestWithParam<event::Factory> {
 protected:
  StreamTest() : loop_(*GetParam().create(), base::RealClock()) {}
  ~StreamTest() override {
    EXPECT_EQ(event::LiveFrames(), 0);
    EXPECT_EQ(loop_.downstream_buffers().live(), 0u);
    EXPECT_EQ(loop_.upstream_buffers().live(), 0u);
  }

  static std::shared_ptr<const ServerContext> Server(const ServerConfig& config) {
    auto context = ServerContext::Create(config);
    EXPECT_TRUE(context.ok()) << context.status();
    return context.ok() ? *context : nullptr;
  }
  static std::shared_ptr<const ClientContext> Client(const ClientConfig& config) {
    auto context = ClientContext::Create(config);
    EXPECT_TRUE(context.ok()) << context.status();
    return context.ok() ? *context : nullptr;
  }

  ServerConfig DefaultServer() const {
    ServerConfig config;
    config.certificates = {leaf_.Pair("web")};
    return config;
  }
  ClientConfig DefaultClient() const {
    ClientConfig config;
    config.ca_pem = authority_.pem;
    config.server_name = "a.example.com";
    return config;
  }

  event::Task<absl::Status> CloseAfter(TlsStream& stream, absl::Status& status) {
    status = co_await stream.Handshake(scope_);
    if (!status.ok()) stream.ShutdownWrite();
    co_return status;
  }
  // Both handshakes over a new pair of sockets.
  Pair Connect(std::shared_ptr<const ServerContext> server,
               std::shared_ptr<const ClientContext> client) {
    Pair pair;
    auto [a, b] = net::MakeSocketPair(loop_);
    pair.server =
        MakeTlsServerStream(loop_, std::move(a), std::move(server), loop_.downstream_buffers(), "");
    pair.client =
        MakeTlsClientStream(loop_, std::move(b), std::move(client), loop_.upstream_buffers());
    event::RunTask(loop_, event::Both(CloseAfter(*pair.server, pair.server_status),
                                      CloseAfter(*pair.client, pair.client_status)));
    return pair;
  }
  Pair Connect() { return Connect(Server(DefaultServer()), Client(DefaultClient())); }

  event::Task<absl::Status> Send(net::ByteStream& stream, std::string_view bytes) {
    net::Send send(stream, scope_);
    send.Add(bytes);
    co_return co_await send;
  }
  // Until there are `size` bytes, or the end.
  event::Task<absl::StatusOr<std::string>> Receive(net::ByteStream& stream, size_t size) {
    std::string out;
    while (out.size() < size) {
      net::Receive receive(stream, scope_, loop_.downstream_buffers());
      absl::StatusOr<base::Buffer> bytes = co_await receive;
      if (!bytes.ok()) co_return bytes.status();
      if (!*bytes) break;
      out.append(bytes->view());
    }
    co_return out;
  }
  // Sends on one side and receives on the other.
  std::string Pass(net::ByteStream& from, net::ByteStream& to, std::string_view bytes) {
    auto [sent, received] =
        event::RunTask(loop_, event::Both(Send(from, bytes), Receive(to, bytes.size())));
    EXPECT_TRUE(sent.ok()) << sent;
    EXPECT_TRUE(received.ok()) << received.status();
    return received.ok() ? *received : "";
  }
  bool Until(const std::function<bool()>& done) { return event::RunUntil(loop_, done); }

  event::Loop loop_;
  event::CancelScope scope_;
  const TestCertificate authority_ = MakeTestAuthority("authority");
  const TestCertificate leaf_ = MakeTestServer({"a.example.com", "*.b.example.com"}, authority_);
};

}  // namespace portico::tls

#endif  // DATAPLANE_TLS_STREAM_FIXTURE_H_
