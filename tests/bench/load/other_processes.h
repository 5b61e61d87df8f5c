// What processes that are no part of a measurement spend meanwhile.
#ifndef TESTS_BENCH_LOAD_OTHER_PROCESSES_H_
#define TESTS_BENCH_LOAD_OTHER_PROCESSES_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace portico::bench {

// Clock ticks of each process so far, as proc_pid_stat(5) has them. Interrupts and the network's
// work in the kernel that runs on top of whatever is there are no process's: they are in no figure
// here.
struct ProcessTimes {
  struct Ticks {
    int64_t own = 0;       // user and system, all threads
    int64_t children = 0;  // the same of children that have ended and were waited for
  };
  // By process id and start, since ids are used again.
  std::map<std::pair<pid_t, int64_t>, Ticks> processes;
};

// Of all processes that can be seen in `proc`, but for `known`. What cannot be read is left out.
ProcessTimes ReadProcessTimes(const std::vector<pid_t>& known, const std::string& proc = "/proc");

// Ticks spent from one to the other, also by processes that began or ended between them; not by
// those that ended and that nobody waited for.
int64_t TicksBetween(const ProcessTimes& before, const ProcessTimes& after);

}  // namespace portico::bench

#endif  // TESTS_BENCH_LOAD_OTHER_PROCESSES_H_
