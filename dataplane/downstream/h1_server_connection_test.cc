// HTTP/1.1 connections over real sockets, with a clock that the tests move.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/fake_clock.h"
#include "dataplane/downstream/acceptor.h"
#include "dataplane/event/await.h"
#include "dataplane/event/frame_pool.h"
#include "dataplane/event/run_task.h"
#include "dataplane/net/listen.h"

namespace portico::downstream {
namespace {

using http::BodyChunk;
using http::BodyKind;

std::string Text(std::string_view text) { return std::string(text); }

// Answers according to the path.
class TestHandler final : public http::ExchangeHandler {
 public:
  explicit TestHandler(event::Loop& loop) : loop_(loop) {}

  event::Task<void> Serve(http::ServerStream& stream, const http::ConnectionInfo& connection) override {
    ++served;
    ++open;
    last_info = connection;
    const std::string path = Text(stream.request().path);
    if (path == "/echo") co_await Echo(stream);
    if (path == "/ignore") co_await Reply(stream, "ignored");
    if (path == "/wait") co_await WaitForClient(stream);
    if (path == "/abort") co_await SendHalf(stream);
    if (path == "/nothing") { /* no answer: counts as Abort() */ }
    if (path == "/large") co_await SendLarge(stream);
    if (path == "/read") co_await ReadAll(stream);
    if (path == "/peer") co_await Reply(stream, connection.peer.ToString());
    if (path == "/short") co_await WrongLength(stream);
    if (path == "/") co_await Reply(stream, "hello");
    --open;
  }

  event::Task<void> ServeError(http::ServerStream& stream, const http::ConnectionInfo&, int status,
                               std::string_view reason) override {
    errors.push_back(Text(reason));
    http::ResponseHead head(stream.arena());
    head.status = status;
    const std::string_view body = stream.arena().Copy("{\"reason\":\"" + Text(reason) + "\"}");
    co_await Send(stream, head, body);
  }

  event::Task<void> Reply(http::ServerStream& stream, std::string_view text) {
    http::ResponseHead head(stream.arena());
    head.status = 200;
    const std::string_view copy = stream.arena().Copy(text);
    co_await Send(stream, head, copy);
  }

  event::Task<void> Send(http::ServerStream& stream, http::ResponseHead& head, std::string_view text) {
    head.body = BodyKind::kLength;
    head.content_length = text.size();
    BodyChunk chunk;
    chunk.bytes = text;
    chunk.end = true;
    last_status = co_await stream.SendHead(head, std::move(chunk));
  }

  event::Task<void> Echo(http::ServerStream& stream) {
    http::ResponseHead head(stream.arena());
    head.status = 200;
    head.body = BodyKind::kChunked;
    bool first = true;
    while (true) {
      absl::StatusOr<BodyChunk> chunk = co_await stream.ReadBody();
      if (!chunk.ok()) {
        last_status = chunk.status();
        if (first) co_await ReplyStatus(stream, chunk.status());
        co_return;
      }
      const bool end = chunk->end;
      if (first) {
        last_status = co_await stream.SendHead(head, std::move(*chunk));
      } else {
        last_status = co_await stream.SendBody(std::move(*chunk));
      }
      first = false;
      if (end || !last_status.ok()) co_return;
    }
  }

  event::Task<void> ReplyStatus(http::ServerStream& stream, const absl::Status& status) {
    http::ResponseHead head(stream.arena());
    head.status = absl::IsResourceExhausted(status) ? 413 : absl::IsDeadlineExceeded(status) ? 408 : 400;
    co_await Send(stream, head, "error");
  }

  event::Task<void> ReadAll(http::ServerStream& stream) {
    read_bytes = 0;
    stream.LimitBody(100'000'000);
    while (true) {
      if (hold) {
        event::Sleep pause(loop_, stream.scope(), loop_.now() + base::kNanosPerSecond);
        last_status = co_await pause;
        if (!last_status.ok()) co_return;
      }
      absl::StatusOr<BodyChunk> chunk = co_await stream.ReadBody();
      last_status = chunk.status();
      if (!chunk.ok()) {
        co_await ReplyStatus(stream, chunk.status());
        co_return;
      }
      read_bytes += chunk->bytes.size();
      if (chunk->end) break;
    }
    co_await Reply(stream, "read");
  }

