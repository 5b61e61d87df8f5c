// A demo service behind the gateway; see echo_reply.h for what it answers.
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "tools/demo/echo_server.h"
#include "tools/flags/flags.h"

ABSL_FLAG(std::string, address, "127.0.0.1:0", "IP address and port; port 0 means a free one");
ABSL_FLAG(std::string, name, "echo", "name given in answers");
ABSL_FLAG(std::string, address_file, "",
          "file that gets the line http=ADDRESS once requests are served");
ABSL_FLAG(uint32_t, threads, 1, "event loops, 1 to 256");

namespace portico::demo {
namespace {

// Written beside and renamed, so that a reader never sees half a line.
bool WriteAddressFile(const std::string& path, const std::string& address) {
  const std::string temporary = path + ".new";
  std::ofstream file(temporary, std::ios::trunc);
  file << "http=" << address << "\n";
  file.close();
  return file.good() && std::rename(temporary.c_str(), path.c_str()) == 0;
}

void RaiseFileLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

int Main(int argc, char** argv) {
  flags::ParseFlagsOrExit(
      argc, argv, {.name = "echo_service", .usage = "Answers HTTP/1.1 requests with what it got."});
  const std::string name = absl::GetFlag(FLAGS_name);
  const std::string address_file = absl::GetFlag(FLAGS_address_file);
  const uint32_t thread_count = absl::GetFlag(FLAGS_threads);
  if (thread_count < 1 || thread_count > 256) {
    std::cerr << "echo_service: --threads must be between 1 and 256\n";
    return 2;
  }
  RaiseFileLimit();

  // Blocked before any thread starts, so that only sigwait() below gets them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  std::vector<std::unique_ptr<EchoServer>> servers;
  std::string address = absl::GetFlag(FLAGS_address);
  for (uint32_t i = 0; i < thread_count; ++i) {
    absl::StatusOr<std::unique_ptr<EchoServer>> server = EchoServer::Create(address, name);
    if (!server.ok()) {
      std::cerr << "echo_service: " << server.status().message() << "\n";
      return server.status().code() == absl::StatusCode::kInvalidArgument ? 2 : 1;
    }
    address = (*server)->address();
    servers.push_back(*std::move(server));
  }
  std::vector<std::thread> threads;
  for (const auto& server : servers) threads.emplace_back([&server] { server->Run(); });
  if (!address_file.empty() && !WriteAddressFile(address_file, address)) {
    std::cerr << "echo_service: cannot write --address-file " << address_file << "\n";
  }
  std::cout << name << " listens on " << address << std::endl;

  int signal = 0;
  sigwait(&signals, &signal);
  for (const auto& server : servers) server->Stop();
  for (std::thread& thread : threads) thread.join();
  return 0;
}

}  // namespace
}  // namespace portico::demo

int main(int argc, char** argv) { return portico::demo::Main(argc, argv); }
