#include "tests/bench/load/cpu_sample.h"

#include <time.h>

#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/bench/load/ring.h"

namespace portico::bench {
namespace {

CpuSample::Process ReadProcess(pid_t pid) {
  CpuSample::Process process{.pid = pid};
  clockid_t clock = 0;
  timespec spent = {};
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &spent) != 0) return process;
  process.cpu_nanos = spent.tv_sec * int64_t{1'000'000'000} + spent.tv_nsec;
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  const std::string text(std::istreambuf_iterator<char>(file), {});
  // The name in parentheses may hold anything; after it come state and ten numbers, then the two.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return process;
  std::istringstream fields(text.substr(name_end + 1));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  fields >> process.user_ticks >> process.system_ticks;
  return process;
}

std::vector<std::vector<int64_t>> ReadProcessors() {
  std::vector<std::vector<int64_t>> processors;
  std::ifstream file("/proc/stat");
  for (std::string line; std::getline(file, line);) {
    // "cpu " is the sum of the others.
    if (!absl::StartsWith(line, "cpu") || absl::StartsWith(line, "cpu ")) continue;
    std::istringstream fields(line);
    std::string name;
    fields >> name;
    processors.emplace_back(std::istream_iterator<int64_t>(fields), std::istream_iterator<int64_t>());
  }
  return processors;
}

}  // namespace

CpuSample TakeCpuSample(const std::vector<pid_t>& pids) {
  CpuSample sample;
  sample.processors = ReadProcessors();
  for (const pid_t pid : pids) sample.processes.push_back(ReadProcess(pid));
  sample.at = NowNanos();
  return sample;
}

nlohmann::json Difference(const CpuSample& before, const CpuSample& after) {
  nlohmann::json processes = nlohmann::json::object();
  for (size_t i = 0; i < before.processes.size(); ++i) {
    const CpuSample::Process& start = before.processes[i];
    const CpuSample::Process& end = after.processes[i];
    processes[absl::StrCat(start.pid)] = {
        {"cpu_us", static_cast<double>(end.cpu_nanos - start.cpu_nanos) / 1000},
        {"user_ticks", end.user_ticks - start.user_ticks},
        {"sys_ticks", end.system_ticks - start.system_ticks}};
  }
  nlohmann::json processors = nlohmann::json::array();
  for (size_t i = 0; i < before.processors.size() && i < after.processors.size(); ++i) {
    nlohmann::json ticks = nlohmann::json::array();
    for (size_t j = 0; j < before.processors[i].size(); ++j) {
      ticks.push_back(after.processors[i][j] - before.processors[i][j]);
    }
    processors.push_back(std::move(ticks));
  }
  return {{"seconds", static_cast<double>(after.at - before.at) / 1e9},
          {"processes", std::move(processes)},
          {"processors", std::move(processors)}};
}

}  // namespace portico::bench