  event::Task<void> WaitForClient(http::ServerStream& stream) {
    event::Sleep sleep(loop_, stream.scope(), loop_.now() + 100'000 * base::kNanosPerSecond);
    last_status = co_await sleep;
    co_await Reply(stream, "late");
  }

  event::Task<void> SendHalf(http::ServerStream& stream) {
    http::ResponseHead head(stream.arena());
    head.status = 200;
    head.body = BodyKind::kLength;
    head.content_length = 100;
    BodyChunk chunk;
    chunk.bytes = "half";
    co_await stream.SendHead(head, std::move(chunk));
    stream.Abort();
  }

  event::Task<void> WrongLength(http::ServerStream& stream) {
    http::ResponseHead head(stream.arena());
    head.status = 200;
    head.body = BodyKind::kLength;
    head.content_length = 3;
    last_status = co_await stream.SendHead(head, BodyChunk());
    BodyChunk chunk;
    chunk.bytes = "toolong";
    last_status = co_await stream.SendBody(std::move(chunk));
  }

  event::Task<void> SendLarge(http::ServerStream& stream) {
    http::ResponseHead head(stream.arena());
    head.status = 200;
    head.body = BodyKind::kLength;
    head.content_length = 64 * 1024 * large_pieces;
    last_status = co_await stream.SendHead(head, BodyChunk());
    pieces_sent = 0;
    for (uint64_t i = 0; i < large_pieces && last_status.ok(); ++i) {
      base::Buffer buffer = loop_.downstream_buffers().Allocate(base::BufferPool::kLarge);
      std::memset(buffer.data(), 'x', 64 * 1024);
      BodyChunk chunk;
      chunk.bytes = {buffer.data(), 64 * 1024};
      chunk.owner = std::move(buffer);
      last_status = co_await stream.SendBody(std::move(chunk));
      ++pieces_sent;
    }
  }

  int served = 0;
  int open = 0;
  std::vector<std::string> errors;
  absl::Status last_status;
  http::ConnectionInfo last_info;
  uint64_t read_bytes = 0;
  uint64_t large_pieces = 1000;
  uint64_t pieces_sent = 0;
  bool hold = false;

 private:
  event::Loop& loop_;
};

class CountingObserver final : public ConnectionObserver {
 public:
  void OnConnectionOpened() override { ++opened; }
  void OnConnectionClosed() override { ++closed; }
  void OnProtocolError(std::string_view reason) override { errors.push_back(Text(reason)); }
  void OnConnectionRefused(std::string_view reason) override { refused.push_back(Text(reason)); }
  int opened = 0;
  int closed = 0;
  std::vector<std::string> errors;
  std::vector<std::string> refused;
};

class ConnectionTest : public testing::Test {
 protected:
  ConnectionTest() : loop_(*event::CreateEpollEngine(), clock_), handler_(loop_) {}

  ~ConnectionTest() override {
    clients_.clear();
    if (acceptor_ != nullptr) {
      acceptor_->ForceClose(absl::CancelledError("test ends"));
      EXPECT_TRUE(Until([&] { return acceptor_->ended(); }));
      acceptor_.reset();
    }
    EXPECT_EQ(observer_.opened, observer_.closed);
    EXPECT_EQ(handler_.open, 0);
    EXPECT_EQ(event::LiveFrames(), 0);
    EXPECT_EQ(loop_.downstream_buffers().live(), 0u);
    EXPECT_EQ(loop_.timers().armed(), 0u);
  }

  void StartServer(const AcceptorOptions& options = {}) {
    absl::StatusOr<int> fd = net::Listen(*net::SocketAddress::Parse("127.0.0.1:0"));
    ASSERT_TRUE(fd.ok()) << fd.status();
    address_ = *net::LocalAddress(*fd);
    acceptor_ = std::make_unique<Acceptor>(loop_, *fd, options, handler_, observer_);
    acceptor_->Start();
  }

