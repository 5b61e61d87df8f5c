// An HTTP/2 connection to a server in the same thread, and exchanges that tests look into.
#ifndef DATAPLANE_UPSTREAM_H2_CLIENT_FIXTURE_H_
#define DATAPLANE_UPSTREAM_H2_CLIENT_FIXTURE_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/base/arena.h"
#include "dataplane/base/fake_clock.h"
#include "dataplane/event/engine_factory.h"
#include "dataplane/event/frame_pool.h"
#include "dataplane/event/run_task.h"
#include "dataplane/upstream/h2_client_connection.h"
#include "dataplane/upstream/h2_test_server.h"

namespace portico::upstream {

// One exchange as far as the test drives it.
struct H2Exchange {
  event::CancelScope scope;
  base::Arena arena;
  http::RequestHead head{arena};
  http::ClientStream* stream = nullptr;
  // What Run() found.
  bool done = false;
  absl::Status status;
  http::ResponseHead* response = nullptr;
  std::string body;
  std::vector<std::pair<std::string, std::string>> trailers;
};

class H2ClientOwner final : public ClientConnectionOwner {
 public:
  void OnConnectionUnusable(ClientConnection&) override { ++unusable; }
  void OnConnectionRoom(ClientConnection&) override { ++room; }
  void OnConnectionEnded(ClientConnection& ended_connection) override {
    EXPECT_EQ(&ended_connection, connection.get());
    ++ended;
    connection.reset();
  }
  std::unique_ptr<ClientConnection> connection;
  int unusable = 0, room = 0, ended = 0;
};

class H2ClientTest : public testing::Test {
 protected:
  H2ClientTest() : loop_(*event::CreateEpollEngine(), clock_) {}
  ~H2ClientTest() override {
    for (auto& exchange : exchanges_) End(*exchange);
    if (owner_.connection != nullptr) owner_.connection->Close();
    EXPECT_TRUE(Until([this] { return owner_.connection == nullptr; }));
    server_.reset();
    exchanges_.clear();
    EXPECT_EQ(owner_.ended, opened_);
    EXPECT_LE(owner_.unusable, opened_);
    EXPECT_EQ(event::LiveFrames(), 0);
    EXPECT_EQ(loop_.upstream_buffers().live(), 0u);
    EXPECT_EQ(loop_.timers().armed(), 0u);
  }

  void Open(const H2TestServerOptions& server = {}, const H2ClientOptions& options = {}) {
    int fds[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    server_ = std::make_unique<H2TestServer>(fds[1], server);
    H2ClientOptions with_metrics = options;
    with_metrics.metrics = &metrics_;
    std::unique_ptr<net::ByteStream> stream = net::MakeTcpStream(loop_, fds[0]);
    if (wrap_) stream = wrap_(std::move(stream));
    owner_.connection = MakeH2ClientConnection(loop_, std::move(stream), with_metrics, owner_);
    ++opened_;
  }
  ClientConnection& connection() { return *owner_.connection; }
  H2TestServer& server() { return *server_; }

  // Turns the loop and the server.
  bool Until(const std::function<bool()>& done, int turns = 3000) {
    for (int turn = 0; turn < turns; ++turn) {
      if (done()) return true;
      Turn(1);
    }
    return done();
  }
  void Turn(int turns = 5) {
    for (int i = 0; i < turns; ++i) {
      loop_.RunOnce(0);
      if (server_ != nullptr) server_->Turn();
    }
  }
  void Advance(int64_t nanos) {
    clock_.Advance(nanos);
    Turn();
  }

  H2Exchange& Begin(http::Method method = http::Method::kGet, std::string_view text = "GET") {
    exchanges_.push_back(std::make_unique<H2Exchange>());
    H2Exchange& exchange = *exchanges_.back();
    exchange.head.method = method;
    exchange.head.method_text = text;
    exchange.head.path = exchange.head.target = "/p";
    exchange.head.authority = "up.example";
    exchange.stream = connection().OpenStream(exchange.scope, exchange.arena);
    return exchange;
  }
  H2Exchange& BeginPost(http::BodyKind kind = http::BodyKind::kChunked, uint64_t length = 0) {
    H2Exchange& exchange = Begin(http::Method::kPost, "POST");
    exchange.head.body = kind;
    exchange.head.content_length = length;
    return exchange;
  }
  void End(H2Exchange& exchange) {
    if (exchange.stream != nullptr) {
      connection().EndStream(std::exchange(exchange.stream, nullptr));
    }
  }
  static http::BodyChunk Chunk(std::string_view bytes, bool end) {
    http::BodyChunk chunk;
    chunk.bytes = bytes;
    chunk.end = end;
    return chunk;
  }
  template <typename T>
  T Await(event::Task<T> task) {
    task = event::Started(std::move(task));
    EXPECT_TRUE(Until([&] { return task.done(); }));
    return task.Take();
  }
  // The stream's number at the server: exchanges are numbered 1, 3, 5, ... as they are sent.
  H2TestRequest& Seen(int32_t stream) { return server().requests()[stream]; }

  // Sends the head and reads the response to its end.
  event::Task<void> Run(H2Exchange& exchange) {
    exchange.status = co_await exchange.stream->SendHead(exchange.head, Chunk("", true));
    if (exchange.status.ok()) exchange.status = co_await Read(exchange);
    exchange.done = true;
  }
  event::Task<absl::Status> Read(H2Exchange& exchange) {
    const absl::StatusOr<http::ResponseHead*> head = co_await exchange.stream->ReadHead();
    if (!head.ok()) co_return head.status();
    exchange.response = *head;
    while (true) {
      absl::StatusOr<http::BodyChunk> piece = co_await exchange.stream->ReadBody();
      if (!piece.ok()) co_return piece.status();
      exchange.body += piece->bytes;
      if (!piece->end) continue;
      if (piece->trailers != nullptr) {
        for (const http::HeaderField& field : *piece->trailers) {
          exchange.trailers.emplace_back(field.name, field.value);
        }
      }
      co_return absl::OkStatus();
    }
  }
  // A GET that the server has seen.
  H2Exchange& Get() {
    H2Exchange& exchange = Begin();
    event::Spawn(Run(exchange));
    Turn();
    return exchange;
  }
  bool Ends(H2Exchange& exchange) {
    return Until([&] { return exchange.done; });
  }

  base::FakeClock clock_;
  observe::WorkerMetrics metrics_;
  event::Loop loop_;
  std::unique_ptr<H2TestServer> server_;
  H2ClientOwner owner_;
  int opened_ = 0;
  // Puts another stream around the connection's.
  std::function<std::unique_ptr<net::ByteStream>(std::unique_ptr<net::ByteStream>)> wrap_;
  std::vector<std::unique_ptr<H2Exchange>> exchanges_;
};

}  // namespace portico::upstream

#endif  // DATAPLANE_UPSTREAM_H2_CLIENT_FIXTURE_H_
