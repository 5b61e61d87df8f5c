// A stream's contract: what is sent comes out, ends, cancellation, what is no TLS.
#include <random>

#include "dataplane/tls/stream_fixture.h"

namespace portico::tls {
namespace {

std::string Noise(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}

TEST_P(StreamTest, BytesGoBothWays) {
  Pair pair = Connect();
  ASSERT_TRUE(pair.ok()) << pair.server_status << pair.client_status;
  EXPECT_EQ(pair.server->info().version, "TLSv1.3");
  EXPECT_EQ(pair.server->info().server_name, "a.example.com");
  EXPECT_EQ(pair.client->info().cipher, pair.server->info().cipher);
  EXPECT_EQ(pair.server->info().cipher, "TLS_AES_128_GCM_SHA256");
  EXPECT_TRUE(pair.client->info().has_peer_certificate);
  EXPECT_EQ(pair.client->info().peer_certificate.fingerprint, leaf_.fingerprint);
  EXPECT_FALSE(pair.server->info().has_peer_certificate);
  EXPECT_EQ(Pass(*pair.client, *pair.server, "hello"), "hello");
  EXPECT_EQ(Pass(*pair.server, *pair.client, "world"), "world");
}

TEST_P(StreamTest, LargeTransfers) {
  Pair pair = Connect();
  ASSERT_TRUE(pair.ok());
  for (const size_t size : {1u, 16383u, 16384u, 16385u, 65536u, 1000000u, 5000000u}) {
    const std::string bytes = Noise(size, static_cast<uint32_t>(size));
    EXPECT_TRUE(Pass(*pair.client, *pair.server, bytes) == bytes) << size;
    EXPECT_TRUE(Pass(*pair.server, *pair.client, bytes) == bytes) << size;
  }
}

TEST_P(StreamTest, RandomPiecesBothWaysAtOnce) {
  Pair pair = Connect();
  ASSERT_TRUE(pair.ok());
  std::mt19937 random(7);
  const auto pump = [&](net::ByteStream& stream,
                        const std::string& bytes) -> event::Task<absl::Status> {
    for (size_t at = 0; at < bytes.size();) {
      net::Send send(stream, scope_);
      // Several slices, of any size.
      for (int slice = 0; slice < 16 && at < bytes.size(); ++slice) {
        const size_t size =
            std::min<size_t>(bytes.size() - at, random() % (random() % 4 == 0 ? 100'000 : 300));
        send.Add(std::string_view(bytes).substr(at, size));
        at += size;
        if (random() % 3 == 0) break;
      }
      if (send.bytes() == 0) continue;
      const absl::Status sent = co_await send;
      if (!sent.ok()) co_return sent;
    }
    co_return absl::OkStatus();
  };
  const auto drain = [&](net::ByteStream& stream,
                         size_t size) -> event::Task<absl::StatusOr<std::string>> {
    std::string out;
    base::Buffer begun;
    while (out.size() < size) {
      const size_t hint = random() % 2 == 0 ? 16 * 1024 : random() % 300'000 + 1;
      net::Receive receive(stream, scope_, loop_.downstream_buffers(), hint);
      const size_t before = begun.size();
      receive.AppendTo(std::move(begun));
      absl::StatusOr<base::Buffer> bytes = co_await receive;
      if (!bytes.ok()) co_return bytes.status();
      if (!*bytes) break;
      out.append(bytes->view().substr(bytes->size() > before ? before : 0));
      // Sometimes the rest of the buffer is filled.
      begun = base::Buffer();
      if (random() % 3 == 0 && bytes->size() < bytes->capacity()) begun = *std::move(bytes);
    }
    co_return out;
  };
  const std::string up = Noise(3'000'000, 1), down = Noise(3'000'000, 2);
  auto [sent, received] = event::RunTask(
      loop_,
      event::Both(event::Both(pump(*pair.client, up), pump(*pair.server, down)),
                  event::Both(drain(*pair.server, up.size()), drain(*pair.client, down.size()))));
  EXPECT_TRUE(sent.first.ok() && sent.second.ok());
  ASSERT_TRUE(received.first.ok()) << received.first.status();
  ASSERT_TRUE(received.second.ok()) << received.second.status();
  EXPECT_TRUE(*received.first == up);
  EXPECT_TRUE(*received.second == down);
}

TEST_P(StreamTest, HalfClose) {
  Pair pair = Connect();
  ASSERT_TRUE(pair.ok());
  pair.client->ShutdownWrite();
  auto end = event::RunTask(loop_, Receive(*pair.server, 1));
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(*end, "");
  EXPECT_TRUE(pair.server->HasUnread()) << "the end stays";
  EXPECT_EQ(Pass(*pair.server, *pair.client, "still here"), "still here");
  EXPECT_FALSE(event::RunTask(loop_, Send(*pair.client, "late")).ok());
  // The end of an object is one that is announced, too.
  pair.server.reset();
  end = event::RunTask(loop_, Receive(*pair.client, 1));
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(*end, "");
}

TEST_P(StreamTest, AnEndThatWasNotAnnouncedIsACut) {
  Pair pair = Connect();
  ASSERT_TRUE(pair.ok());
  pair.client->Abort();
  pair.client.reset();
  const auto end = event::RunTask(loop_, Receive(*pair.server, 1));
  EXPECT_TRUE(absl::IsUnavailable(end.status())) << end.status();
  EXPECT_TRUE(absl::IsUnavailable(event::RunTask(loop_, Receive(*pair.server, 1)).status()));
}

TEST_P(StreamTest, UnreadBytesAreKnown) {
  Pair pair = Connect();
  ASSERT_TRUE(pair.ok());
  // The tickets.
  EXPECT_EQ(Pass(*pair.server, *pair.client, "x"), "x");
  EXPECT_FALSE(pair.client->HasUnread());
  ASSERT_TRUE(event::RunTask(loop_, Send(*pair.server, std::string(100, 'x'))).ok());
  EXPECT_TRUE(Until([&] { return pair.client->HasUnread(); }));
  // Received, decrypted, and not taken: only one byte fits.
  net::Receive receive(*pair.client, scope_, loop_.downstream_buffers());
  base::Buffer small = loop_.downstream_buffers().Allocate();
  small.set_size(small.capacity() - 1);
  receive.AppendTo(std::move(small));
  const auto take = [&]() -> event::Task<absl::Status> {
    const absl::StatusOr<base::Buffer> bytes = co_await receive;
    co_return bytes.status();
  };
  ASSERT_TRUE(event::RunTask(loop_, take()).ok());
  EXPECT_TRUE(pair.client->HasUnread());
  EXPECT_EQ(event::RunTask(loop_, Receive(*pair.client, 99))->size(), 99u);
  EXPECT_FALSE(pair.client->HasUnread());
}

TEST_P(StreamTest, RestingStreamsHoldNoBuffer) {
  Pair pair = Connect();
  ASSERT_TRUE(pair.ok());
  EXPECT_EQ(Pass(*pair.client, *pair.server, Noise(100'000, 3)).size(), 100'000u);
  EXPECT_EQ(Pass(*pair.server, *pair.client, Noise(100'000, 4)).size(), 100'000u);
  auto waiting = event::Started(Receive(*pair.server, 1));
  for (int i = 0; i < 20; ++i) loop_.RunOnce(0);
  EXPECT_EQ(loop_.downstream_buffers().live(), 0u);
  EXPECT_EQ(loop_.upstream_buffers().live(), 0u);
  scope_.Request(absl::CancelledError("enough"));
  ASSERT_TRUE(Until([&] { return waiting.done(); }));
  EXPECT_TRUE(absl::IsCancelled(waiting.Take().status()));
}

// A handshake or a transfer that is cancelled after some turns, whatever it is doing.
TEST_P(StreamTest, CancelledAtEveryPoint) {
  const auto server = Server(DefaultServer());
  const auto client = Client(DefaultClient());
  const std::string bytes = Noise(400'000, 5);
  for (int turns = 0; turns < 60; ++turns) {
    event::CancelScope scope;
    auto [a, b] = net::MakeSocketPair(loop_);
    auto server_stream =
        MakeTlsServerStream(loop_, std::move(a), server, loop_.downstream_buffers(), "");
    auto client_stream = MakeTlsClientStream(loop_, std::move(b), client, loop_.upstream_buffers());
    const auto run = [&](TlsStream& stream, bool sends) -> event::Task<absl::Status> {
      absl::Status status = co_await stream.Handshake(scope);
      while (status.ok()) {
        if (sends) {
          net::Send send(stream, scope);
          send.Add(bytes);
          status = co_await send;
        } else {
          net::Receive receive(stream, scope, loop_.downstream_buffers(), 64 * 1024);
          absl::StatusOr<base::Buffer> got = co_await receive;
          status = got.status();
        }
      }
      co_return status;
    };
    auto one = event::Started(run(*server_stream, turns % 2 == 0));
    auto two = event::Started(run(*client_stream, turns % 2 == 1));
    for (int i = 0; i < turns; ++i) loop_.RunOnce(0);
    scope.Request(absl::CancelledError("now"));
    ASSERT_TRUE(Until([&] { return one.done() && two.done(); })) << turns;
    EXPECT_FALSE(one.Take().ok());
    EXPECT_FALSE(two.Take().ok());
  }
}

TEST_P(StreamTest, GarbageEndsHandshakes) {
  const auto server = Server(DefaultServer());
  std::mt19937 random(3);
  for (int i = 0; i < 50; ++i) {
    auto [a, b] = net::MakeSocketPair(loop_);
    auto stream = MakeTlsServerStream(loop_, std::move(a), server, loop_.downstream_buffers(),
                                      i % 2 == 0 ? "" : "\x16\x03\x01");
    std::string bytes = Noise(random() % 2000 + 10, static_cast<uint32_t>(i));
    if (i % 3 == 0) bytes.replace(0, 5, "\x16\x03\x01\x00\x20");
    auto handshake = event::Started(stream->Handshake(scope_));
    ASSERT_TRUE(event::RunTask(loop_, Send(*b, bytes)).ok());
    b->ShutdownWrite();
    ASSERT_TRUE(Until([&] { return handshake.done(); })) << i;
    EXPECT_FALSE(handshake.Take().ok());
    EXPECT_FALSE(stream->failure().empty());
    EXPECT_FALSE(event::RunTask(loop_, Send(*stream, "x")).ok());
    EXPECT_FALSE(event::RunTask(loop_, Receive(*stream, 1)).ok());
  }
}

// Records that were changed on their way.
TEST_P(StreamTest, ChangedRecordsEndTheStream) {
  auto [a, middle_a] = net::MakeSocketPair(loop_);
  auto [b, middle_b] = net::MakeSocketPair(loop_);
  auto server = MakeTlsServerStream(loop_, std::move(a), Server(DefaultServer()),
                                    loop_.downstream_buffers(), "");
  auto client =
      MakeTlsClientStream(loop_, std::move(b), Client(DefaultClient()), loop_.upstream_buffers());
  event::CancelScope relay_scope;
  bool change = false;
  const auto relay = [&](net::ByteStream& from, net::ByteStream& to) -> event::Task<void> {
    while (true) {
      net::Receive receive(from, relay_scope, loop_.downstream_buffers());
      absl::StatusOr<base::Buffer> bytes = co_await receive;
      if (!bytes.ok() || !*bytes) co_return;
      if (change) bytes->data()[bytes->size() - 1] ^= 1;
      net::Send send(to, relay_scope);
      send.Add(bytes->view());
      const absl::Status sent = co_await send;
      if (!sent.ok()) co_return;
    }
  };
  auto up = event::Started(relay(*middle_b, *middle_a));
  auto down = event::Started(relay(*middle_a, *middle_b));
  absl::Status server_status, client_status;
  event::RunTask(
      loop_, event::Both(CloseAfter(*server, server_status), CloseAfter(*client, client_status)));
  ASSERT_TRUE(server_status.ok() && client_status.ok()) << server_status << client_status;
  EXPECT_EQ(Pass(*client, *server, "hello"), "hello");
  change = true;
  auto [sent, received] =
      event::RunTask(loop_, event::Both(Send(*client, "hello"), Receive(*server, 5)));
  EXPECT_TRUE(sent.ok());
  EXPECT_TRUE(absl::IsUnavailable(received.status())) << received.status();
  change = false;
  // The client is told.
  EXPECT_FALSE(event::RunTask(loop_, Receive(*client, 1)).ok());
  relay_scope.Request(absl::CancelledError("end"));
  ASSERT_TRUE(Until([&] { return up.done() && down.done(); }));
}

INSTANTIATE_TEST_SUITE_P(Engines, StreamTest, testing::ValuesIn(event::Engines()),
                         event::EngineName);

}  // namespace
}  // namespace portico::tls