  bool Until(const std::function<bool()>& done, int turns = 5000) {
    return event::RunUntil(loop_, done, turns);
  }
  void Turn(int turns = 20) {
    for (int i = 0; i < turns; ++i) loop_.RunOnce(base::kNanosPerMilli / 10);
  }
  // Moves the clock in steps, as a real one does between turns.
  void Pass(int64_t nanos) {
    for (int i = 0; i < 10; ++i) {
      clock_.Advance(nanos / 10);
      loop_.RunOnce(0);
      loop_.RunOnce(0);
    }
  }

  class Client {
   public:
    Client(ConnectionTest& test, int receive_buffer) : test_(test) {
      fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (receive_buffer > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
      sockaddr_storage peer;
      const socklen_t length = test.address_.ToSockaddr(peer);
      EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&peer), length), 0);
      ::fcntl(fd_, F_SETFL, O_NONBLOCK);
    }
    ~Client() { Close(); }
    void Close() {
      if (fd_ >= 0) ::close(fd_);
      fd_ = -1;
    }
    void HalfClose() { ::shutdown(fd_, SHUT_WR); }
    // As much as the kernel takes.
    size_t SendSome(std::string_view text) {
      const ssize_t sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      return sent < 0 ? 0 : static_cast<size_t>(sent);
    }
    void Send(std::string_view text) {
      while (!text.empty() && !failed_) {
        const ssize_t sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
        if (sent > 0) {
          text.remove_prefix(static_cast<size_t>(sent));
        } else if (errno != EAGAIN) {
          failed_ = true;
        }
        test_.loop_.RunOnce(0);
      }
    }
    void Poll() {
      char bytes[64 * 1024];
      while (!end_ && !reset_) {
        const ssize_t got = ::recv(fd_, bytes, sizeof(bytes), 0);
        if (got > 0) {
          received_.append(bytes, static_cast<size_t>(got));
        } else if (got == 0) {
          end_ = true;
        } else {
          if (errno == EAGAIN) return;
          reset_ = true;
        }
      }
    }
    bool Receive(std::string_view suffix) {
      return test_.Until([&] {
        Poll();
        return received_.size() >= suffix.size() &&
               std::string_view(received_).substr(received_.size() - suffix.size()) == suffix;
      });
    }
    bool ReceiveBytes(size_t size) {
      return test_.Until([&] {
        Poll();
        return received_.size() >= size;
      });
    }
    bool ReceiveEnd() {
      return test_.Until([&] {
        Poll();
        return end_ || reset_;
      });
    }
    std::string Take() { return std::exchange(received_, {}); }
    const std::string& received() const { return received_; }
    bool end() const { return end_; }
    bool reset() const { return reset_; }
    std::string Address() const {
      sockaddr_storage address;
      socklen_t length = sizeof(address);
      ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length);
      return net::SocketAddress::FromSockaddr(address).ToString();
    }

   private:
    ConnectionTest& test_;
    int fd_ = -1;
    std::string received_;
    bool end_ = false;
    bool reset_ = false;
    bool failed_ = false;
  };

  Client& Connect(int receive_buffer = 0) {
    clients_.push_back(std::make_unique<Client>(*this, receive_buffer));
    return *clients_.back();
  }

  base::FakeClock clock_;
  event::Loop loop_;
  TestHandler handler_;
  CountingObserver observer_;
  net::SocketAddress address_;
  std::unique_ptr<Acceptor> acceptor_;
  std::vector<std::unique_ptr<Client>> clients_;
};

std::string Get(const std::string& path, const std::string& fields = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n";
}

int Count(const std::string& text, std::string_view what) {
  int count = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
  return count;
}

TEST_F(ConnectionTest, KeepsAliveAndRestsWithoutBuffers) {
  StartServer();
  Client& client = Connect();
  for (int i = 0; i < 3; ++i) {
    client.Send(Get("/"));
    ASSERT_TRUE(client.Receive("hello"));
    EXPECT_EQ(client.Take(),
              "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: 5\r\n\r\nhello");
  }
  ASSERT_TRUE(Until([&] { return acceptor_->idle_connections() == 1; }));
  EXPECT_EQ(loop_.downstream_buffers().live(), 0u);
  EXPECT_EQ(handler_.served, 3);
  EXPECT_EQ(acceptor_->accepted(), 1u);
  EXPECT_EQ(handler_.last_info.peer.ToString(), client.Address());
  client.Close();
  EXPECT_TRUE(Until([&] { return acceptor_->connections() == 0; }));
}

