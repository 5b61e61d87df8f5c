// The program itself: exit codes, signals, kill -9.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <iterator>
#include <random>
#include <thread>

#include "controlplane/store/test_resources.h"
#include "tests/integration/control_plane/fake_proxy.h"
#include "tests/integration/control_plane/operator.h"

namespace portico::testing {
namespace {

using control::TestUpstream;
using ::testing::HasSubstr;

constexpr char kProgram[] = "controlplane/portico_control";

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class ProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "/processXXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
  }

  void TearDown() override {
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
  }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }

  void Spawn(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), kProgram);
    std::vector<char*> pointers;
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    const std::string log = Path("log");
    child_ = fork();
    ASSERT_GE(child_, 0);
    if (child_ == 0) {
      const int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      dup2(fd, STDERR_FILENO);
      execv(kProgram, pointers.data());
      _exit(127);
    }
  }

  int Wait() {
    int status = 0;
    waitpid(child_, &status, 0);
    child_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  // Starts on free ports and waits until it listens.
  void StartAndConnect() {
    unlink(Path("addresses").c_str());
    Spawn({"--store=" + Path("store.db"), "--insecure", "--grpc-address=127.0.0.1:0",
           "--metrics-address=127.0.0.1:0", "--address-file=" + Path("addresses")});
    std::string text;
    while ((text = ReadFile(Path("addresses"))).empty()) {
      ASSERT_EQ(waitpid(child_, nullptr, WNOHANG), 0) << ReadFile(Path("log"));
    }
    ASSERT_EQ(text.rfind("grpc=127.0.0.1:", 0), 0u) << text;
    EXPECT_THAT(text, HasSubstr("\nmetrics=127.0.0.1:"));
    address_ = text.substr(5, text.find('\n') - 5);
    operator_ = std::make_unique<Operator>(Channel());
  }

  std::shared_ptr<grpc::Channel> Channel() {
    return grpc::CreateChannel(address_, grpc::InsecureChannelCredentials());
  }

  std::string folder_;
  std::string address_;
  pid_t child_ = -1;
  std::unique_ptr<Operator> operator_;
};

TEST_F(ProcessTest, BadUsageIsOneLineAndExitCode2) {
  struct Case {
    std::vector<std::string> arguments;
    const char* message;
  };
  std::ofstream(Path("not-a-store")) << std::string(5000, 'x');
  const Case cases[] = {
      {{"--stor=x"}, "portico_control: unknown flag --stor: did you mean --store?"},
      {{}, "portico_control: --store is missing"},
      {{"extra"}, "portico_control: unexpected argument \"extra\""},
      {{"--store=" + Path("s"), "--insecure", "--grpc-address=0.0.0.0:0"},
       "portico_control: --insecure is for loopback addresses only"},
      {{"--store=" + Path("s")}, "portico_control: mutual TLS needs --tls-cert"},
      {{"--store=" + Path("no/s"), "--insecure", "--grpc-address=127.0.0.1:0"},
       "check that the folder of --store exists"},
      {{"--store=" + Path("not-a-store"), "--insecure", "--grpc-address=127.0.0.1:0"},
       "this file is not a Portico store: check --store"},
  };
  for (const Case& c : cases) {
    Spawn(c.arguments);
    EXPECT_EQ(Wait(), 2);
    const std::string log = ReadFile(Path("log"));
    EXPECT_THAT(log, HasSubstr(c.message));
    EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
  }
}

TEST_F(ProcessTest, StopsOnSigtermWithExitCode0) {
  StartAndConnect();
  FakeProxy proxy(Channel(), "edge-1");
  proxy.Connect();
  ASSERT_EQ(operator_->Apply({TestUpstream("a")}), 1u);
  EXPECT_EQ(proxy.Take(), 1u);
  kill(child_, SIGTERM);
  EXPECT_EQ(Wait(), 0) << ReadFile(Path("log"));
}

