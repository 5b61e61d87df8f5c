// Both HTTP/1.1 roles together, forwarding through real sockets while clients come
// and go and the backend is killed: every answer that arrives is right, and nothing
// is left behind.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/downstream/connection_test_support.h"
#include "dataplane/event/cancel.h"
#include "dataplane/event/engine_fixture.h"
#include "dataplane/net/await.h"
#include "dataplane/upstream/h1_client_connection.h"

namespace portico::downstream {
namespace {

// Forwards everything to one address, over connections that it keeps.
class Forwarder final : public http::ExchangeHandler, public upstream::ClientConnectionOwner {
 public:
  explicit Forwarder(event::Loop& loop) : loop_(loop) {}

  event::Task<void> Serve(http::ServerStream& stream, const http::ConnectionInfo&) override {
    event::Deadline deadline(loop_, stream.scope(), "the exchange's deadline");
    if (timeout > 0) deadline.Extend(loop_.now() + timeout);
    upstream::ClientConnection* connection = nullptr;
    if (!idle_.empty()) {
      connection = idle_.back();
      idle_.pop_back();
    } else {
      net::Connect connect(loop_, stream.scope(), backend);
      absl::StatusOr<std::unique_ptr<net::ByteStream>> socket = co_await connect;
      if (!socket.ok()) {
        co_await ReplyStatus(stream, 503);
        co_return;
      }
      all_.push_back(upstream::MakeH1ClientConnection(loop_, std::move(*socket), {}, *this));
      connection = all_.back().get();
    }
    http::ClientStream* client = connection->OpenStream(stream.scope(), stream.arena());
    PORTICO_CHECK(client != nullptr);
    bool answered = false;
    BodyChunk first;
    first.end = stream.request().body == BodyKind::kNone;
    const absl::Status sent = co_await client->SendHead(stream.request(), std::move(first));
    if (sent.ok()) co_await event::Both(Upload(stream, *client), Download(stream, *client, answered));
    connection->EndStream(client);
    if (connection->reusable() && connection->open_streams() == 0) idle_.push_back(connection);
    if (!answered) co_await ReplyStatus(stream, 502);
  }

  event::Task<void> ServeError(http::ServerStream& stream, const http::ConnectionInfo&, int status,
                               std::string_view) override {
    co_await ReplyStatus(stream, status);
  }

  void OnConnectionUnusable(upstream::ClientConnection& connection) override { std::erase(idle_, &connection); }
  void OnConnectionEnded(upstream::ClientConnection& connection) override {
    std::erase(idle_, &connection);
    std::erase_if(all_, [&](const auto& held) { return held.get() == &connection; });
  }

  void CloseAll() {
    for (const auto& held : all_) held->Close();
  }
  size_t connections() const { return all_.size(); }
  net::SocketAddress backend;
  // Of exchanges that begin now, in nanoseconds; 0: none.
  int64_t timeout = 0;

 private:
  event::Task<void> Upload(http::ServerStream& stream, http::ClientStream& client) {
    if (client.TakesPipes()) stream.UsePipes();
    while (stream.request().body != BodyKind::kNone) {
      absl::StatusOr<BodyChunk> chunk = co_await stream.ReadBody();
      if (!chunk.ok()) {
        if (!stream.scope().requested()) stream.scope().Request(chunk.status());
        co_return;
      }
      const bool end = chunk->end;
      const absl::Status sent = co_await client.SendBody(std::move(*chunk));
      if (end || !sent.ok()) co_return;
    }
  }