TEST_F(ConnectionTest, PipelinedRequestsAreAnsweredInOrder) {
  StartServer();
  Client& client = Connect();
  std::string requests;
  for (int i = 0; i < 50; ++i) {
    requests += "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n" + std::to_string(1000 + i);
  }
  client.Send(requests + Get("/", "Connection: close\r\n"));
  ASSERT_TRUE(client.ReceiveEnd());
  size_t at = 0;
  for (int i = 0; i < 50; ++i) {
    at = client.received().find("4\r\n" + std::to_string(1000 + i) + "\r\n0\r\n\r\n", at);
    ASSERT_NE(at, std::string::npos) << i;
  }
  EXPECT_TRUE(client.end());
  EXPECT_EQ(Count(client.received(), "HTTP/1.1 200"), 51);
  EXPECT_EQ(Count(client.received(), "Connection: close"), 1);
}

TEST_F(ConnectionTest, OneByteAtATime) {
  StartServer();
  Client& client = Connect();
  const std::string request =
      "\r\nPOST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n1\r\n!\r\n0\r\nT: v\r\n\r\n";
  for (const char c : request) {
    client.Send({&c, 1});
    Turn(2);
  }
  ASSERT_TRUE(client.Receive("0\r\n\r\n"));
  EXPECT_EQ(Count(client.received(), "HTTP/1.1 200"), 1);
  EXPECT_TRUE(observer_.errors.empty());
}

