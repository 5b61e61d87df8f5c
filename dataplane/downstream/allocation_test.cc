// Keep-alive requests, served and forwarded bytes included, take nothing from the
// general heap once a connection is warm.
#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdlib>
#include <new>
#include <string>
#include <string_view>

#include "dataplane/downstream/connection_test_support.h"

namespace {
bool g_counting = false;
int g_allocations = 0;
}  // namespace

void* operator new(size_t size) {
  if (g_counting) ++g_allocations;
  void* memory = std::malloc(size);
  if (memory == nullptr) std::abort();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace portico::downstream {
namespace {

// Answers with the body it got, in one piece or chunked.
class QuietHandler final : public http::ExchangeHandler {
 public:
  event::Task<void> Serve(http::ServerStream& stream, const http::ConnectionInfo&) override {
    http::ResponseHead head(stream.arena());
    head.status = 200;
    head.body = BodyKind::kChunked;
    head.headers.Add("x-one", "1");
    bool first = true;
    while (true) {
      absl::StatusOr<BodyChunk> chunk = co_await stream.ReadBody();
      if (!chunk.ok()) co_return;
      const bool end = chunk->end;
      absl::Status sent;
      if (first) {
        sent = co_await stream.SendHead(head, std::move(*chunk));
      } else {
        sent = co_await stream.SendBody(std::move(*chunk));
      }
      first = false;
      if (end || !sent.ok()) co_return;
    }
  }
  event::Task<void> ServeError(http::ServerStream& stream, const http::ConnectionInfo&, int, std::string_view) override {
    stream.Abort();
    co_return;
  }
};

TEST_F(ConnectionTest, WarmConnectionsDoNotAllocate) {
  QuietHandler quiet;
  absl::StatusOr<int> fd = net::Listen(*net::SocketAddress::Parse("127.0.0.1:0"));
  ASSERT_TRUE(fd.ok());
  address_ = *net::LocalAddress(*fd);
  acceptor_ = std::make_unique<Acceptor>(loop_, *fd, AcceptorOptions(), quiet, observer_);
  acceptor_->Start();
  Client& client = Connect();
  const std::string get = Get("/some/%2e/path?x=1", "Accept: */*\r\nUser-Agent: test\r\nX-Request-Id: 1\r\n");
  const std::string post = "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n";
  for (int i = 0; i < 200; ++i) {
    const int before = g_allocations;
    const std::string& request = i % 2 == 0 ? get : post;
    client.SendSome(request);
    // Only the loop's work is counted, not the client's.
    for (int turn = 0; turn < 500; ++turn) {
      g_counting = true;
      loop_.RunOnce(base::kNanosPerMilli / 10);
      g_counting = false;
      client.Poll();
      if (client.received().size() > 5 && client.received().ends_with("0\r\n\r\n")) break;
    }
    ASSERT_TRUE(client.received().ends_with("0\r\n\r\n")) << i;
    client.Take();
    if (i >= 100) {
      ASSERT_EQ(g_allocations, before) << "request " << i;
    }
  }
  EXPECT_GT(g_allocations, 0);
  client.Close();
  EXPECT_TRUE(Until([&] { return acceptor_->connections() == 0; }));
  acceptor_->ForceClose(absl::CancelledError("test ends"));
  EXPECT_TRUE(Until([&] { return acceptor_->ended(); }));
  acceptor_.reset();
}

TEST_F(ConnectionTest, RestingConnectionsAreSmall) {
  StartServer();
  constexpr size_t kConnections = 200;
  clients_.reserve(kConnections);
  size_t before = 0;
  for (size_t i = 0; i < kConnections; ++i) {
    // The first half fills what is kept for reuse.
    if (i == kConnections / 2) before = mallinfo2().uordblks;
    Client& client = Connect();
    client.Send(Get("/"));
    ASSERT_TRUE(client.Receive("hello"));
    client.Take().shrink_to_fit();
  }
  ASSERT_TRUE(Until([&] { return acceptor_->idle_connections() == kConnections; }));
  const size_t each = (mallinfo2().uordblks - before) / (kConnections / 2);
  RecordProperty("bytes", static_cast<int>(each));
  // Connection, coroutine frame, and the test's own client.
  EXPECT_LT(each, 2048u) << "bytes for each connection";
}

}  // namespace
}  // namespace portico::downstream
