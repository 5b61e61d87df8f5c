#include "tools/demo/echo_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace portico::demo {
namespace {

class EchoServerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto server = EchoServer::Create("127.0.0.1:0", "users-1");
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    thread_ = std::thread([this] { server_->Run(); });
  }
  void TearDown() override { Stop(); }

  void Stop() {
    if (!thread_.joinable()) return;
    server_->Stop();
    thread_.join();
  }

  int Connect() {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    const std::string& text = server_->address();
    address.sin_port = htons(static_cast<uint16_t>(atoi(text.c_str() + text.rfind(':') + 1)));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }

  static void Send(int fd, std::string_view bytes) {
    ASSERT_EQ(send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }

  // Everything until the server closes.
  static std::string ReadAll(int fd) {
    std::string all;
    char buffer[65536];
    ssize_t count = 0;
    while ((count = recv(fd, buffer, sizeof(buffer), 0)) > 0) {
      all.append(buffer, static_cast<size_t>(count));
    }
    if (count < 0) all += "(reset)";
    close(fd);
    return all;
  }

  std::string Ask(std::string_view bytes) {
    const int fd = Connect();
    Send(fd, bytes);
    return ReadAll(fd);
  }

  std::unique_ptr<EchoServer> server_;
  std::thread thread_;
};

struct Case {
  std::string name;
  std::string request;
  std::string begins;
  std::string ends;
};

class EchoServerTable : public EchoServerTest, public testing::WithParamInterface<Case> {};

TEST_P(EchoServerTable, Answers) {
  const std::string answer = Ask(GetParam().request);
  EXPECT_TRUE(absl::StartsWith(answer, GetParam().begins)) << answer;
  EXPECT_TRUE(absl::EndsWith(answer, GetParam().ends)) << answer;
}

constexpr char kClose[] = "Connection: close\r\n\r\n";

INSTANTIATE_TEST_SUITE_P(
    Requests, EchoServerTable,
    testing::Values(
        Case{"Small", absl::StrCat("GET /small HTTP/1.1\r\nHost: a\r\n", kClose),
             "HTTP/1.1 200 OK\r\n", "\r\n\r\nHello, world!"},
        Case{"SmallBehindPrefix", "GET /users/small?close=1 HTTP/1.1\r\nHost: a\r\n\r\n",
             "HTTP/1.1 200 OK\r\n", "Hello, world!"},
        Case{"Http10", "GET /small HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n", "Hello, world!"},
        Case{"Head", absl::StrCat("HEAD /small HTTP/1.1\r\nHost: a\r\n", kClose),
             "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\n",
             "\r\n\r\n"},
        Case{"Status", "GET /?status=503&close=1 HTTP/1.1\r\nHost: a\r\n\r\n",
             "HTTP/1.1 503 Service Unavailable\r\n", "}\n"},
        Case{"NoContent", "GET /?status=204&close=1 HTTP/1.1\r\nHost: a\r\n\r\n",
             "HTTP/1.1 204 No Content\r\nX-Service: users-1\r\n", "\r\n\r\n"},
        Case{"BadStatus", "GET /?status=99&close=1 HTTP/1.1\r\nHost: a\r\n\r\n",
             "HTTP/1.1 400 Bad Request\r\n", "status must be a number from 200 to 599\n"},
        Case{"Chunked", "GET /?bytes=20000&chunked=1&close=1 HTTP/1.1\r\nHost: a\r\n\r\n",
             "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
             "Transfer-Encoding: chunked\r\n",
             "x\r\n0\r\n\r\n"},
        Case{"ChunkedText", "GET /small?chunked=1&close=1 HTTP/1.1\r\nHost: a\r\n\r\n",
             "HTTP/1.1 200 OK\r\n", "\r\n\r\nd\r\nHello, world!\r\n0\r\n\r\n"},
        Case{"Continue",
             "POST /small?close=1 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
             "Content-Length: 2\r\n\r\nab",
             "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", "Hello, world!"},
        Case{"Pipelined",
             "GET /small HTTP/1.1\r\nHost: a\r\n\r\nGET /?delay_ms=5&status=201 HTTP/1.1\r\n"
             "Host: a\r\n\r\nGET /small?close=1 HTTP/1.1\r\nHost: a\r\n\r\n",
             "HTTP/1.1 200 OK\r\n", "Hello, world!"},
        Case{"Garbage", "\x16\x03\x01 nonsense", "HTTP/1.1 400 Bad Request\r\n", "\n"},
        Case{"Upgrade",
             "GET /small HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
             "GET /small?close=1 HTTP/1.1\r\nHost: a\r\n\r\n",
             "HTTP/1.1 200 OK\r\n", "Connection: close\r\n\r\nHello, world!"}),
    [](const testing::TestParamInfo<Case>& info) { return info.param.name; });