  event::Task<void> Download(http::ServerStream& stream, http::ClientStream& client, bool& answered) {
    const absl::StatusOr<http::ResponseHead*> head = co_await client.ReadHead();
    absl::Status status = head.status();
    if (status.ok()) {
      BodyChunk first;
      if (client.BodyBuffered()) {
        absl::StatusOr<BodyChunk> chunk = co_await client.ReadBody();
        status = chunk.status();
        if (chunk.ok()) first = std::move(*chunk);
      }
      bool end = first.end;
      if (status.ok()) {
        answered = true;
        status = co_await stream.SendHead(**head, std::move(first));
      }
      if (stream.TakesPipes()) client.UsePipes();
      while (status.ok() && !end) {
        absl::StatusOr<BodyChunk> chunk = co_await client.ReadBody();
        status = chunk.status();
        if (!status.ok()) break;
        end = chunk->end;
        status = co_await stream.SendBody(std::move(*chunk));
      }
    }
    // Whatever the upload waits for is in vain now.
    if (!stream.scope().requested()) stream.scope().Request(absl::CancelledError("the exchange is over"));
    if (!status.ok() && answered) stream.Abort();
  }

  event::Task<void> ReplyStatus(http::ServerStream& stream, int status) {
    http::ResponseHead head(stream.arena());
    head.status = status;
    BodyChunk end;
    end.end = true;
    const absl::Status ignored = co_await stream.SendHead(head, std::move(end));
    ignored.IgnoreError();
  }

  event::Loop& loop_;
  std::vector<std::unique_ptr<upstream::ClientConnection>> all_;
  std::vector<upstream::ClientConnection*> idle_;
};

class ForwardTest : public ConnectionTest, public testing::WithParamInterface<event::Factory> {
 protected:
  ForwardTest() : ConnectionTest(*GetParam().create()), forwarder_(loop_) {}

  ~ForwardTest() override {
    clients_.clear();
    EndBackend();
    front_->ForceClose(absl::CancelledError("test ends"));
    EXPECT_TRUE(Until([&] { return front_->ended(); }));
    forwarder_.CloseAll();
    EXPECT_TRUE(Until([&] { return forwarder_.connections() == 0; }));
    front_.reset();
    EXPECT_EQ(loop_.upstream_buffers().live(), 0u);
  }

  void StartAll() {
    StartServer();
    forwarder_.backend = address_;
    const absl::StatusOr<int> fd = net::Listen(*net::SocketAddress::Parse("127.0.0.1:0"));
    ASSERT_TRUE(fd.ok());
    address_ = *net::LocalAddress(*fd);
    front_ = std::make_unique<Acceptor>(loop_, *fd, AcceptorOptions(), forwarder_, front_observer_);
    front_->Start();
  }
  void EndBackend() {
    if (acceptor_ == nullptr) return;
    acceptor_->ForceClose(absl::CancelledError("backend is killed"));
    EXPECT_TRUE(Until([&] { return acceptor_->ended(); }));
    acceptor_.reset();
  }
  void RestartBackend() {
    EndBackend();
    const net::SocketAddress front = address_;
    StartServer();
    forwarder_.backend = std::exchange(address_, front);
  }

