// bench_load: sends HTTP/1.1 requests and says how they fared, as one JSON object.
//
//   bench_load --server=127.0.0.1:8080 --connections=64 --seconds=2
//   bench_load --server=127.0.0.1:8080 --rate=20000 --cpu_pids=4711
//   bench_load --server=127.0.0.1:8080 --requests_file=requests.tsv
//   bench_load --server=127.0.0.1:8080 --connections=10000 --idle
//   bench_load --server=127.0.0.1:8443 --tls --close
#include <arpa/inet.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/bench/load/load_run.h"
#include "tools/flags/flags.h"

ABSL_FLAG(std::string, server, "", "IPv4 ADDRESS:PORT to send to. Required.");
ABSL_FLAG(uint32_t, connections, 64, "Keep-alive connections.");
ABSL_FLAG(double, rate, 0,
          "Requests a second over all connections, whether or not answers come in time. Default: "
          "0, each connection "
          "sends when it has its answer.");
ABSL_FLAG(double, seconds, 2, "Length of the measured window.");
ABSL_FLAG(double, warm_up, 0.3, "Seconds of the same load before it.");
ABSL_FLAG(std::string, path, "/", "Path of the requests.");
ABSL_FLAG(
    std::string, requests_file, "",
    "File to draw requests from at random, instead of --path: one on each line, the path and then "
    "header fields (NAME: VALUE), separated by tabs.");
ABSL_FLAG(std::vector<std::string>, cpu_pids, {},
          "Processes whose CPU time in the window is reported.");
ABSL_FLAG(bool, tls, false, "Over TLS 1.3; the server's certificate is not verified.");
ABSL_FLAG(bool, close, false,
          "A new connection for each request, with a whole handshake if --tls.");
ABSL_FLAG(bool, idle, false,
          "One request on each connection, then a line \"resting\", and all of them rest until "
          "standard input ends.");

namespace portico::bench {
namespace {

constexpr int kExitUsage = 2;
constexpr int kExitFailed = 1;

std::string Request(const std::string& line) {
  std::string request;
  for (const std::string& part : std::vector<std::string>(absl::StrSplit(line, '\t'))) {
    if (request.empty()) {
      request = absl::StrCat(
          "GET ", part,
          " HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: bench_load\r\nAccept: */*\r\n");
    } else {
      absl::StrAppend(&request, part, "\r\n");
    }
  }
  if (absl::GetFlag(FLAGS_close)) absl::StrAppend(&request, "Connection: close\r\n");
  return request + "\r\n";
}

absl::StatusOr<std::vector<std::string>> Requests() {
  const std::string name = absl::GetFlag(FLAGS_requests_file);
  if (name.empty()) return std::vector<std::string>{Request(absl::GetFlag(FLAGS_path))};
  std::vector<std::string> requests;
  std::ifstream file(name);
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] != '/') {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ":", requests.size() + 1, ": \"", line.substr(0, 40),
                       "\" does not start with a path: write /PATH<tab>NAME: VALUE"));
    }
    requests.push_back(Request(line));
  }
  if (requests.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--requests-file=", name, ": no line could be read"));
  }
  return requests;
}

absl::Status Server(sockaddr_in& server) {
  const std::string text = absl::GetFlag(FLAGS_server);
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits(':', 1));
  int port = 0;
  server.sin_family = AF_INET;
  if (inet_pton(AF_INET, parts.first.c_str(), &server.sin_addr) != 1 ||
      !absl::SimpleAtoi(parts.second, &port) || port < 1 || port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("--server=", text, ": write an IPv4 address and a port, as 127.0.0.1:8080"));
  }
  server.sin_port = htons(static_cast<uint16_t>(port));
  return absl::OkStatus();
}

absl::StatusOr<LoadSettings> SettingsFromFlags() {
  LoadSettings settings;
  if (absl::Status status = Server(settings.server); !status.ok()) return status;
  settings.connections = absl::GetFlag(FLAGS_connections);
  settings.rate = absl::GetFlag(FLAGS_rate);
  settings.window_nanos = static_cast<int64_t>(absl::GetFlag(FLAGS_seconds) * 1e9);
  settings.warm_up_nanos = static_cast<int64_t>(absl::GetFlag(FLAGS_warm_up) * 1e9);
  if (settings.connections == 0 || settings.rate < 0 || settings.window_nanos <= 0) {
    return absl::InvalidArgumentError(
        "--connections and --seconds are more than 0, --rate is not less than 0");
  }
  auto requests = Requests();
  if (!requests.ok()) return requests.status();
  settings.requests = *std::move(requests);
  settings.tls = absl::GetFlag(FLAGS_tls);
  settings.close_each = absl::GetFlag(FLAGS_close);
  settings.pids.push_back(getpid());
  for (const std::string& text : absl::GetFlag(FLAGS_cpu_pids)) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(text, &pid)) {
      return absl::InvalidArgumentError(absl::StrCat("--cpu-pids=", text, ": not a process id"));
    }
    settings.pids.push_back(pid);
  }
  return settings;
}

int Fail(const absl::Status& status, int exit_code) {
  std::fprintf(stderr, "bench_load: %s\n", std::string(status.message()).c_str());
  return exit_code;
}

int Main(int argc, char** argv) {
  flags::ParseFlagsOrExit(
      argc, argv, {.name = "bench_load", .usage = "Sends HTTP/1.1 requests and reports in JSON."});
  // Timers that fire when asked to: the default would delay each by up to 50 us.
  prctl(PR_SET_TIMERSLACK, 1);
  rlimit files = {};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);

  auto settings = SettingsFromFlags();
  if (!settings.ok()) return Fail(settings.status(), kExitUsage);
  auto run = LoadRun::Create(*std::move(settings));
  if (!run.ok()) return Fail(run.status(), kExitFailed);
  if (!absl::GetFlag(FLAGS_idle)) {
    std::printf("%s\n", (*run)->Measure().dump().c_str());
    return 0;
  }
  if (absl::Status touched = (*run)->TouchEach(); !touched.ok()) return Fail(touched, kExitFailed);
  std::printf("resting\n");
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  return 0;
}

}  // namespace
}  // namespace portico::bench

int main(int argc, char** argv) { return portico::bench::Main(argc, argv); }