TEST_F(ProcessTest, MetricsAreCleanForPrometheus) {
  StartAndConnect();
  FakeProxy proxy(Channel(), "edge-1");
  proxy.Connect();
  // A push time is observed only if the proxy was there before.
  while (operator_->Proxies().proxies_size() == 0) {
  }
  ASSERT_EQ(operator_->Apply({TestUpstream("a")}), 1u);
  EXPECT_EQ(proxy.Take(), 1u);
  ASSERT_EQ(operator_->Watch(1, 1).state(), v1::RolloutStatus::LIVE);
  const std::string addresses = ReadFile(Path("addresses"));
  std::string metrics = addresses.substr(addresses.find("metrics=") + 8);
  metrics.pop_back();
  const std::string command = "cd " + folder_ + " && curl -sSf http://" + metrics +
                              "/metrics >metrics 2>metrics.log && promtool check metrics <metrics "
                              ">metrics.log 2>&1";
  EXPECT_EQ(system(command.c_str()), 0) << ReadFile(Path("metrics.log"));
  const std::string text = ReadFile(Path("metrics"));
  for (const char* line : {
           "\nportico_control_revision 1\n",
           "\nportico_control_connected_proxies 1\n",
           "\nportico_control_proxies{state=\"current\"} 1\n",
           "\nportico_control_proxies_at_revision{revision=\"1\"} 1\n",
           "\nportico_control_push_seconds_count 1\n",
           "\nportico_control_rejections_total 0\n",
           "\nportico_control_applies_total{result=\"accepted\"} 1\n",
           "\nportico_control_store_seconds_count{operation=\"commit\"} 1\n",
       }) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST_F(ProcessTest, ASecondOneOnTheSameStoreIsRefused) {
  StartAndConnect();
  const pid_t first = child_;
  Spawn({"--store=" + Path("store.db"), "--insecure", "--grpc-address=127.0.0.1:0",
         "--metrics-address="});
  EXPECT_EQ(Wait(), 2);
  EXPECT_THAT(ReadFile(Path("log")), HasSubstr("another control plane uses this store"));
  child_ = first;
}

TEST_F(ProcessTest, KillNineLosesNothingThatWasAcknowledged) {
  std::mt19937 random(17);
  uint64_t acknowledged = 0;
  std::unique_ptr<FakeProxy> proxy;
  for (int round = 0; round < 6; ++round) {
    StartAndConnect();
    if (proxy == nullptr) {
      proxy = std::make_unique<FakeProxy>(Channel(), "edge-1");
    } else {
      proxy->MoveTo(Channel());
    }
    // What was acknowledged is there, and the proxy continues from what it has.
    grpc::ClientContext context;
    v1::ListResponse listed;
    v1::ListRequest request;
    request.set_page_size(1);
    ASSERT_TRUE(operator_->config->List(&context, request, &listed).ok());
    ASSERT_GE(listed.revision(), acknowledged);
    ASSERT_LE(listed.revision(), acknowledged + 1);
    acknowledged = listed.revision();
    proxy->Connect();
    if (proxy->revision() < acknowledged) {
      ASSERT_EQ(proxy->Take(), acknowledged);
    }
    // Killed while it is writing.
    const uint64_t enough = acknowledged + 3 + random() % 10;
    std::atomic<uint64_t> done{acknowledged};
    std::thread writer([&] {
      for (uint64_t next = acknowledged + 1;; ++next) {
        const std::string name = "u" + std::to_string(next % 7);
        const uint64_t got = operator_->Apply({TestUpstream(name, 1000 + static_cast<int>(next))});
        if (got == 0) return;
        done = got;
      }
    });
    while (done < enough) std::this_thread::yield();
    kill(child_, SIGKILL);
    EXPECT_EQ(Wait(), -SIGKILL);
    writer.join();
    acknowledged = done;
    proxy->Disconnect();
  }
}

}  // namespace
}  // namespace portico::testing
