// What records take from the general heap once a connection is warm, and that a resting connection is
// small.
#include <malloc.h>

#include <cstdlib>
#include <string>

#include "dataplane/tls/stream_fixture.h"

namespace {
bool g_counting = false;
int g_allocations = 0;
}  // namespace

// Not operator new: BoringSSL is C, as far as memory goes.
extern "C" void* __libc_malloc(size_t size);
extern "C" void* malloc(size_t size) {
  if (g_counting) ++g_allocations;
  return __libc_malloc(size);
}

namespace portico::tls {
namespace {

class AllocationTest : public StreamTest {
 protected:
  // One send and one receive, started by hand: what tasks take is counted elsewhere.
  void Exchange(TlsStream& from, TlsStream& to, std::string_view bytes) {
    event::SendOperation send;
    send.on_complete = [](event::Operation&) {};
    send.slices[0] = {const_cast<char*>(bytes.data()), bytes.size()};
    send.slice_count = 1;
    from.StartSend(send);
    for (size_t got = 0; got < bytes.size() || send.pending();) {
      event::ReceiveOperation receive;
      receive.on_complete = [](event::Operation&) {};
      receive.pool = &loop_.downstream_buffers();
      receive.size_hint = base::BufferPool::kLarge;
      to.StartReceive(receive);
      while (receive.pending()) loop_.RunOnce(base::kNanosPerMilli);
      ASSERT_GT(receive.result(), 0);
      got += static_cast<size_t>(receive.result());
      while (got == bytes.size() && send.pending()) loop_.RunOnce(base::kNanosPerMilli);
    }
    ASSERT_EQ(send.result(), static_cast<int32_t>(bytes.size()));
  }
};

TEST_P(AllocationTest, RecordsTakeNothingFromTheHeap) {
  Pair pair = Connect();
  ASSERT_TRUE(pair.ok());
  g_allocations = 0;
  const std::string small(300, 's'), large(100'000, 'l');
  for (int i = 0; i < 40; ++i) {
    g_counting = i >= 20;
    Exchange(*pair.client, *pair.server, i % 2 == 0 ? small : large);
    Exchange(*pair.server, *pair.client, i % 2 == 0 ? small : large);
    g_counting = false;
  }
  EXPECT_EQ(g_allocations, 0);
}

TEST_P(AllocationTest, RestingConnectionsAreSmall) {
  constexpr size_t kConnections = 40;
  const auto server = Server(DefaultServer());
  const auto client = Client(DefaultClient());
  std::vector<Pair> pairs;
  pairs.reserve(kConnections);
  size_t before = 0;
  for (size_t i = 0; i < kConnections; ++i) {
    if (i == kConnections / 2) before = mallinfo2().uordblks;
    pairs.push_back(Connect(server, client));
    ASSERT_TRUE(pairs.back().ok());
    Exchange(*pairs.back().client, *pairs.back().server, "hello");
    Exchange(*pairs.back().server, *pairs.back().client, "hello");
  }
  // Of both sides, so twice what a listener's connection takes.
  const size_t each = (mallinfo2().uordblks - before) / (kConnections / 2);
  RecordProperty("bytes", static_cast<int>(each));
  EXPECT_LT(each, 2 * 12 * 1024u) << "bytes for both sides of a connection";
}

INSTANTIATE_TEST_SUITE_P(Engines, AllocationTest, testing::ValuesIn(event::Engines()),
                         event::EngineName);

}  // namespace
}  // namespace portico::tls
