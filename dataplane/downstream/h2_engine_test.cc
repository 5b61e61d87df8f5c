// HTTP/2 connections with each engine.
#include <gtest/gtest.h>

#include <string>

#include "dataplane/downstream/h2_test_support.h"
#include "dataplane/event/engine_fixture.h"

namespace portico::downstream {
namespace {

class H2EngineTest : public H2ConnectionTest, public testing::WithParamInterface<event::Factory> {
 protected:
  H2EngineTest() : H2ConnectionTest(*GetParam().create()) {}
};

TEST_P(H2EngineTest, BodiesBothWays) {
  Connect();
  handler_.large_pieces = 40;
  std::vector<std::pair<int32_t, size_t>> echoes;
  std::vector<int32_t> large;
  for (size_t i = 0; i < 20; ++i) {
    const size_t size = 1 + i * 31'337;
    echoes.push_back({client_->Request(H2Post("/echo"), true, std::string(size, 'e')), size});
    large.push_back(client_->Request(H2Get("/large")));
  }
  for (const auto& [id, size] : echoes) {
    ASSERT_TRUE(Until([this, id = id] { return client_->streams[id].closed; }, 50'000));
    EXPECT_EQ(client_->streams[id].body.size(), size);
    EXPECT_TRUE(client_->streams[id].ended);
  }
  for (const int32_t id : large) {
    ASSERT_TRUE(Until([this, id] { return client_->streams[id].closed; }, 50'000));
    EXPECT_EQ(client_->streams[id].body.size(), 40u * 64 * 1024);
  }
}

TEST_P(H2EngineTest, LeavesNothingBehindWhoeverEndsFirst) {
  for (int round = 0; round < 20; ++round) {
    Connect();
    handler_.large_pieces = 20;
    for (int i = 0; i < 30; ++i) {
      const int32_t id = client_->Request(H2Post(i % 3 == 0 ? "/echo" : "/large"), i % 2 == 0,
                                          std::string(static_cast<size_t>(i) * 1000, 'x'));
      if (i % 7 == 0) client_->Reset(id);
      if (i % 5 == 0) Turn(1);
    }
    Turn(round % 6);
    if (round % 3 == 0) {
      client_->Close();
      Pass(2 * base::kNanosPerSecond);
    } else if (round % 3 == 1) {
      connection_->ForceClose(absl::UnavailableError("the proxy ends"));
    } else {
      connection_->Drain();
      Pass(base::kNanosPerSecond);
      client_->Close();
      Pass(3 * base::kNanosPerSecond);
    }
    ASSERT_TRUE(Until([&] { return connection_ == nullptr; })) << round;
    EXPECT_EQ(handler_.open, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, H2EngineTest, testing::ValuesIn(event::Engines()),
                         &event::EngineName);

}  // namespace
}  // namespace portico::downstream