  Forwarder forwarder_;
  CountingObserver front_observer_;
  std::unique_ptr<Acceptor> front_;
};

TEST_P(ForwardTest, ForwardsBothWays) {
  StartAll();
  Client& client = Connect();
  for (int i = 0; i < 5; ++i) {
    client.Send(Get("/"));
    ASSERT_TRUE(client.Receive("hello"));
    client.Send("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nworld\r\n0\r\n\r\n");
    ASSERT_TRUE(client.Receive("5\r\nworld\r\n0\r\n\r\n"));
    client.Take();
  }
  EXPECT_EQ(acceptor_->accepted(), 1u);
  client.Send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(client.Receive("\r\n\r\n"));
  EXPECT_EQ(Count(client.Take(), "Content-Length: 5"), 1);
  const std::string body(3 << 20, 'b');
  client.Send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n");
  for (size_t at = 0; at < body.size();) {
    at += client.SendSome(std::string_view(body).substr(at));
    client.Poll();
    Turn(1);
  }
  ASSERT_TRUE(client.Receive("0\r\n\r\n"));
  EXPECT_GT(client.received().size(), body.size());
}

TEST_P(ForwardTest, AnEarlyAnswerKeepsTheClient) {
  StartAll();
  Client& client = Connect();
  client.Send("POST /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
  ASSERT_TRUE(client.Receive("ignored"));
  client.Send("world" + Get("/"));
  ASSERT_TRUE(client.Receive("hello"));
  EXPECT_EQ(Count(client.received(), "Connection: close"), 0);
}

TEST_P(ForwardTest, ClientsThatComeAndGoWhileTheBackendIsKilled) {
  handler_.large_pieces = 30;
  StartAll();
  uint32_t random = 99;
  const auto next = [&random] { return (random = random * 1664525 + 1013904223) >> 8; };
  const std::string requests[] = {
      Get("/"),
      "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
      "POST /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n" + std::string(20'000, 'i'),
      "POST /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n" + std::string(200'000, 'i'),
      Get("/wait"),
      Get("/abort"),
      Get("/nothing"),
      Get("/large"),
      "POST /read HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n",
      "bad\r\n"};
  for (int i = 0; i < 500; ++i) {
    Client& client = Connect();
    const std::string& request = requests[next() % std::size(requests)];
    client.SendSome(std::string_view(request).substr(0, next() % 4 == 0 ? next() % request.size() : request.size()));
    Turn(static_cast<int>(next() % 4));
    for (size_t k = next() % 3; k > 0 && !clients_.empty(); --k) {
      const size_t victim = next() % clients_.size();
      if (next() % 2 == 0) clients_[victim]->Poll();
      clients_.erase(clients_.begin() + static_cast<ptrdiff_t>(victim));
    }
    if (i % 40 == 0) Pass(base::kNanosPerSecond);
    if (i % 60 == 59) RestartBackend();
  }
  clients_.clear();
  RestartBackend();
  Pass(3 * base::kNanosPerSecond);
  // It still works.
  Client& client = Connect();
  client.Send(Get("/"));
  ASSERT_TRUE(client.Receive("hello"));
}

// Deadlines that pass while heads and bodies of either direction are on their way, or
// have just arrived.
TEST_P(ForwardTest, DeadlinesThatPassAtAnyPoint) {
  handler_.large_pieces = 30;
  StartAll();
  uint32_t random = 7;
  const auto next = [&random] { return (random = random * 1664525 + 1013904223) >> 8; };
  const std::string body(300'000, 'b');
  const std::string length = "Content-Length: " + std::to_string(body.size()) + "\r\n";
  const std::string requests[] = {
      Get("/"),
      Get("/wait"),
      Get("/large"),
      "POST /read HTTP/1.1\r\nHost: h\r\n" + length + "\r\n" + body,
      "POST /echo HTTP/1.1\r\nHost: h\r\n" + length + "\r\n" + body,
      "POST /ignore HTTP/1.1\r\nHost: h\r\n" + length + "\r\n" + body,
      "POST /read HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
      "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
      "chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" +
          Get("/")};
  for (int i = 0; i < 500; ++i) {
    forwarder_.timeout = static_cast<int64_t>(next() % 40 + 1) * base::kNanosPerMilli;
    Client& client = Connect(next() % 3 == 0 ? 4096 : 0);
    client.SendSome(requests[next() % std::size(requests)]);
    for (size_t k = next() % 12; k > 0; --k) {
      if (next() % 2 == 0) clock_.Advance(static_cast<int64_t>(next() % 8) * base::kNanosPerMilli);
      if (next() % 3 != 0) clients_[next() % clients_.size()]->Poll();
      loop_.RunOnce(0);
    }
    if (clients_.size() > 12)
      clients_.erase(clients_.begin() + static_cast<ptrdiff_t>(next() % clients_.size()));
  }
  clients_.clear();
  forwarder_.timeout = 0;
  Pass(5 * base::kNanosPerSecond);
  Client& client = Connect();
  client.Send(Get("/"));
  ASSERT_TRUE(client.Receive("hello"));
}

INSTANTIATE_TEST_SUITE_P(Engines, ForwardTest, testing::ValuesIn(event::Engines()),
                         event::EngineName);

}  // namespace
}  // namespace portico::downstream
