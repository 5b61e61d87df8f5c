// What an HTTP/2 connection holds for clients and handlers that are slow, and for fast ones.
#include <algorithm>

#include "dataplane/downstream/h2_test_support.h"
#include "dataplane/http/h2_memory.h"
#include "dataplane/http/h2_send_share.h"

namespace portico::downstream {
namespace {

constexpr size_t kMiB = 1 << 20;

class H2MemoryTest : public H2ConnectionTest {
 protected:
  // An upload of which `size` bytes are read, as fast as they come.
  int32_t Upload(size_t size) {
    const int32_t id = client_->Request(H2Post("/read"), false);
    // The handler counts anew.
    const int served = handler_.served;
    EXPECT_TRUE(Until([&] { return handler_.served > served; }));
    Send(id, size);
    return id;
  }
  void Send(int32_t id, size_t size) {
    const uint64_t before = handler_.read_bytes;
    client_->SendBody(id, std::string(size, 'x'), false);
    ASSERT_TRUE(Until([&] { return handler_.read_bytes == before + size; }, 20000));
    Turn();
  }
  // What the client may send yet, of a stream or (0) of all.
  int32_t Window(int32_t id) {
    return id == 0 ? nghttp2_session_get_remote_window_size(client_->session())
                   : nghttp2_session_get_stream_remote_window_size(client_->session(), id);
  }
  // The client's, for the connection.
  void OpenWindow() {
    nghttp2_session_set_local_window_size(client_->session(), NGHTTP2_FLAG_NONE, 0, 1 << 30);
    Turn();
  }
  size_t Held() { return loop_.downstream_buffers().live_bytes(); }
};

TEST_F(H2MemoryTest, AFastReaderGetsALargerWindow) {
  Connect();
  const int32_t id = Upload(3 * kMiB);
  EXPECT_GT(Window(id), static_cast<int32_t>(kMiB / 2));
  EXPECT_LE(Window(id), static_cast<int32_t>(kMiB));
  // So that the others have what they had.
  EXPECT_GT(Window(0), static_cast<int32_t>(kMiB));
  // What it was given goes with it: the tenth gets as much as the first, and the connection's
  // window is no larger then.
  for (int i = 0; i < 10; ++i) {
    const int32_t next = Upload(3 * kMiB);
    EXPECT_GT(Window(next), static_cast<int32_t>(kMiB / 2)) << i;
    EXPECT_LE(Window(0), static_cast<int32_t>(4 * kMiB)) << i;
    client_->SendBody(next, "", true);
    ASSERT_TRUE(Closed(next));
  }
  client_->SendBody(id, "", true);
  ASSERT_TRUE(Closed(id));
}

TEST_F(H2MemoryTest, ASlowReaderDoesNot) {
  Connect();
  handler_.hold = true;
  const int32_t id = client_->Request(H2Post("/read"), false, std::string(3 * kMiB, 'x'));
  for (int i = 0; i < 3; ++i) {
    Pass(10 * base::kNanosPerSecond);
    EXPECT_LE(Held(), 200'000u);
  }
  EXPECT_GT(handler_.read_bytes, 128u * 1024);
  EXPECT_LE(Window(id), 64 * 1024);
}

TEST_F(H2MemoryTest, OneThatStopsAfterItWasFastHoldsItsWindowAndNobodyUp) {
  Connect();
  const int32_t id = Upload(3 * kMiB);
  handler_.hold = true;
  client_->SendBody(id, std::string(4 * kMiB, 'y'), false);
  Turn(500);
  EXPECT_EQ(Window(id), 0);
  EXPECT_GT(Held(), kMiB / 2);
  EXPECT_LE(Held(), kMiB * 3 / 2);
  EXPECT_GE(Window(0), static_cast<int32_t>(kMiB / 2));
  const int32_t other = client_->Request(H2Post("/echo"), true, std::string(3 * kMiB, 'z'));
  ASSERT_TRUE(Until([&] { return client_->streams[other].closed; }, 20000));
  EXPECT_EQ(client_->streams[other].body.size(), 3 * kMiB);
}

TEST_F(H2MemoryTest, OthersGoOnWhileMostOfTheWindowLiesUnread) {
  static const bool scarce = true;  // Windows are what they are at first.
  context_.options.memory_scarce = &scarce;
  Connect();
  handler_.hold = true;
  std::vector<int32_t> held;
  // All but 64 KiB of the connection's window.
  for (int i = 0; i < 15; ++i) {
    held.push_back(client_->Request(H2Post("/read"), false, std::string(100'000, 'x')));
  }
  Turn(500);
  for (const int32_t id : held) EXPECT_EQ(Window(id), 0);
  EXPECT_LE(Window(0), 65 * 1024);
  const int32_t other = client_->Request(H2Post("/echo"), true, std::string(kMiB, 'z'));
  ASSERT_TRUE(Until([&] { return client_->streams[other].closed; }, 20000));
  EXPECT_EQ(client_->streams[other].body.size(), kMiB);
  // What was held is given back in full.
  for (const int32_t id : held) client_->Reset(id);
  ASSERT_TRUE(Until([&] { return handler_.open == 0; }));
  handler_.hold = false;
  for (int i = 0; i < 3; ++i) {
    const int32_t last = client_->Request(H2Post("/echo"), true, std::string(kMiB, 'z'));
    ASSERT_TRUE(Until([&] { return client_->streams[last].closed; }, 20000));
  }
  EXPECT_GE(Window(0), static_cast<int32_t>(kMiB / 2));
  EXPECT_LE(Window(0), static_cast<int32_t>(kMiB));
}

TEST_F(H2MemoryTest, WindowsAreSmallWhileMemoryIsScarce) {
  static bool scarce;  // Outlives the connection.
  scarce = false;
  context_.options.memory_scarce = &scarce;
  Connect();
  const int32_t id = Upload(3 * kMiB);
  ASSERT_GT(Window(id), static_cast<int32_t>(kMiB / 2));
  scarce = true;
  Send(id, 3 * kMiB);
  EXPECT_LE(Window(id), 64 * 1024);
  const int32_t other = Upload(3 * kMiB);
  EXPECT_LE(Window(other), 64 * 1024);
  EXPECT_LE(Window(0), static_cast<int32_t>(kMiB));
  scarce = false;
  Send(other, 3 * kMiB);
  EXPECT_GT(Window(other), static_cast<int32_t>(kMiB / 2));
}

TEST_F(H2MemoryTest, ASlowReaderGivesBackWhatItsWindowGrewBy) {
  static bool scarce;  // Outlives the connection.
  scarce = false;
  context_.options.memory_scarce = &scarce;
  Connect();
  const int32_t id = Upload(3 * kMiB);
  handler_.hold = true;
  client_->SendBody(id, std::string(16 * kMiB, 'y'), false);
  Turn(500);
  ASSERT_GT(Held(), kMiB / 2);
  scarce = true;
  for (int i = 0; i < 200 && Held() > 200'000; ++i) Pass(base::kNanosPerSecond);
  EXPECT_LE(Held(), 200'000u);
  // And what is small goes on.
  const uint64_t before = handler_.read_bytes;
  for (int i = 0; i < 100 && handler_.read_bytes < before + kMiB / 2; ++i) {
    Pass(base::kNanosPerSecond);
    EXPECT_LE(Held(), 200'000u);
  }
  EXPECT_GE(handler_.read_bytes, before + kMiB / 2);
}

TEST_F(H2MemoryTest, OthersGoOnWhenTheRestOfTheWindowCameForStreamsThatAreGone) {
  static const bool scarce = true;  // Windows are what they are at first.
  context_.options.memory_scarce = &scarce;
  Connect();
  handler_.hold = true;
  for (int i = 0; i < 9; ++i) {
    client_->Request(H2Post("/read"), false, std::string(100'000, 'x'));
  }
  Turn(500);
  // The client does not see that its requests are answered, and sends their bodies.
  client_->reads = false;
  std::vector<int32_t> answered;
  for (int i = 0; i < 7; ++i) answered.push_back(client_->Request(H2Post("/peer"), false));
  Turn(100);
  for (const int32_t id : answered) client_->SendBody(id, std::string(64 * 1024, 'y'), true);
  Turn(500);
  EXPECT_LT(Window(0), 1024);
  client_->reads = true;
  const int32_t other = client_->Request(H2Post("/echo"), true, std::string(kMiB, 'z'));
  ASSERT_TRUE(Until([&] { return client_->streams[other].closed; }, 20000));
  EXPECT_EQ(client_->streams[other].body.size(), kMiB);
}

TEST_F(H2MemoryTest, AHundredBlockedStreamsHoldNoMoreThanTheirShare) {
  constexpr size_t kStreams = 100;
  Connect(/*auto_window=*/false);
  handler_.large_pieces = 4;
  std::vector<int32_t> ids;
  for (size_t i = 0; i < kStreams; ++i) ids.push_back(client_->Request(H2Get("/paced")));
  Turn(500);
  EXPECT_EQ(handler_.open, static_cast<int>(kStreams));
  const size_t most = http::H2SendShare::kBytes + kStreams * http::H2SendStake::kLeast;
  EXPECT_LE(Held(), most + 128 * 1024);
  // All of them come to their end, in whatever order they are taken.
  ASSERT_TRUE(Until(
      [&] {
        bool all = true;
        for (const int32_t id : ids) {
          H2Client::StreamState& s = client_->streams[id];
          if (!s.body.empty()) client_->Consume(id, std::exchange(s.body, {}).size());
          all = all && s.closed;
        }
        EXPECT_LE(Held(), most + 512 * 1024);
        return all;
      },
      50000));
  EXPECT_EQ(handler_.open, 0);
}

TEST_F(H2MemoryTest, AClientThatDoesNotReadAtAll) {
  // Its windows are open; what does not go is what is written.
  constexpr size_t kStreams = 100;
  Connect(/*auto_window=*/true, /*window=*/10 << 20);
  OpenWindow();
  handler_.large_pieces = 1000;
  client_->reads = false;
  for (size_t i = 0; i < kStreams; ++i) client_->Request(H2Get("/paced"));
  Turn(500);
  const size_t most = http::H2SendShare::kBytes + kStreams * http::H2SendStake::kLeast;
  EXPECT_LE(Held(), most + 1024 * 1024);
  EXPECT_EQ(handler_.open, static_cast<int>(kStreams));
}

TEST_F(H2MemoryTest, OneDownloadComesInLargePieces) {
  Connect(/*auto_window=*/true, /*window=*/10 << 20);
  OpenWindow();
  handler_.large_pieces = 20;
  const int32_t id = client_->Request(H2Get("/paced"));
  ASSERT_TRUE(Closed(id));
  EXPECT_GE(client_->streams[id].body.size(), 15u * base::BufferPool::kHuge);
}

TEST_F(H2MemoryTest, WhatStreamsHoldIsCountedWhileTheyDo) {
  const uint64_t before = http::H2HeldBytes();
  Connect();
  const uint64_t resting = http::H2HeldBytes() - before;
  EXPECT_GT(resting, 1000u);
  EXPECT_LT(resting, 16'000u);
  std::vector<int32_t> ids;
  for (int i = 0; i < 10; ++i) ids.push_back(client_->Request(H2Get("/wait")));
  Turn();
  EXPECT_GE(http::H2HeldBytes() - before, resting + 10 * 8 * 1024);
  EXPECT_LE(http::H2HeldBytes() - before, resting + 10 * 12 * 1024);
  for (const int32_t id : ids) client_->Reset(id);
  ASSERT_TRUE(Until([&] { return handler_.open == 0; }));
  Turn();
  EXPECT_LE(http::H2HeldBytes() - before, resting + 8000);
  client_->Close();
  ASSERT_TRUE(Until([&] { return connection_ == nullptr; }));
  EXPECT_EQ(http::H2HeldBytes(), before);
}

}  // namespace
}  // namespace portico::downstream
