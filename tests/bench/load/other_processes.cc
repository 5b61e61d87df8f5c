#include "tests/bench/load/other_processes.h"

#include <dirent.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace portico::bench {
namespace {

// Fields of proc_pid_stat(5), counted from the state, which follows the name.
constexpr size_t kUserTime = 11, kSystemTime = 12, kChildrenUser = 13, kChildrenSystem = 14,
                 kStart = 19;

void ReadProcess(pid_t pid, const std::string& path, ProcessTimes& times) {
  std::ifstream file(path);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  // The name in parentheses may hold anything.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return;
  std::istringstream words(text.substr(name_end + 1));
  std::string state;
  words >> state;
  std::array<int64_t, kStart + 1> fields = {};
  for (size_t i = 1; i < fields.size(); ++i) {
    if (!(words >> fields[i])) return;
  }
  times.processes[{pid, fields[kStart]}] = {
      .own = fields[kUserTime] + fields[kSystemTime],
      .children = fields[kChildrenUser] + fields[kChildrenSystem]};
}

}  // namespace

ProcessTimes ReadProcessTimes(const std::vector<pid_t>& known, const std::string& proc) {
  ProcessTimes times;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(proc.c_str()), &::closedir);
  if (folder == nullptr) return times;
  while (const dirent* entry = ::readdir(folder.get())) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(entry->d_name, &pid)) continue;
    if (std::find(known.begin(), known.end(), pid) != known.end()) continue;
    ReadProcess(pid, absl::StrCat(proc, "/", pid, "/stat"), times);
  }
  return times;
}

int64_t TicksBetween(const ProcessTimes& before, const ProcessTimes& after) {
  int64_t own = 0, waited_for = 0;
  for (const auto& [process, end] : after.processes) {
    const auto found = before.processes.find(process);
    const ProcessTimes::Ticks start =
        found == before.processes.end() ? ProcessTimes::Ticks() : found->second;
    own += end.own - start.own;
    waited_for += end.children - start.children;
  }
  // The whole life of a process that ended went to its parent: what it had spent before does not
  // count.
  for (const auto& [process, start] : before.processes) {
    if (!after.processes.contains(process)) waited_for -= start.own + start.children;
  }
  return own + std::max<int64_t>(waited_for, 0);
}

}  // namespace portico::bench
