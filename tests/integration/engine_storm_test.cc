// Every engine under more than it has room for: cancellations, completions, buffers,
// timers and wake-ups by the thousand. What the bytes say is checked, and that nothing
// is left.
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/event/engine_fixture.h"
#include "dataplane/event/timer.h"

namespace portico::event {
namespace {

// One connection of which both sides know what every byte of either stream is.
struct Stream {
  int ours = -1, peer = -1;
  unsigned seed = 0;
  Noted<ReceiveOperation> receive;
  Noted<SendOperation> send;
  Noted<HangUpOperation> watch;
  std::string sending;
  size_t sent = 0, received = 0;            // By the engine, and checked
  size_t peer_sent = 0, peer_received = 0;  // By the peer, and checked
  bool broken = false;                      // A send ended in the middle: no more
  bool ended = false;                       // The engine has seen the end or an error

  char At(size_t index, unsigned direction) const {
    return static_cast<char>((index * 131 + (index >> 8) * 7 + seed * 31 + direction) & 0xff);
  }
  bool idle() const { return !receive.op.pending() && !send.op.pending() && !watch.op.pending(); }
};

class EngineStormTest : public EngineTest {
 protected:
  static constexpr size_t kMost = 400'000;

  EngineStormTest() {
    // Thousands of connections with both sides in one process.
    rlimit limit;
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  }

  std::unique_ptr<Stream> Open(unsigned seed) {
    auto stream = std::make_unique<Stream>();
    stream->seed = seed;
    std::tie(stream->ours, stream->peer) = seed % 4 == 0 ? TcpPair() : Pair();
    return stream;
  }