TEST_F(EchoServerTest, TellsWhatItReceived) {
  const std::string answer =
      Ask("POST /users/42?close=1 HTTP/1.1\r\nHost: a\r\nX-Two: 1\r\nx-two: 2\r\n"
          "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\n\xff!\r\n0\r\n\r\n");
  const auto json = nlohmann::json::parse(answer.substr(answer.find("\r\n\r\n") + 4));
  EXPECT_EQ(json["service"], "users-1");
  EXPECT_EQ(json["method"], "POST");
  EXPECT_EQ(json["path"], "/users/42?close=1");
  EXPECT_EQ(json["headers"]["host"], "a");
  EXPECT_EQ(json["headers"]["x-two"], "1, 2");
  EXPECT_EQ(json["body_bytes"], 5);
  EXPECT_EQ(json["body"], "abc\xEF\xBF\xBD!");
}

TEST_F(EchoServerTest, LongBodiesAreCountedAndCut) {
  const std::string answer =
      Ask(absl::StrCat("PUT /?close=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n",
                       std::string(100000, 'b')));
  const auto json = nlohmann::json::parse(answer.substr(answer.find("\r\n\r\n") + 4));
  EXPECT_EQ(json["body_bytes"], 100000);
  EXPECT_EQ(json["body"].get<std::string>().size(), kBodyEcho);
}

TEST_F(EchoServerTest, StreamsMoreThanItsBuffers) {
  const std::string answer = Ask("GET /?bytes=5000000&close=1 HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(answer.size() - answer.find("\r\n\r\n") - 4, 5000000u);
}

TEST_F(EchoServerTest, Resets) {
  EXPECT_EQ(Ask("GET /?reset=1 HTTP/1.1\r\nHost: a\r\n\r\n"), "(reset)");
}

// Their descriptors are those of other connections soon after.
TEST_F(EchoServerTest, ConnectionsThatBreakTakeNoOthersAlong) {
  for (int round = 0; round < 60; ++round) {
    std::vector<int> broken, whole;
    for (int i = 0; i < 30; ++i) {
      broken.push_back(Connect());
      Send(broken.back(), "GET /small?delay_ms=3 HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for (const int fd : broken) {
      const linger now = {.l_onoff = 1, .l_linger = 0};
      setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
      close(fd);
      whole.push_back(Connect());
    }
    for (const int fd : whole) {
      Send(fd, "GET /small?close=1 HTTP/1.1\r\nHost: a\r\n\r\n");
      ASSERT_TRUE(absl::EndsWith(ReadAll(fd), "Hello, world!")) << "round " << round;
    }
  }
}

TEST_F(EchoServerTest, StopAnswersWhatIsUnderWayAndClosesIdleConnections) {
  const int idle = Connect();
  const int busy = Connect();
  Send(busy, "GET /small?delay_ms=50 HTTP/1.1\r\nHost: a\r\n\r\n");
  // An answer on a third connection shows that the request above was read.
  EXPECT_TRUE(absl::EndsWith(Ask("GET /small?close=1 HTTP/1.1\r\nHost: a\r\n\r\n"), "world!"));
  Stop();
  EXPECT_EQ(ReadAll(idle), "");
  EXPECT_TRUE(absl::EndsWith(ReadAll(busy), "Hello, world!"));
}

TEST(EchoServerCreateTest, RefusesBadAddresses) {
  for (const char* address : {"", "localhost:80", "127.0.0.1", "127.0.0.1:70000", "x:y"}) {
    EXPECT_EQ(EchoServer::Create(address, "x").status().code(), absl::StatusCode::kInvalidArgument)
        << address;
  }
}

}  // namespace
}  // namespace portico::demo
