// What the tests of HTTP/1.1 connections share: real sockets, a clock that the tests
// move, and a handler that does what the path says.
#ifndef DATAPLANE_DOWNSTREAM_CONNECTION_TEST_SUPPORT_H_
#define DATAPLANE_DOWNSTREAM_CONNECTION_TEST_SUPPORT_H_

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/base/fake_clock.h"
#include "dataplane/downstream/acceptor.h"
#include "dataplane/event/await.h"
#include "dataplane/event/frame_pool.h"
#include "dataplane/event/run_task.h"
#include "dataplane/net/listen.h"

namespace portico::downstream {

using http::BodyChunk;
using http::BodyKind;

inline std::string Text(std::string_view text) { return std::string(text); }

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
    if (path == "/tunnel") co_await Tunnel(stream);
    if (path == "/nothing") { /* no answer: counts as Abort() */ }
    if (path == "/large") co_await SendLarge(stream);
    if (path == "/paced") co_await SendPaced(stream);
    if (path == "/read") co_await ReadAll(stream);
    if (path == "/peer") co_await Reply(stream, connection.peer.ToString());
    if (path == "/short") co_await WrongLength(stream);
    if (path == "/trailers") co_await SendTrailers(stream);
    if (path == "/custom") co_await custom(stream);
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
    event::Sleep wait(loop_, stream.scope(), loop_.now() + 100'000 * base::kNanosPerSecond);
    last_status = co_await wait;
    co_await Reply(stream, "late");
  }

  // Sends back what comes, and "bye" when the client has ended its side.
  event::Task<void> Tunnel(http::ServerStream& stream) {
    if (hold) {
      event::Sleep pause(loop_, stream.scope(), loop_.now() + base::kNanosPerSecond / 2);
      co_await pause;
    }
    http::ResponseHead head(stream.arena());
    head.status = 101;
    last_status = co_await stream.SendHead(head, BodyChunk());
    bool end = false;
    while (last_status.ok() && !end) {
      absl::StatusOr<BodyChunk> chunk = co_await stream.ReadBody();
      last_status = chunk.status();
      if (!chunk.ok()) break;
      end = chunk->end;
      if (end) {
        BodyChunk bye;
        bye.bytes = "bye";
        bye.end = true;
        last_status = co_await stream.SendBody(std::move(bye));
      } else {
        last_status = co_await stream.SendBody(*std::move(chunk));
      }
    }
    read_bytes = stream.request_body_bytes();
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

  // "hello" and fields behind it, of which not all are safe.
  event::Task<void> SendTrailers(http::ServerStream& stream) {
    http::ResponseHead head(stream.arena());
    head.status = 200;
    head.body = BodyKind::kChunked;
    http::HeaderList trailers(stream.arena());
    trailers.Add("grpc-status", "0");
    trailers.Add("content-length", "9");
    trailers.Add("x-b", "1\r\nx-c: 2");
    co_await stream.SendHead(head, BodyChunk());
    BodyChunk chunk;
    chunk.bytes = hold ? "" : "hello";
    chunk.trailers = &trailers;
    chunk.end = true;
    last_status = co_await stream.SendBody(std::move(chunk));
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

  // Pieces as large as the stream would have them.
  event::Task<void> SendPaced(http::ServerStream& stream) {
    http::ResponseHead head(stream.arena());
    head.status = 200;
    head.body = BodyKind::kChunked;
    last_status = co_await stream.SendHead(head, BodyChunk());
    for (uint64_t i = 1; i <= large_pieces && last_status.ok(); ++i) {
      const size_t size = std::min(stream.PieceLimit(), base::BufferPool::kHuge);
      base::Buffer buffer = loop_.downstream_buffers().Allocate(size);
      std::memset(buffer.data(), 'p', size);
      BodyChunk chunk;
      chunk.bytes = {buffer.data(), size};
      chunk.owner = std::move(buffer);
      chunk.end = i == large_pieces;
      last_status = co_await stream.SendBody(std::move(chunk));
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
  // What "/custom" does. A lambda that is a coroutine stays here while it runs.
  std::function<event::Task<void>(http::ServerStream&)> custom;

 private:
  event::Loop& loop_;
};

// Remembers what it was told.
class CountingObserver final : public ConnectionObserver {
 public:
  void OnConnectionOpened() override { ++opened; }
  void OnConnectionClosed() override { ++closed; }
  void OnConnectionHandedOver() override { ++handed_over; }
  void OnProtocolError(std::string_view reason) override { errors.push_back(Text(reason)); }
  void OnConnectionRefused(std::string_view reason) override { refused.push_back(Text(reason)); }
  void OnHandshake(const net::TlsInfo&) override { ++handshakes; }
  void OnHandshakeFailed(std::string_view reason) override {
    handshake_failures.push_back(Text(reason));
  }
  int handshakes = 0;
  std::vector<std::string> handshake_failures;
  int opened = 0;
  int closed = 0;
  int handed_over = 0;
  std::vector<std::string> errors;
  std::vector<std::string> refused;
};

// Checks at its end that nothing is left: frames, buffers, timers, connections.
class ConnectionTest : public testing::Test {
 protected:
  ConnectionTest() : ConnectionTest(*event::CreateEpollEngine()) {}
  explicit ConnectionTest(std::unique_ptr<event::Engine> engine)
      : loop_(std::move(engine), clock_), handler_(loop_) {}

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

  // Never blocks; turns the loop while it waits.
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
    void Reset() {
      const linger now = {1, 0};
      ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
      Close();
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

inline std::string Get(const std::string& path, const std::string& fields = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n";
}

inline int Count(const std::string& text, std::string_view what) {
  int count = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
  return count;
}

}  // namespace portico::downstream

#endif  // DATAPLANE_DOWNSTREAM_CONNECTION_TEST_SUPPORT_H_
