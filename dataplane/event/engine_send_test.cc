// Sends that await an answer, and buffers that are lent: what engines may do to spare
// system calls and memory shows in nothing but these.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/event/engine_fixture.h"

namespace portico::event {
namespace {

class EngineSendTest : public EngineTest {
 protected:
  void StartQuestion(Noted<SendOperation>& send, int fd, std::string_view bytes) {
    send.op.awaits_answer = true;
    StartSend(send, fd, bytes);
  }
  static std::string Read(int fd) {
    char bytes[64 * 1024];
    const ssize_t got = ::recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    return got > 0 ? std::string(bytes, static_cast<size_t>(got)) : std::string();
  }
  static bool lends() { return std::string_view(GetParam().name) == "uring"; }
  uint64_t lent() { return engine().stats().lent_buffer_bytes.load(); }
  // A byte from each of many peers in one turn.
  void Burst(const std::vector<std::pair<int, int>>& pairs) {
    std::vector<std::unique_ptr<Noted<ReceiveOperation>>> receives;
    for (const auto& [ours, peer] : pairs) {
      receives.push_back(std::make_unique<Noted<ReceiveOperation>>());
      // Of large ones few are lent at first.
      receives.back()->op.size_hint = base::BufferPool::kLarge;
      StartReceive(*receives.back(), ours);
    }
    Turns(3);
    for (size_t i = 0; i < pairs.size(); ++i)
      Write(pairs[i].second, std::string(i + 1, static_cast<char>('a' + i % 26)));
    for (size_t i = 0; i < pairs.size(); ++i) {
      ASSERT_TRUE(Until([&] { return receives[i]->done(); }));
      EXPECT_EQ(receives[i]->op.buffer.view(), std::string(i + 1, static_cast<char>('a' + i % 26)));
      receives[i]->op.buffer.Reset();
    }
  }
};

TEST_P(EngineSendTest, AQuestionEndsBeforeItsAnswer) {
  for (const auto& [ours, peer] : {Pair(), TcpPair()}) {
    const std::string question(700, 'q');
    for (int round = 0; round < 50; ++round) {
      Noted<ReceiveOperation> receive;
      Noted<SendOperation> send;
      bool in_order = false;
      receive.then = [&] { in_order = send.done(); };
      StartReceive(receive, ours);
      StartQuestion(send, ours, question);
      EXPECT_FALSE(send.done());
      std::string asked;
      const int reader = peer;
      ASSERT_TRUE(Until([&] { return (asked += Read(reader)).size() == question.size(); }));
      Write(peer, "answer");
      ASSERT_TRUE(Until([&] { return receive.done(); }));
      EXPECT_TRUE(in_order);
      EXPECT_EQ(send.result, static_cast<int32_t>(question.size()));
      EXPECT_EQ(receive.op.buffer.view(), "answer");
      receive.op.buffer.Reset();
    }
    engine().Close(ours);
    ::close(peer);
  }
}

TEST_P(EngineSendTest, AQuestionWithoutAnswerEndsSoon) {
  const auto [ours, peer] = TcpPair();
  Noted<ReceiveOperation> receive;
  Noted<SendOperation> send;
  StartReceive(receive, ours);
  StartQuestion(send, ours, "question");
  // Waits as long as nothing happens.
  for (int turn = 0; turn < 10 && !send.done(); ++turn) loop_.RunOnce(-1);
  EXPECT_EQ(send.result, 8);
  EXPECT_FALSE(receive.done());
  engine().Cancel(receive.op);
  ASSERT_TRUE(Until([&] { return receive.done(); }));
  engine().Close(ours);
  ::close(peer);
}

TEST_P(EngineSendTest, AQuestionThatIsCancelledEndsAtOnce) {
  // The shortest of several counts: other programs may delay the others.
  int64_t shortest = base::kNanosPerSecond;
  for (int round = 0; round < 20; ++round) {
    const auto [ours, peer] = TcpPair();
    Noted<ReceiveOperation> receive;
    Noted<SendOperation> send;
    StartReceive(receive, ours);
    loop_.RunOnce(0);
    const base::MonotonicNanos begin = loop_.now();
    StartQuestion(send, ours, "question");
    engine().Cancel(send.op);
    // Nothing else happens that would end a wait.
    while (!send.done()) loop_.RunOnce(-1);
    shortest = std::min(shortest, loop_.now() - begin);
    EXPECT_TRUE(send.result == 8 || send.result == -ECANCELED) << send.result;
    engine().Cancel(receive.op);
    ASSERT_TRUE(Until([&] { return receive.done(); }));
    EXPECT_EQ(receive.result, -ECANCELED);
    engine().Close(ours);
    ::close(peer);
  }
  EXPECT_LT(shortest, 5 * base::kNanosPerMilli);
}

TEST_P(EngineSendTest, AQuestionToNobodyFails) {
  const auto [ours, peer] = Pair();
  Noted<ReceiveOperation> receive;
  Noted<SendOperation> send;
  StartReceive(receive, ours);
  ::close(peer);
  StartQuestion(send, ours, "question");
  ASSERT_TRUE(Until([&] { return send.done() && receive.done(); }));
  EXPECT_EQ(send.result, -EPIPE);
  EXPECT_EQ(receive.result, 0);
  engine().Close(ours);
}

// The socket's buffer has room for a part, or for nothing: all bytes arrive, once.
TEST_P(EngineSendTest, AQuestionThatFindsNoRoomIsSentWhole) {
  int delayed = 0;
  for (size_t filled = 0; filled < 40; ++filled) {
    for (const auto& [ours, peer] : {Pair(), TcpPair()}) {
      const int small = 4096;
      ::setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
      ::setsockopt(peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
      std::string expected, received;
      // Step by step nearer to full, and beyond.
      for (size_t i = 0; i < filled; ++i) {
        const std::string part(997, static_cast<char>('A' + i % 26));
        const ssize_t sent = ::send(ours, part.data(), part.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) expected += part.substr(0, static_cast<size_t>(sent));
      }
      std::string pieces[3];
      Noted<ReceiveOperation> receive;
      Noted<SendOperation> send;
      StartReceive(receive, ours);
      send.op.fd = ours;
      send.op.awaits_answer = true;
      for (size_t i = 0; i < 3; ++i) {
        for (size_t at = 0; at < 5001; ++at)
          pieces[i] += static_cast<char>('a' + (at * (i + 3)) % 26);
        send.op.slices[send.op.slice_count++] = {pieces[i].data(), pieces[i].size()};
        expected += pieces[i];
      }
      engine().StartSend(send.op);
      Turns(3);
      delayed += send.done() ? 0 : 1;
      const int reader = peer;
      ASSERT_TRUE(Until(
          [&] { return (received += Read(reader)).size() >= expected.size() && send.done(); }));
      EXPECT_EQ(received, expected);
      EXPECT_EQ(send.result, 3 * 5001);
      EXPECT_FALSE(receive.done());
      engine().Cancel(receive.op);
      ASSERT_TRUE(Until([&] { return receive.done(); }));
      engine().Close(ours);
      ::close(peer);
    }
  }
  EXPECT_GT(delayed, 0);
}

TEST_P(EngineSendTest, ManyQuestionsAtOnce) {
  constexpr size_t kPairs = 600;
  struct One {
    std::pair<int, int> fds;
    std::string question;
    Noted<ReceiveOperation> receive;
    Noted<SendOperation> send;
  };
  std::vector<std::unique_ptr<One>> all;
  for (size_t i = 0; i < kPairs; ++i) {
    all.push_back(std::make_unique<One>());
    One& one = *all.back();
    one.fds = Pair();
    one.question = std::string(i + 1, 'q');
    if (i % 3 == 0) ::shutdown(one.fds.second, SHUT_RD);
    StartReceive(one.receive, one.fds.first);
    StartQuestion(one.send, one.fds.first, one.question);
  }
  for (size_t i = 0; i < kPairs; ++i) {
    One& one = *all[i];
    ASSERT_TRUE(Until([&] { return one.send.done(); }));
    EXPECT_EQ(one.send.result, i % 3 == 0 ? -EPIPE : static_cast<int32_t>(i + 1));
    if (i % 3 != 0) {
      EXPECT_EQ(Read(one.fds.second), one.question);
    }
    engine().Cancel(one.receive.op);
  }
  for (auto& one : all) {
    ASSERT_TRUE(Until([&] { return one->receive.done(); }));
    engine().Close(one->fds.first);
    ::close(one->fds.second);
  }
}

TEST_P(EngineSendTest, LentBuffersGoBackWhenNothingComes) {
  std::vector<std::pair<int, int>> pairs;
  for (int i = 0; i < 120; ++i) pairs.push_back(Pair());
  for (int round = 0; round < 3; ++round) {
    ASSERT_NO_FATAL_FAILURE(Burst(pairs));
    Turns(3);
    const uint64_t after_burst = lent();
    if (lends()) {
      EXPECT_GT(after_burst, 512u * 1024);
    }
    // Waits without an end are what an idle worker makes; a wake-up ends the last.
    ASSERT_TRUE(RunUntil(
        loop_, [&] { return lent() <= 512 * 1024; }, 20, base::kNanosPerSecond / 4))
        << lent();
  }
  for (const auto& [ours, peer] : pairs) {
    engine().Close(ours);
    ::close(peer);
  }
}

TEST_P(EngineSendTest, LentBuffersGoBackUnderTraffic) {
  std::vector<std::pair<int, int>> pairs;
  for (int i = 0; i < 120; ++i) pairs.push_back(Pair());
  ASSERT_NO_FATAL_FAILURE(Burst(pairs));
  Turns(3);
  const uint64_t after_burst = lent();
  const auto [ours, peer] = pairs.front();
  for (int i = 0; i < 40'000; ++i) {
    Noted<ReceiveOperation> receive;
    Write(peer, "x");
    receive.op.size_hint = base::BufferPool::kLarge;
    StartReceive(receive, ours);
    ASSERT_TRUE(Until([&] { return receive.done(); }));
    receive.op.buffer.Reset();
  }
  if (lends()) {
    EXPECT_GT(lent(), 0u);
    EXPECT_LT(lent(), after_burst);
  }
  ASSERT_NO_FATAL_FAILURE(Burst(pairs));
  for (const auto& [our, their] : pairs) {
    engine().Close(our);
    ::close(their);
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, EngineSendTest, testing::ValuesIn(Engines()), &EngineName);

}  // namespace
}  // namespace portico::event
