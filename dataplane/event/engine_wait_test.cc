// When an engine waits for more than one completion. Only lower bounds of time and the shortest of
// many turns are looked at, so that a busy machine does not matter.
#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/event/engine_fixture.h"

namespace portico::event {
namespace {

// What the io_uring engine waits at least when it gathers, for which Linux 6.12 is needed.
constexpr int64_t kGatherNanos = 50'000;

// Every engine as it is by default, and one that gathers.
std::vector<Factory> EnginesAndGathering() {
  std::vector<Factory> engines = Engines();
  if (engines.size() > 1) {
    engines.push_back(
        {"gathering", [] { return CreateEngine(EngineKind::kUring, kGatherNanos / 1000); }});
  }
  return engines;
}

bool CanGather() {
  utsname about;
  int major = 0, minor = 0;
  if (::uname(&about) != 0 || std::sscanf(about.release, "%d.%d", &major, &minor) != 2)
    return false;
  return major > 6 || (major == 6 && minor >= 12);
}

class EngineWaitTest : public EngineTest {
 protected:
  struct Client {
    std::pair<int, int> pair;
    Noted<ReceiveOperation> receive;
  };

  // `count` clients, each of whose bytes are awaited.
  void Open(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      clients_.push_back(std::make_unique<Client>());
      clients_.back()->pair = Pair();
      StartReceive(clients_.back()->receive, clients_.back()->pair.first);
    }
    Turns(2);
  }
  // A byte from each of the next `count` clients, in turn.
  void Hear(size_t count) {
    const size_t first = next_;
    for (size_t i = 0; i < count; ++i)
      Write(clients_[(first + i) % clients_.size()]->pair.second, "x");
    next_ = (first + count) % clients_.size();
    for (size_t i = 0; i < count; ++i) {
      Client& client = *clients_[(first + i) % clients_.size()];
      ASSERT_TRUE(Until([&] { return client.receive.done(); }));
      client.receive.op.buffer.Reset();
      client.receive.Again();
      StartReceive(client.receive, client.pair.first);
    }
  }
  // How long a turn takes in which one of the clients is heard, in nanoseconds: the shortest of
  // some.
  int64_t ShortestTurn() {
    int64_t shortest = std::numeric_limits<int64_t>::max();
    for (int i = 0; i < 20; ++i) {
      Hear(3);
      Turns(1);
      Client& client = *clients_[next_];
      Write(client.pair.second, "x");
      const int64_t before = base::RealClock().Monotonic();
      loop_.RunOnce(base::kNanosPerSecond);
      shortest = std::min(shortest, base::RealClock().Monotonic() - before);
      EXPECT_TRUE(Until([&] { return client.receive.done(); }));
      client.receive.op.buffer.Reset();
      client.receive.Again();
      StartReceive(client.receive, client.pair.first);
    }
    return shortest;
  }
  void Close() {
    for (const std::unique_ptr<Client>& client : clients_) {
      ::close(client->pair.second);
      EXPECT_TRUE(Until([&] { return client->receive.done(); }));
      engine().Close(client->pair.first);
    }
  }

  std::vector<std::unique_ptr<Client>> clients_;
  size_t next_ = 0;
};

TEST_P(EngineWaitTest, ManyClientsWithRestsBetweenAreHeardTogether) {
  Open(96);
  for (int i = 0; i < 400; ++i) Hear(3);
  if (std::string_view(GetParam().name) != "gathering") {
    EXPECT_LT(ShortestTurn(), kGatherNanos) << "nobody asked for it";
  } else if (CanGather()) {
    EXPECT_GE(ShortestTurn(), kGatherNanos);
  }
  Close();
}

TEST_P(EngineWaitTest, AFewClientsAreNotKeptWaitingForOthers) {
  Open(6);
  for (int i = 0; i < 400; ++i) Hear(3);
  EXPECT_LT(ShortestTurn(), kGatherNanos);
  Close();
}

TEST_P(EngineWaitTest, NorIsOneAmongManyThatRest) {
  Open(96);
  for (int i = 0; i < 400; ++i) {
    next_ = 0;
    Hear(1);
  }
  next_ = 0;
  int64_t shortest = std::numeric_limits<int64_t>::max();
  for (int i = 0; i < 50; ++i) {
    next_ = 0;
    Write(clients_[0]->pair.second, "x");
    const int64_t before = base::RealClock().Monotonic();
    ASSERT_TRUE(Until([&] { return clients_[0]->receive.done(); }));
    shortest = std::min(shortest, base::RealClock().Monotonic() - before);
    clients_[0]->receive.op.buffer.Reset();
    clients_[0]->receive.Again();
    StartReceive(clients_[0]->receive, clients_[0]->pair.first);
    Turns(1);
  }
  EXPECT_LT(shortest, kGatherNanos);
  Close();
}

INSTANTIATE_TEST_SUITE_P(Engines, EngineWaitTest, testing::ValuesIn(EnginesAndGathering()),
                         EngineName);

}  // namespace
}  // namespace portico::event
