// What processes and processors have spent so far, read at the edges of a measured window.
#ifndef TESTS_BENCH_LOAD_CPU_SAMPLE_H_
#define TESTS_BENCH_LOAD_CPU_SAMPLE_H_

#include <sys/types.h>

#include <nlohmann/json.hpp>
#include <vector>

namespace portico::bench {

struct CpuSample {
  struct Process {
    pid_t pid = 0;
    // All threads, also ended ones, exact to the nanosecond; 0 when the process is gone.
    int64_t cpu_nanos = 0;
    // The same in clock ticks, split; of use for the ratio of the two.
    int64_t user_ticks = 0;
    int64_t system_ticks = 0;
  };
  int64_t at = 0;  // NowNanos()
  std::vector<Process> processes;
  // For each processor the figures of its line in /proc/stat: user, nice, system, idle, iowait, irq,
  // softirq, steal, ... in clock ticks.
  std::vector<std::vector<int64_t>> processors;
};

CpuSample TakeCpuSample(const std::vector<pid_t>& pids);

// {"seconds": ..., "processes": {"PID": {"cpu_us", "user_ticks", "sys_ticks"}}, "processors": [[...], ...]},
// each the difference of the two.
nlohmann::json Difference(const CpuSample& before, const CpuSample& after);

}  // namespace portico::bench

#endif  // TESTS_BENCH_LOAD_CPU_SAMPLE_H_