  void Receive(Stream& stream, size_t size_hint, bool into_a_buffer) {
    stream.receive.Again();
    stream.receive.op.size_hint = size_hint;
    stream.receive.op.buffer.Reset();
    if (into_a_buffer) stream.receive.op.buffer = pool_.Allocate(size_hint);
    StartReceive(stream.receive, stream.ours);
  }
  // False when a byte is wrong.
  void TakeReceived(Stream& stream) {
    base::Buffer& buffer = stream.receive.op.buffer;
    if (stream.receive.result <= 0) {
      stream.ended |= stream.receive.result != -ECANCELED;
      buffer.Reset();
      return;
    }
    ASSERT_EQ(buffer.size(), static_cast<size_t>(stream.receive.result));
    for (size_t i = 0; i < buffer.size(); ++i) {
      ASSERT_EQ(buffer.data()[i], stream.At(stream.received, 0)) << "byte " << stream.received;
      ++stream.received;
    }
    ASSERT_LE(stream.received, stream.peer_sent);
    buffer.Reset();
  }
  void Send(Stream& stream, size_t size, int slices) {
    stream.sending.resize(size);
    for (size_t i = 0; i < size; ++i) stream.sending[i] = stream.At(stream.sent + i, 1);
    stream.send.Again();
    stream.send.op.fd = stream.ours;
    stream.send.op.slice_count = 0;
    stream.send.op.awaits_answer = ++sends_ % 2 == 0;
    for (int i = 0; i < slices; ++i) {
      const size_t begin = size * static_cast<size_t>(i) / static_cast<size_t>(slices);
      const size_t end = size * static_cast<size_t>(i + 1) / static_cast<size_t>(slices);
      stream.send.op.slices[stream.send.op.slice_count++] = {stream.sending.data() + begin,
                                                             end - begin};
    }
    engine().StartSend(stream.send.op);
  }
  void TakeSent(Stream& stream) {
    if (stream.send.result >= 0) {
      ASSERT_EQ(static_cast<size_t>(stream.send.result), stream.sending.size());
      stream.sent += stream.sending.size();
    } else {
      // How much of it went is not known.
      stream.broken = true;
    }
  }
  void PeerReads(Stream& stream) {
    char bytes[65536];
    const ssize_t got = ::recv(stream.peer, bytes, sizeof(bytes), MSG_DONTWAIT);
    for (ssize_t i = 0; i < got; ++i) {
      ASSERT_EQ(bytes[i], stream.At(stream.peer_received, 1)) << "byte " << stream.peer_received;
      ++stream.peer_received;
    }
  }
  void PeerWrites(Stream& stream, size_t size) {
    std::string bytes(size, 0);
    for (size_t i = 0; i < size; ++i) bytes[i] = stream.At(stream.peer_sent + i, 0);
    const ssize_t sent = ::send(stream.peer, bytes.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) stream.peer_sent += static_cast<size_t>(sent);
  }
  void CancelAll(Stream& stream) {
    engine().Cancel(stream.receive.op);
    engine().Cancel(stream.send.op);
    engine().Cancel(stream.watch.op);
  }
  void Close(Stream& stream) {
    CancelAll(stream);
    ASSERT_TRUE(Until([&] { return stream.idle(); }));
    stream.receive.op.buffer.Reset();
    engine().Close(stream.ours);
    if (stream.peer >= 0) ::close(stream.peer);
  }
  static int OpenDescriptors() {
    int count = 0;
    for (int fd = 0; fd < 20'000; ++fd) count += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return count;
  }

  void Step(Stream& stream, std::mt19937& random) {
    if (stream.receive.done() && !stream.receive.op.pending()) {
      TakeReceived(stream);
      stream.receive.Again();
    }
    if (stream.send.done() && !stream.send.op.pending()) {
      TakeSent(stream);
      stream.send.Again();
    }
    static constexpr size_t kSizes[] = {1, 100, 5000, 20'000, 100'000, kMost};
    const size_t size = kSizes[random() % std::size(kSizes)];
    switch (random() % 14) {
      case 0:
      case 1:
      case 2:
        if (!stream.receive.op.pending() && !stream.ended) Receive(stream, size, random() % 4 == 0);
        break;
      case 3:
      case 4:
        if (!stream.send.op.pending() && !stream.broken) {
          Send(stream, size, 1 + static_cast<int>(random() % SendOperation::kMaxSlices));
        }
        break;
      case 5:
        if (!stream.watch.op.pending()) {
          stream.watch.op.fd = stream.ours;
          engine().StartHangUpWatch(stream.watch.op);
        }
        break;
      case 6:
        engine().Cancel(stream.receive.op);
        break;
      case 7:
        if (random() % 8 == 0) engine().Cancel(stream.send.op);
        break;
      case 8:
        engine().Cancel(stream.watch.op);
        break;
      case 9:
      case 10:
        if (stream.peer >= 0) PeerWrites(stream, std::min<size_t>(size, 100'000));
        break;
      case 11:
      case 12:
        if (stream.peer >= 0) PeerReads(stream);
        break;
      case 13:
        if (stream.peer < 0 || random() % 40 != 0) break;
        if (random() % 2 == 0) {
          Reset(stream.peer);
        } else {
          ::close(stream.peer);
        }
        stream.peer = -1;
        break;
    }
  }

  unsigned sends_ = 0;
};

TEST_P(EngineStormTest, EverythingAtRandom) {
  const int before = OpenDescriptors();
  std::mt19937 random(7);
  std::vector<std::unique_ptr<Stream>> streams;
  unsigned seed = 0;
  size_t received = 0, sent = 0;
  for (int turn = 0; turn < 1500; ++turn) {
    while (streams.size() < 200) streams.push_back(Open(seed++));
    for (int i = 0; i < 20; ++i) {
      std::unique_ptr<Stream>& stream = streams[random() % streams.size()];
      ASSERT_NO_FATAL_FAILURE(Step(*stream, random));
      if (stream->peer < 0 || random() % 500 == 0) {
        received += stream->received;
        sent += stream->sent;
        Close(*stream);
        stream = std::move(streams.back());
        streams.pop_back();
      }
    }
    loop_.RunOnce(0);
  }
  for (auto& stream : streams) Close(*stream);
  EXPECT_GT(received, 1'000'000u);
  EXPECT_GT(sent, 1'000'000u);
  EXPECT_EQ(OpenDescriptors(), before);
}

// More completions at once than a ring or a batch of events has room for.
TEST_P(EngineStormTest, TwelveThousandCompletionsAtOnce) {
  constexpr size_t kStreams = 4000;
  std::vector<std::unique_ptr<Stream>> streams;
  for (unsigned i = 0; i < kStreams; ++i) {
    streams.push_back(Open(4 * i + 1));
    Receive(*streams.back(), base::BufferPool::kSmall, false);
    streams.back()->watch.op.fd = streams.back()->ours;
    engine().StartHangUpWatch(streams.back()->watch.op);
  }
  Turns(20);
  for (auto& stream : streams) {
    Send(*stream, 100, 2);
    PeerWrites(*stream, 10);
    ::shutdown(stream->peer, SHUT_WR);
  }
  for (auto& stream : streams) {
    ASSERT_TRUE(Until([&] { return stream->idle(); }));
    EXPECT_EQ(stream->receive.result, 10);
    EXPECT_EQ(stream->send.result, 100);
    EXPECT_EQ(stream->watch.result, 0);
    EXPECT_EQ(stream->receive.completions + stream->send.completions + stream->watch.completions,
              3);
    TakeReceived(*stream);
    Close(*stream);
  }
}

TEST_P(EngineStormTest, ACancelOfEverythingInTheSameTurn) {
  std::vector<std::unique_ptr<Stream>> streams;
  for (unsigned i = 0; i < 500; ++i) streams.push_back(Open(i));
  std::mt19937 random(1);
  for (int round = 0; round < 6; ++round) {
    for (auto& stream : streams) {
      if (!stream->ended) Receive(*stream, round % 3 == 0 ? kMost : 1000, round % 4 == 1);
      if (!stream->broken) Send(*stream, random() % 3 == 0 ? kMost : 100, 3);
      stream->watch.op.fd = stream->ours;
      engine().StartHangUpWatch(stream->watch.op);
    }
    // Before the kernel knows of them, while they wait, and while they complete.
    Turns(round % 3);
    if (round % 2 == 1) {
      for (auto& stream : streams) PeerWrites(*stream, 20'000);
    }
    for (auto& stream : streams) CancelAll(*stream);
    for (auto& stream : streams) {
      ASSERT_TRUE(Until([&] { return stream->idle(); }));
      ASSERT_NO_FATAL_FAILURE(TakeReceived(*stream));
      if (!stream->broken) TakeSent(*stream);
    }
    for (auto& stream : streams) {
      for (int i = 0; i < 8; ++i) ASSERT_NO_FATAL_FAILURE(PeerReads(*stream));
    }
  }
  // What is still on its way arrives, and nothing was lost or doubled.
  for (auto& stream : streams) {
    while (!stream->ended && stream->received < stream->peer_sent) {
      Receive(*stream, 1000, false);
      ASSERT_TRUE(Until([&] { return stream->receive.done(); }));
      ASSERT_NO_FATAL_FAILURE(TakeReceived(*stream));
    }
    Close(*stream);
  }
}

// All of them get bytes at the same time, and none gives its buffer back: buffers that
// are lent to the kernel ahead run out, again and again.
TEST_P(EngineStormTest, TwoThousandSlowUploaders) {
  std::vector<std::unique_ptr<Stream>> streams;
  for (unsigned i = 0; i < 2000; ++i) streams.push_back(Open(4 * i + 1));
  for (int round = 0; round < 3; ++round) {
    std::vector<base::Buffer> held;
    for (auto& stream : streams) Receive(*stream, base::BufferPool::kLarge, false);
    Turns(3);
    for (auto& stream : streams) PeerWrites(*stream, 3000);
    // In the middle of the shortage some want to leave, and one that came late is
    // served all the same.
    loop_.RunOnce(0);
    for (size_t i = 0; i < streams.size(); i += 7) engine().Cancel(streams[i]->receive.op);
    auto late = Open(1);
    Receive(*late, base::BufferPool::kLarge, false);
    PeerWrites(*late, 5);
    ASSERT_TRUE(Until([&] { return late->receive.done(); }));
    EXPECT_EQ(late->receive.result, 5);
    TakeReceived(*late);
    Close(*late);
    for (auto& stream : streams) {
      ASSERT_TRUE(Until([&] { return stream->receive.done(); }));
      if (stream->receive.result == -ECANCELED) continue;
      ASSERT_GT(stream->receive.result, 0);
      stream->received += static_cast<size_t>(stream->receive.result);
      held.push_back(std::move(stream->receive.op.buffer));
    }
    EXPECT_GT(held.size(), 1500u);
  }
  for (auto& stream : streams) Close(*stream);
}

TEST_P(EngineStormTest, TwentyThousandTimersBesideTheBytes) {
  struct Alarm {
    Timer timer;
    const Loop* loop;
    base::MonotonicNanos deadline;
    int fired = 0;
  };
  std::vector<std::unique_ptr<Alarm>> alarms;
  std::mt19937 random(3);
  for (int i = 0; i < 20'000; ++i) {
    alarms.push_back(std::make_unique<Alarm>());
    Alarm& alarm = *alarms.back();
    alarm.loop = &loop_;
    alarm.deadline = loop_.now() + static_cast<int64_t>(random() % 500) * base::kNanosPerMilli;
    alarm.timer.context = &alarm;
    alarm.timer.on_fire = [](Timer& timer) {
      auto& self = *static_cast<Alarm*>(timer.context);
      ++self.fired;
      EXPECT_GE(self.loop->now(), self.deadline);
    };
    loop_.timers().Arm(alarm.timer, alarm.deadline);
  }
  // Half of them change their mind.
  for (size_t i = 0; i < alarms.size(); i += 2) {
    if (i % 4 == 0) {
      loop_.timers().Disarm(alarms[i]->timer);
    } else {
      loop_.timers().Arm(alarms[i]->timer, alarms[i]->deadline += 10 * base::kNanosPerMilli);
    }
  }
  auto stream = Open(1);
  const base::MonotonicNanos patience = loop_.now() + 30 * base::kNanosPerSecond;
  while (loop_.timers().armed() != 0 && loop_.now() < patience) {
    if (!stream->receive.op.pending()) {
      if (stream->receive.done()) TakeReceived(*stream);
      Receive(*stream, 1000, false);
      PeerWrites(*stream, 10);
    }
    loop_.RunOnce(-1);
  }
  for (size_t i = 0; i < alarms.size(); ++i) EXPECT_EQ(alarms[i]->fired, i % 4 == 0 ? 0 : 1) << i;
  EXPECT_GT(stream->received, 100u);
  // Nothing but a timer ends the wait.
  TakeReceived(*stream);
  Close(*stream);
  Alarm& last = *alarms.front();
  last.deadline = loop_.now() + 30 * base::kNanosPerMilli;
  loop_.timers().Arm(last.timer, last.deadline);
  for (int i = 0; i < 100 && last.fired == 0; ++i) loop_.RunOnce(-1);
  EXPECT_EQ(last.fired, 1);
}

TEST_P(EngineStormTest, WorkFromOtherThreadsBesideTheBytes) {
  constexpr int kThreads = 3, kEach = 20'000;
  int next[kThreads] = {};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, t, &next] {
      for (int i = 0; i < kEach; ++i) {
        loop_.Post([&next, t, i] {
          EXPECT_EQ(next[t], i);
          ++next[t];
        });
        if (i % 100 == 0) std::this_thread::yield();
      }
    });
  }
  auto stream = Open(4);
  const auto all = [&] {
    return std::all_of(next, next + kThreads, [](int n) { return n == kEach; });
  };
  // Only the wake-ups end these waits when no byte comes.
  for (int turn = 0; !all() && turn < 1'000'000; ++turn) {
    if (!stream->receive.op.pending()) {
      if (stream->receive.done()) TakeReceived(*stream);
      Receive(*stream, 1000, false);
      if (turn % 2 == 0) PeerWrites(*stream, 10);
    }
    loop_.RunOnce(base::kNanosPerSecond);
  }
  EXPECT_TRUE(all());
  for (std::thread& thread : threads) thread.join();
  if (stream->receive.done()) TakeReceived(*stream);
  Close(*stream);
}

// Connections come faster than they are asked for, the listener closes in the middle,
// and every one of them is either taken or seen to be closed by its client.
TEST_P(EngineStormTest, AListenerThatClosesInTheMiddleOfAStorm) {
  const int before = OpenDescriptors();
  for (int round = 0; round < 5; ++round) {
    sockaddr_storage address;
    const int listener = Listener(address);
    Noted<AcceptOperation> accept;
    accept.op.fd = listener;
    std::vector<int> accepted, clients;
    accept.then = [&] {
      if (accept.result >= 0) accepted.push_back(accept.result);
      // Pauses after a while, as when a limit is reached.
      if (accepted.size() % 50 != 0 && accept.result >= 0) engine().StartAccept(accept.op);
    };
    engine().StartAccept(accept.op);
    Turns(2);
    for (int i = 0; i < 400; ++i) {
      clients.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      ASSERT_EQ(
          ::connect(clients.back(), reinterpret_cast<sockaddr*>(&address), sizeof(sockaddr_in)), 0);
    }
    Turns(3);
    if (!accept.op.pending()) engine().StartAccept(accept.op);
    Turns(round);
    engine().Cancel(accept.op);
    ASSERT_TRUE(Until([&] {
      // A connection that was faster than the cancellation asks again.
      engine().Cancel(accept.op);
      return !accept.op.pending();
    }));
    engine().Close(listener);
    Turns(5);
    for (const int fd : accepted) engine().Close(fd);
    for (const int client : clients) {
      const timeval patience = {10, 0};
      ::setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
      char byte;
      const ssize_t got = ::recv(client, &byte, 1, 0);
      EXPECT_TRUE(got == 0 || errno == ECONNRESET) << errno;
      ::close(client);
    }
    // Nobody listens there any more.
    const int after = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_NE(::connect(after, reinterpret_cast<sockaddr*>(&address), sizeof(sockaddr_in)), 0);
    ::close(after);
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

INSTANTIATE_TEST_SUITE_P(Engines, EngineStormTest, testing::ValuesIn(Engines()), &EngineName);

}  // namespace
}  // namespace portico::event
