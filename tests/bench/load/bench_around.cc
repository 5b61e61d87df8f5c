// bench_around: runs another load generator and reports what processes and processors spent
// meanwhile.
//
//   bench_around --cpu_pids=4711,4712 -- h2load -c16 -m32 -D2 https://127.0.0.1:8443/
//
// One object of JSON: the figures that bench_load reports of processes and processors, "output"
// (what the program printed) and "exit_code".
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/bench/load/cpu_sample.h"
#include "tests/bench/load/other_processes.h"
#include "tests/bench/load/ring.h"
#include "tools/flags/flags.h"

ABSL_FLAG(std::vector<std::string>, cpu_pids, {}, "Processes whose CPU time is reported.");

namespace portico::bench {
namespace {

constexpr int kExitUsage = 2;
constexpr int kExitFailed = 1;
constexpr int kExitNotFound = 127;

struct Ended {
  pid_t pid = 0;
  int exit_code = 0;
  std::string output;
  rusage spent = {};
};

double Micros(const timeval& time) {
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
}

// False if it could not be started.
bool RunCommand(std::vector<char*> command, Ended& ended) {
  command.push_back(nullptr);
  int pipe[2];
  if (::pipe(pipe) != 0 || (ended.pid = ::fork()) < 0) return false;
  if (ended.pid == 0) {
    ::dup2(pipe[1], STDOUT_FILENO);
    ::dup2(pipe[1], STDERR_FILENO);
    ::close(pipe[0]);
    ::close(pipe[1]);
    ::execvp(command[0], command.data());
    _exit(kExitNotFound);
  }
  ::close(pipe[1]);
  std::array<char, 4096> buffer;
  for (ssize_t count; (count = ::read(pipe[0], buffer.data(), buffer.size())) > 0;) {
    ended.output.append(buffer.data(), static_cast<size_t>(count));
  }
  ::close(pipe[0]);
  int status = 0;
  if (::wait4(ended.pid, &status, 0, &ended.spent) != ended.pid) return false;
  ended.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return true;
}

int Main(int argc, char** argv) {
  std::vector<char*> command = flags::ParseFlagsOrExit(
      argc, argv, {.name = "bench_around", .usage = "bench_around [FLAGS] -- COMMAND"});
  command.erase(command.begin());
  std::vector<pid_t> pids = {getpid()};
  for (const std::string& text : absl::GetFlag(FLAGS_cpu_pids)) {
    if (pid_t pid = 0; absl::SimpleAtoi(text, &pid)) pids.push_back(pid);
  }
  if (command.empty() || pids.size() != absl::GetFlag(FLAGS_cpu_pids).size() + 1) {
    std::fprintf(stderr, "bench_around: write --cpu_pids=PID,PID -- COMMAND\n");
    return kExitUsage;
  }
  const ProcessTimes others_before = ReadProcessTimes(pids);
  const int64_t others_since = NowNanos();
  const CpuSample before = TakeCpuSample(pids);
  Ended ended;
  if (!RunCommand(std::move(command), ended)) {
    std::fprintf(stderr, "bench_around: fork failed\n");
    return kExitFailed;
  }
  const CpuSample after = TakeCpuSample(pids);
  nlohmann::json report = Difference(before, after);
  report["processes"][absl::StrCat(ended.pid)] = {
      {"cpu_us", Micros(ended.spent.ru_utime) + Micros(ended.spent.ru_stime)},
      {"user_ticks", 0},
      {"sys_ticks", 0}};
  report["others"] = {{"ticks", TicksBetween(others_before, ReadProcessTimes(pids))},
                      {"seconds", static_cast<double>(NowNanos() - others_since) / 1e9}};
  report["output"] = std::move(ended.output);
  report["exit_code"] = ended.exit_code;
  std::printf("%s\n",
              report.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  return 0;
}

}  // namespace
}  // namespace portico::bench

int main(int argc, char** argv) { return portico::bench::Main(argc, argv); }
