// Streams take nothing from the general heap once a connection is warm, nghttp2's state included,
// and resting connections are small.
#include <gtest/gtest.h>
#include <malloc.h>

#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/downstream/h2_test_support.h"
#include "dataplane/http/h2_memory.h"

extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
}

namespace {
bool g_counting = false;
int g_allocations = 0;
}  // namespace

extern "C" {
void* malloc(size_t size) {
  g_allocations += g_counting;
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  g_allocations += g_counting;
  return __libc_calloc(count, size);
}
void* realloc(void* memory, size_t size) {
  g_allocations += g_counting;
  return __libc_realloc(memory, size);
}
}

namespace portico::downstream {
namespace {

TEST_F(H2ConnectionTest, WarmConnectionsDoNotAllocate) {
  Connect();
  for (int i = 0; i < 300; ++i) {
    const int before = g_allocations;
    std::vector<int32_t> ids;
    for (int k = 0; k < 16; ++k) {
      ids.push_back(client_->Request(H2Get("/", {{"x-request-id", std::to_string(i)}})));
      ids.push_back(client_->Request(H2Get("/")));
      ids.push_back(client_->Request(H2Post("/echo"), true, "some content"));
    }
    const auto done = [&] {
      for (const int32_t id : ids) {
        if (!client_->streams[id].closed) return false;
      }
      return true;
    };
    // Only the loop's work is counted, not the client's.
    for (int turn = 0; turn < 500 && !done(); ++turn) {
      g_counting = true;
      loop_.RunOnce(base::kNanosPerMilli / 10);
      g_counting = false;
      client_->Poll();
    }
    ASSERT_TRUE(done()) << i;
    client_->streams.clear();
    if (i >= 200) {
      ASSERT_EQ(g_allocations, before) << "round " << i;
    }
  }
}

class Owner final : public ConnectionOwner {
 public:
  void OnConnectionEnded(ServerConnection& connection) override {
    std::erase_if(held, [&](const auto& one) { return one.get() == &connection; });
  }
  std::vector<std::unique_ptr<H2ServerConnection>> held;
};

TEST_F(H2ConnectionTest, RestingConnectionsAreSmall) {
  constexpr size_t kConnections = 200;
  Owner owner;
  ServerContext context{.loop = loop_,
                        .handler = handler_,
                        .observer = observer_,
                        .owner = owner,
                        .options = {},
                        .listener_id = 0,
                        .listener_name = "test",
                        .date = {},
                        .arenas = {}};
  owner.held.reserve(kConnections);
  const std::string request = std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") +
                              H2Frame(4, 0, 0, "") + H2Frame(4, 1, 0, "") +
                              H2Frame(1, 5, 1, H2GetBlock());
  std::vector<int> sockets;
  sockets.reserve(kConnections);
  size_t before = 0;
  uint64_t counted = 0;
  for (size_t i = 0; i < kConnections; ++i) {
    // The first half fills what is kept for reuse.
    if (i == kConnections / 2) {
      before = mallinfo2().uordblks;
      counted = http::H2HeldBytes();
    }
    int fds[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    owner.held.push_back(std::make_unique<H2ServerConnection>(
        context, net::MakeTcpStream(loop_, fds[0]), http::ConnectionInfo(), base::Buffer()));
    owner.held.back()->Start();
    sockets.push_back(fds[1]);
    ASSERT_EQ(::send(fds[1], request.data(), request.size(), 0),
              static_cast<ssize_t>(request.size()));
    ASSERT_TRUE(Until([&] { return handler_.served == static_cast<int>(i + 1); }));
    Turn(3);
  }
  const size_t each = (mallinfo2().uordblks - before) / (kConnections / 2);
  RecordProperty("bytes", static_cast<int>(each));
  std::printf("%zu bytes for each connection\n", each);
  EXPECT_LT(each, 13u * 1024) << "bytes for each connection";
  // What the memory guard takes it for, with its 8 KiB for every connection: all of it, and
  // something for TLS and the kernel.
  const size_t taken_for = 8 * 1024 + (http::H2HeldBytes() - counted) / (kConnections / 2);
  std::printf("%zu bytes counted\n", taken_for);
  EXPECT_GE(taken_for, each);
  EXPECT_LE(taken_for, each + 8 * 1024);
  for (const int fd : sockets) ::close(fd);
  EXPECT_TRUE(Until([&] { return owner.held.empty(); }));
}

TEST_F(H2ConnectionTest, WaitingStreamsAreCounted) {
  constexpr size_t kStreams = 100;
  Connect();
  size_t before = 0;
  uint64_t counted = 0;
  for (size_t i = 0; i < kStreams; ++i) {
    if (i == kStreams / 2) {
      before = mallinfo2().uordblks;
      counted = http::H2HeldBytes();
    }
    // Only what the proxy's side takes.
    client_->SendRaw(H2Frame(1, 5, static_cast<uint32_t>(2 * i + 1), H2GetBlock(5, "/wait")));
    ASSERT_TRUE(Until([&] { return handler_.open == static_cast<int>(i + 1); }));
  }
  const size_t each = (mallinfo2().uordblks - before) / (kStreams / 2);
  const size_t taken_for = (http::H2HeldBytes() - counted) / (kStreams / 2);
  std::printf("%zu bytes for each stream, %zu counted\n", each, taken_for);
  EXPECT_GE(taken_for, each);
  EXPECT_LE(taken_for, 2 * each);
}

}  // namespace
}  // namespace portico::downstream
