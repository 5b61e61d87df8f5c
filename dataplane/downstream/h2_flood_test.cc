// What a client can do to make us work for nothing, frame by frame.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <string_view>

#include "dataplane/downstream/h2_test_support.h"

namespace portico::downstream {
namespace {

constexpr int kFrames = 20'000;

struct Flood {
  std::string name;
  // Sent first; then `frame` for 0, 1, ...
  std::string before;
  std::function<std::string(uint32_t)> frame;
  std::string reason;
  uint32_t code = NGHTTP2_ENHANCE_YOUR_CALM;
};

void PrintTo(const Flood& flood, std::ostream* out) { *out << flood.name; }

std::string Eight() { return std::string(8, 'p'); }

// The stream of the n-th request.
uint32_t Id(uint32_t n) { return 2 * n + 1; }

std::string Open(uint32_t n, int flags = 5) { return H2Frame(1, flags, Id(n), H2GetBlock()); }

std::vector<Flood> Floods() {
  const std::string kPost("\x83\x86\x41\x01h\x04\x05/read", 12);
  return {
      {"Ping", "", [](uint32_t) { return H2Frame(6, 0, 0, Eight()); }, "ping_flood"},
      {"PingAck", "", [](uint32_t) { return H2Frame(6, 1, 0, Eight()); }, "ping_flood"},
      {"Settings", "", [](uint32_t) { return H2Frame(4, 0, 0, ""); }, "settings_flood"},
      {"SettingsAck", "", [](uint32_t) { return H2Frame(4, 1, 0, ""); }, "settings_flood"},
      {"Priority", "", [](uint32_t i) { return H2Frame(2, 0, Id(i), BigEndian32(0) + "\x10"); },
       "priority_flood"},
      {"PriorityUpdate", "",
       [](uint32_t i) { return H2Frame(16, 0, 0, BigEndian32(Id(i)) + "u=1"); }, "priority_flood"},
      {"WindowUpdate", "", [](uint32_t) { return H2Frame(8, 0, 0, BigEndian32(1)); },
       "window_update_flood"},
      {"EmptyData", H2Frame(1, 4, 1, kPost), [](uint32_t) { return H2Frame(0, 0, 1, ""); },
       "empty_frame_flood"},
      {"PaddingOnly", H2Frame(1, 4, 1, kPost),
       [](uint32_t) { return H2Frame(0, 8, 1, std::string(1, '\0')); }, "empty_frame_flood"},
      {"EmptyContinuation", H2Frame(1, 1, 1, H2GetBlock()),
       [](uint32_t) { return H2Frame(9, 0, 1, ""); }, "empty_frame_flood"},
      {"Continuation", H2Frame(1, 1, 1, H2GetBlock()),
       // Literals without indexing: "a: b".
       [](uint32_t) { return H2Frame(9, 0, 1, std::string("\0\1a\1b", 5)); }, "h2_flood"},
      {"UnknownType", "", [](uint32_t) { return H2Frame(0x77, 0, 0, "x"); }, "unknown_frame_flood"},
      {"RapidReset", "", [](uint32_t i) { return Open(i) + H2Frame(3, 0, Id(i), BigEndian32(8)); },
       "reset_flood"},
      {"MadeYouResetByOverflow", "",
       [](uint32_t i) { return Open(i) + H2Frame(8, 0, Id(i), BigEndian32(0x7FFFFFFF)); },
       "reset_flood"},
      {"MadeYouResetByZeroIncrement", "",
       [](uint32_t i) { return Open(i, 4) + H2Frame(8, 0, Id(i), BigEndian32(0)); },
       "h2_protocol_error", NGHTTP2_PROTOCOL_ERROR},
      {"MadeYouResetByMalformedHead", "",
       // A second ":method".
       [](uint32_t i) { return H2Frame(1, 5, Id(i), "\x82" + H2GetBlock()); }, "reset_flood"},
      {"MadeYouResetByLength", "",
       // "content-length: 1" and two bytes.
       [](uint32_t i) {
         return H2Frame(1, 4, Id(i),
                        H2GetBlock() + std::string("\x0f\x0d\x01"
                                                   "1",
                                                   4)) +
                H2Frame(0, 1, Id(i), "xx");
       },
       "reset_flood"},
      {"MadeYouResetByTrailers", "",
       // Without END_STREAM.
       [](uint32_t i) { return Open(i, 4) + H2Frame(1, 4, Id(i), std::string("\0\1a\1b", 5)); },
       "reset_flood"},
      // More than the client may have open; it takes no notice.
      {"RefusedStreams", "",
       [](uint32_t i) { return H2Frame(1, 5, Id(i), H2GetBlock(5, "/wait")); }, "reset_flood"},
      // An entry of the dynamic table, and then a byte for each use of it.
      {"HpackBomb", "",
       [](uint32_t i) {
         if (i == 0) {
           return H2Frame(1, 1, 1,
                          H2GetBlock() +
                              "\x40\x01"
                              "a\x7f\xa1\x1e" +
                              std::string(4000, 'x'));
         }
         return H2Frame(9, 0, 1, std::string(16000, '\xbe'));
       },
       "header_bomb"},
      {"CookieBomb", "",
       [](uint32_t i) {
         // "cookie: ", literal with the name of the static table.
         std::string block;
         for (int k = 0; k < 4000; ++k) block += std::string("\x0f\x11\x00", 3);
         return i == 0 ? H2Frame(1, 1, 1, H2GetBlock() + block) : H2Frame(9, 0, 1, block);
       },
       "header_bomb"},
  };
}

class H2FloodTest : public H2ConnectionTest, public testing::WithParamInterface<Flood> {};

TEST_P(H2FloodTest, EndsTheConnection) {
  const Flood& flood = GetParam();
  Connect();
  Turn();
  handler_.hold = true;
  if (!flood.before.empty()) client_->SendRaw(flood.before);
  std::string some;
  for (uint32_t i = 0; i < kFrames && !client_->end && !client_->reset; ++i) {
    some += flood.frame(i);
    if (some.size() < 8000) continue;
    client_->SendRaw(some);
    some.clear();
    Turn(2);
    EXPECT_LE(loop_.downstream_buffers().live_bytes(), 600'000u);
    EXPECT_LE(handler_.open, 100);
  }
  ASSERT_TRUE(Ended());
  EXPECT_TRUE(Saw(flood.reason)) << observer_.errors.back();
  ASSERT_FALSE(client_->goaways.empty());
  EXPECT_EQ(client_->goaways.back().code, flood.code);
  EXPECT_LT(observer_.errors.size(), 500u);
}

INSTANTIATE_TEST_SUITE_P(All, H2FloodTest, testing::ValuesIn(Floods()),
                         [](const auto& info) { return info.param.name; });

// A client that does not read what it is owed.
TEST_F(H2ConnectionTest, AnswersThatNobodyReadsAreBounded) {
  Connect();
  Turn();
  client_->reads = false;
  handler_.large_pieces = 10;
  for (uint32_t i = 0; i < 300; ++i) {
    client_->SendRaw(H2Frame(1, 5, Id(i), H2GetBlock(6, "/large")));
    client_->SendRaw(H2Frame(6, 0, 0, Eight()));
    Turn(1);
  }
  EXPECT_LE(handler_.open, 100);
  EXPECT_LE(loop_.downstream_buffers().live_bytes(), 8'000'000u);
}

// Nothing of what browsers, gRPC and proxies do is taken for an attack.
TEST_F(H2ConnectionTest, HonestClientsAreLeftAlone) {
  Connect();
  for (int i = 0; i < 2000; ++i) {
    const int32_t id = client_->Request(H2Get(i % 3 == 0 ? "/wait" : "/"));
    if (i % 3 == 0) {
      Turn(1);
      client_->Reset(id);
    }
    if (i % 2 == 0) nghttp2_submit_ping(client_->session(), 0, nullptr);
    nghttp2_submit_window_update(client_->session(), 0, 0, 100);
    ASSERT_TRUE(Closed(id));
  }
  EXPECT_TRUE(client_->goaways.empty());
  EXPECT_TRUE(observer_.errors.empty()) << observer_.errors.front();
}

}  // namespace
}  // namespace portico::downstream