TEST_F(ConnectionTest, LargeHeadsGrowBuffers) {
  StartServer();
  Client& client = Connect();
  client.Send(Get("/", "A: " + std::string(59'000, 'a') + "\r\n"));
  ASSERT_TRUE(client.Receive("hello"));
  client.Take();
  client.Send(Get("/") + Get("/", "A: " + std::string(30'000, 'a') + "\r\n"));
  ASSERT_TRUE(Until([&] {
    client.Poll();
    return Count(client.received(), "hello") == 2;
  }));
}

TEST_F(ConnectionTest, HeadRequestsAndHttp10) {
  StartServer();
  Client& client = Connect();
  client.Send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n" + Get("/"));
  ASSERT_TRUE(client.Receive("hello"));
  EXPECT_EQ(Count(client.received(), "Content-Length: 5"), 2);
  EXPECT_EQ(Count(client.received(), "hello"), 1);
  Client& old = Connect();
  old.Send("GET / HTTP/1.0\r\n\r\n");
  ASSERT_TRUE(old.ReceiveEnd());
  EXPECT_EQ(Count(old.received(), "Connection: close\r\n\r\nhello"), 1);
  Client& chunked = Connect();
  chunked.Send("POST /echo HTTP/1.0\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc");
  ASSERT_TRUE(chunked.ReceiveEnd());
  EXPECT_EQ(Count(chunked.received(), "Connection: close\r\n\r\nabc"), 1);
  EXPECT_EQ(Count(chunked.received(), "chunked"), 0);
}

TEST_F(ConnectionTest, ErrorsAreAnsweredAndNotLostByAReset) {
  StartServer();
  Client& client = Connect();
  // More than the server reads before it answers.
  client.Send("GET / HTTP/1.1\r\nHost: h\r\nA : 1\r\n\r\n" + std::string(200'000, 'x'));
  ASSERT_TRUE(client.Receive("{\"reason\":\"invalid_header\"}"));
  EXPECT_EQ(client.received().substr(0, 24), "HTTP/1.1 400 Bad Request");
  EXPECT_EQ(Count(client.received(), "Connection: close"), 1);
  ASSERT_TRUE(client.ReceiveEnd());
  EXPECT_TRUE(client.end());
  EXPECT_FALSE(client.reset());
  EXPECT_EQ(handler_.served, 0);
  EXPECT_EQ(observer_.errors, std::vector<std::string>{"invalid_header"});
  client.Close();
  EXPECT_TRUE(Until([&] { return acceptor_->connections() == 0; }));
}

TEST_F(ConnectionTest, LingeringEnds) {
  StartServer();
  Client& client = Connect();
  client.Send("nonsense\r\n");
  ASSERT_TRUE(client.ReceiveEnd());
  Turn();
  EXPECT_EQ(acceptor_->connections(), 1u);
  Pass(3 * base::kNanosPerSecond);
  EXPECT_TRUE(Until([&] { return acceptor_->connections() == 0; }));
}

TEST_F(ConnectionTest, ContinueIsSentWhenTheBodyIsWanted) {
  StartServer();
  Client& client = Connect();
  client.Send("POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  ASSERT_TRUE(client.Receive("HTTP/1.1 100 Continue\r\n\r\n"));
  client.Send("hello");
  ASSERT_TRUE(client.Receive("5\r\nhello\r\n0\r\n\r\n"));
  client.Take();
  // Not when the client did not wait.
  client.Send("POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
  ASSERT_TRUE(client.Receive("5\r\nhello\r\n0\r\n\r\n"));
  EXPECT_EQ(Count(client.received(), "100 Continue"), 0);
  client.Take();
  // Not when nobody wants the body; then nobody knows whether it comes.
  client.Send("POST /ignore HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  ASSERT_TRUE(client.ReceiveEnd());
  EXPECT_EQ(Count(client.received(), "100 Continue"), 0);
  EXPECT_EQ(Count(client.received(), "Connection: close\r\n\r\nignored"), 1);
}

TEST_F(ConnectionTest, UnreadBodiesAreDroppedOrEndTheConnection) {
  StartServer();
  Client& client = Connect();
  client.Send("POST /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n" + std::string(60'000, 'b') + Get("/"));
  ASSERT_TRUE(client.Receive("hello"));
  EXPECT_EQ(Count(client.received(), "Connection: close"), 0);
  client.Send("POST /ignore HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + Get("/"));
  ASSERT_TRUE(Until([&] {
    client.Poll();
    return Count(client.received(), "hello") == 2;
  }));
  client.Take();
  client.Send("POST /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 70000\r\n\r\n");
  ASSERT_TRUE(client.ReceiveEnd());
  EXPECT_TRUE(client.end());
  EXPECT_EQ(Count(client.received(), "Connection: close\r\n\r\nignored"), 1);
  // Unknown length, too long: the promise to keep the connection is broken, the
  // answer is not.
  Client& chunked = Connect();
  chunked.Send("POST /ignore HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n" +
               std::string(100'000, 'c'));
  ASSERT_TRUE(chunked.ReceiveEnd());
  EXPECT_TRUE(chunked.end());
  EXPECT_EQ(Count(chunked.received(), "ignored"), 1);
}

TEST_F(ConnectionTest, BodyErrors) {
  AcceptorOptions options;
  options.connection.max_body_bytes = 10;
  StartServer(options);
  Client& bad = Connect();
  bad.Send("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n");
  ASSERT_TRUE(bad.ReceiveEnd());
  EXPECT_EQ(bad.received().substr(0, 12), "HTTP/1.1 400");
  EXPECT_EQ(observer_.errors, std::vector<std::string>{"invalid_chunk_size"});
  Client& known = Connect();
  known.Send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n");
  ASSERT_TRUE(known.ReceiveEnd());
  EXPECT_EQ(known.received().substr(0, 12), "HTTP/1.1 413");
  Client& chunked = Connect();
  chunked.Send("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n12345678901\r\n0\r\n\r\n");
  ASSERT_TRUE(chunked.ReceiveEnd());
  EXPECT_EQ(chunked.received().substr(0, 12), "HTTP/1.1 413");
  Client& fits = Connect();
  fits.Send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n1234567890");
  ASSERT_TRUE(fits.Receive("0\r\n\r\n"));
}

TEST_F(ConnectionTest, TimeoutsOfHeads) {
  StartServer();
  Client& slow = Connect();
  slow.Send("GET / HTTP/1.1\r\nHo");
  Turn();
  Pass(9 * base::kNanosPerSecond);
  slow.Send("st: h\r\n");
  Turn();
  EXPECT_TRUE(observer_.errors.empty());
  Pass(2 * base::kNanosPerSecond);
  ASSERT_TRUE(slow.ReceiveEnd());
  EXPECT_EQ(slow.received().substr(0, 28), "HTTP/1.1 408 Request Timeout");
  EXPECT_EQ(handler_.errors, std::vector<std::string>{"header_timeout"});
  Client& idle = Connect();
  Turn();
  Pass(3601 * base::kNanosPerSecond);
  ASSERT_TRUE(idle.ReceiveEnd());
  EXPECT_EQ(idle.received(), "");
  EXPECT_TRUE(idle.end());
  EXPECT_TRUE(Until([&] { return acceptor_->connections() == 0; }));
}

TEST_F(ConnectionTest, TimeoutOfABody) {
  StartServer();
  Client& client = Connect();
  client.Send("POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab");
  Turn();
  Pass(299 * base::kNanosPerSecond);
  client.Send("c");
  Turn();
  Pass(299 * base::kNanosPerSecond);
  Turn();
  EXPECT_EQ(handler_.open, 1);
  Pass(2 * base::kNanosPerSecond);
  ASSERT_TRUE(client.ReceiveEnd());
  EXPECT_EQ(client.received().substr(0, 12), "HTTP/1.1 408");
  EXPECT_EQ(observer_.errors, std::vector<std::string>{"idle_body"});
}

TEST_F(ConnectionTest, ClientLeavesWhileItsAnswerIsMade) {
  StartServer();
  Client& client = Connect();
  client.Send(Get("/wait"));
  ASSERT_TRUE(Until([&] { return handler_.open == 1; }));
  client.Close();
  Turn();
  EXPECT_EQ(handler_.open, 1);
  Pass(2 * base::kNanosPerSecond);
  ASSERT_TRUE(Until([&] { return acceptor_->connections() == 0; }));
  EXPECT_TRUE(absl::IsCancelled(handler_.last_status)) << handler_.last_status;
}

TEST_F(ConnectionTest, HalfClosedClientsGetTheirAnswers) {
  StartServer();
  Client& client = Connect();
  client.Send(Get("/") + Get("/"));
  client.HalfClose();
  ASSERT_TRUE(client.ReceiveEnd());
  EXPECT_TRUE(client.end());
  EXPECT_EQ(Count(client.received(), "hello"), 2);
}

TEST_F(ConnectionTest, ClientLeavesInTheMiddleOfItsBody) {
  StartServer();
  Client& client = Connect();
  client.Send("POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\nab");
  ASSERT_TRUE(Until([&] { return handler_.open == 1; }));
  client.Close();
  ASSERT_TRUE(Until([&] { return acceptor_->connections() == 0; }));
  EXPECT_EQ(handler_.open, 0);
}

TEST_F(ConnectionTest, ClientLeavesInTheMiddleOfItsResponse) {
  StartServer();
  Client& client = Connect();
  client.Send(Get("/large"));
  ASSERT_TRUE(client.ReceiveBytes(100'000));
  client.Close();
  ASSERT_TRUE(Until([&] { return acceptor_->connections() == 0; }));
  EXPECT_TRUE(absl::IsCancelled(handler_.last_status)) << handler_.last_status;
}

TEST_F(ConnectionTest, SlowReadersHoldTheSender) {
  handler_.large_pieces = 1000;
  StartServer();
  Client& client = Connect(/*receive_buffer=*/16 * 1024);
  client.Send(Get("/large"));
  Turn(200);
  // What the kernel buffers, not 64 MB.
  EXPECT_LT(handler_.pieces_sent, 200u);
  EXPECT_LE(loop_.downstream_buffers().live(), 3u);
  Pass(301 * base::kNanosPerSecond);
  ASSERT_TRUE(Until([&] { return acceptor_->connections() == 0; }));
  EXPECT_TRUE(absl::IsDeadlineExceeded(handler_.last_status)) << handler_.last_status;
}

TEST_F(ConnectionTest, LargeResponsesArriveWhole) {
  handler_.large_pieces = 200;
  StartServer();
  Client& client = Connect();
  client.Send(Get("/large") + Get("/"));
  ASSERT_TRUE(client.Receive("hello"));
  EXPECT_GT(client.received().size(), 200u * 64 * 1024);
}

TEST_F(ConnectionTest, BodiesAreReadNoFasterThanTheyAreTaken) {
  handler_.hold = true;
  StartServer();
  Client& client = Connect();
  const std::string body(16 << 20, 'b');
  client.Send("POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n");
  size_t sent = 0;
  for (int i = 0; i < 200; ++i) {
    sent += client.SendSome(std::string_view(body).substr(sent));
    Turn(2);
  }
  EXPECT_LT(sent, body.size());
  EXPECT_LE(loop_.downstream_buffers().live(), 2u);
  handler_.hold = false;
  Pass(2 * base::kNanosPerSecond);
  client.Send(std::string_view(body).substr(sent));
  ASSERT_TRUE(client.Receive("read"));
  EXPECT_EQ(handler_.read_bytes, body.size());
}

TEST_F(ConnectionTest, AbortIsSeenAsIncomplete) {
  StartServer();
  Client& client = Connect();
  client.Send(Get("/abort"));
  ASSERT_TRUE(client.ReceiveEnd());
  EXPECT_TRUE(client.reset());
  Client& nothing = Connect();
  nothing.Send(Get("/nothing"));
  ASSERT_TRUE(nothing.ReceiveEnd());
  EXPECT_TRUE(nothing.reset());
  Client& wrong = Connect();
  wrong.Send(Get("/short"));
  ASSERT_TRUE(wrong.ReceiveEnd());
  EXPECT_TRUE(wrong.reset());
  EXPECT_TRUE(absl::IsInvalidArgument(handler_.last_status));
  EXPECT_EQ(Count(wrong.received(), "toolong"), 0);
}

TEST_F(ConnectionTest, RequestsOfAConnectionAreCounted) {
  AcceptorOptions options;
  options.connection.max_requests_per_connection = 2;
  StartServer(options);
  Client& client = Connect();
  client.Send(Get("/") + Get("/") + Get("/"));
  ASSERT_TRUE(client.ReceiveEnd());
  EXPECT_TRUE(client.end());
  EXPECT_EQ(Count(client.received(), "hello"), 2);
  EXPECT_EQ(Count(client.received(), "Connection: close"), 1);
}

TEST_F(ConnectionTest, DrainEndsRestingConnectionsAfterGraceAndBusyOnesAfterTheirExchange) {
  StartServer();
  Client& idle = Connect();
  Client& late = Connect();
  Client& busy = Connect();
  busy.Send("POST /read HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na");
  ASSERT_TRUE(Until([&] { return handler_.open == 1 && acceptor_->connections() == 3; }));
  acceptor_->Drain();
  Turn();
  EXPECT_EQ(acceptor_->connections(), 3u);
  EXPECT_FALSE(acceptor_->ended());
  late.Send(Get("/"));
  ASSERT_TRUE(late.ReceiveEnd());
  EXPECT_EQ(Count(late.received(), "Connection: close\r\n\r\nhello"), 1);
  Pass(base::kNanosPerSecond);
  ASSERT_TRUE(idle.ReceiveEnd());
  EXPECT_TRUE(idle.end());
  EXPECT_EQ(idle.received(), "");
  busy.Send("b");
  ASSERT_TRUE(busy.ReceiveEnd());
  EXPECT_EQ(Count(busy.received(), "Connection: close\r\n\r\nread"), 1);
  EXPECT_TRUE(Until([&] { return acceptor_->ended(); }));
}

TEST_F(ConnectionTest, DrainTakesWhatTheKernelHasAccepted) {
  StartServer();
  Turn();
  Client& client = Connect();
  client.Send(Get("/"));
  acceptor_->Drain();
  ASSERT_TRUE(client.ReceiveEnd());
  EXPECT_EQ(Count(client.received(), "Connection: close\r\n\r\nhello"), 1);
  EXPECT_TRUE(Until([&] { return acceptor_->ended(); }));
}

TEST_F(ConnectionTest, ForceCloseEndsEverything) {
  StartServer();
  Client& idle = Connect();
  Client& busy = Connect();
  Client& head = Connect();
  Client& large = Connect(16 * 1024);
  busy.Send(Get("/wait"));
  head.Send("GET / HT");
  large.Send(Get("/large"));
  ASSERT_TRUE(Until([&] { return handler_.open == 2 && acceptor_->connections() == 4; }));
  Turn(50);
  acceptor_->ForceClose(absl::CancelledError("shutdown"));
  ASSERT_TRUE(Until([&] { return acceptor_->ended(); }));
  EXPECT_EQ(handler_.open, 0);
  EXPECT_TRUE(busy.ReceiveEnd());
  EXPECT_TRUE(busy.reset());
  EXPECT_TRUE(idle.ReceiveEnd());
}

TEST_F(ConnectionTest, ConnectionsAreBounded) {
  AcceptorOptions options;
  options.max_connections = 2;
  StartServer(options);
  Client& one = Connect();
  Client& two = Connect();
  Client& three = Connect();
  one.Send(Get("/"));
  two.Send(Get("/"));
  ASSERT_TRUE(one.Receive("hello"));
  ASSERT_TRUE(two.Receive("hello"));
  ASSERT_TRUE(three.ReceiveEnd());
  EXPECT_EQ(observer_.refused, std::vector<std::string>{"max_connections"});
  one.Close();
  ASSERT_TRUE(Until([&] { return acceptor_->connections() == 1; }));
  Client& four = Connect();
  four.Send(Get("/"));
  ASSERT_TRUE(four.Receive("hello"));
}

TEST_F(ConnectionTest, ProxyHeaderNamesTheClient) {
  AcceptorOptions options;
  options.connection.proxy_protocol = true;
  options.listener_name = "edge";
  options.listener_id = 7;
  StartServer(options);
  Client& client = Connect();
  const std::string header = "PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n";
  for (const char c : header + Get("/peer")) {
    client.Send({&c, 1});
    Turn(2);
  }
  ASSERT_TRUE(client.Receive("203.0.113.9:4711"));
  EXPECT_EQ(handler_.last_info.direct_peer.ToString(), client.Address());
  EXPECT_EQ(handler_.last_info.listener_name, "edge");
  EXPECT_EQ(handler_.last_info.listener_id, 7u);
  client.Take();
  client.Send(Get("/peer"));
  ASSERT_TRUE(client.Receive("203.0.113.9:4711"));
  Client& whole = Connect();
  whole.Send(header + Get("/peer"));
  ASSERT_TRUE(whole.Receive("203.0.113.9:4711"));
  Client& none = Connect();
  none.Send(Get("/"));
  ASSERT_TRUE(none.ReceiveEnd());
  EXPECT_EQ(none.received(), "");
  EXPECT_EQ(observer_.errors, std::vector<std::string>{"proxy_protocol"});
  Client& silent = Connect();
  Turn();
  Pass(11 * base::kNanosPerSecond);
  ASSERT_TRUE(silent.ReceiveEnd());
}

TEST_F(ConnectionTest, UnexpectedProxyHeaderIsABadRequest) {
  StartServer();
  Client& client = Connect();
  client.Send("PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n" + Get("/"));
  ASSERT_TRUE(client.ReceiveEnd());
  EXPECT_EQ(client.received().substr(0, 12), "HTTP/1.1 400");
  EXPECT_EQ(handler_.served, 0);
}

TEST_F(ConnectionTest, ManyClientsThatComeAndGo) {
  StartServer();
  uint32_t random = 12345;
  const auto next = [&random] { return (random = random * 1664525 + 1013904223) >> 8; };
  const std::string requests[] = {
      Get("/"), "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
      "POST /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n" + std::string(20'000, 'i'), Get("/wait"),
      "POST /read HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n", Get("/large"), "bad\r\n"};
  for (int i = 0; i < 600; ++i) {
    Client& client = Connect();
    const std::string& request = requests[next() % std::size(requests)];
    client.SendSome(std::string_view(request).substr(0, next() % 4 == 0 ? next() % request.size() : request.size()));
    Turn(static_cast<int>(next() % 3));
    for (size_t k = next() % 3; k > 0 && !clients_.empty(); --k) {
      const size_t victim = next() % clients_.size();
      if (next() % 2 == 0) clients_[victim]->Poll();
      clients_.erase(clients_.begin() + static_cast<ptrdiff_t>(victim));
    }
    if (i % 50 == 0) Pass(base::kNanosPerSecond);
  }
  // The destructor counts what is left.
}

}  // namespace
}  // namespace portico::downstream
