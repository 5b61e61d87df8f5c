#include "dataplane/observe/process_metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>

#include "dataplane/observe/metric_family.h"

namespace portico::observe {
namespace {

std::string ReadWhole(const char* path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// The fields of proc(5) stat that we show.
struct Stat {
  double cpu_ticks = 0;
  double threads = 0;
  double start_ticks = 0;
  double virtual_bytes = 0;
  double resident_pages = 0;
};

std::optional<Stat> ReadStat() {
  const std::string text = ReadWhole("/proc/self/stat");
  // The second field, the program's name, may hold spaces and parentheses.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  std::string skipped;
  Stat stat;
  double user = 0, system = 0;
  for (int field = 3; field <= 13; ++field) fields >> skipped;
  fields >> user >> system;  // 14, 15
  for (int field = 16; field <= 19; ++field) fields >> skipped;
  fields >> stat.threads >> skipped >> stat.start_ticks;  // 20, 21, 22
  fields >> stat.virtual_bytes >> stat.resident_pages;    // 23, 24
  if (!fields) return std::nullopt;
  stat.cpu_ticks = user + system;
  return stat;
}

std::optional<double> BootTimeSeconds() {
  std::ifstream file("/proc/stat");
  std::string word;
  while (file >> word) {
    double seconds = 0;
    if (word == "btime" && file >> seconds) return seconds;
  }
  return std::nullopt;
}

std::optional<double> OpenDescriptors() {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir("/proc/self/fd"), closedir);
  if (directory == nullptr) return std::nullopt;
  int entries = 0;
  while (readdir(directory.get()) != nullptr) ++entries;
  return entries - 3;  // ".", ".." and the directory itself.
}

}  // namespace

std::vector<prometheus::MetricFamily> ProcessCollector::Collect() const {
  std::vector<prometheus::MetricFamily> families;
  if (const std::optional<Stat> stat = ReadStat()) {
    const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    families.push_back(OneCounter("process_cpu_seconds_total",
                                  "Total user and system CPU time spent in seconds",
                                  stat->cpu_ticks / ticks));
    families.push_back(OneGauge("process_resident_memory_bytes", "Resident memory size in bytes",
                                stat->resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE))));
    families.push_back(OneGauge("process_virtual_memory_bytes", "Virtual memory size in bytes",
                                stat->virtual_bytes));
    families.push_back(
        OneGauge("process_threads", "Number of OS threads in the process", stat->threads));
    if (const auto boot = BootTimeSeconds()) {
      families.push_back(OneGauge("process_start_time_seconds",
                                  "Start time of the process since unix epoch in seconds",
                                  *boot + stat->start_ticks / ticks));
    }
  }
  if (const auto open = OpenDescriptors()) {
    families.push_back(OneGauge("process_open_fds", "Number of open file descriptors", *open));
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    families.push_back(OneGauge("process_max_fds", "Maximum number of open file descriptors",
                                static_cast<double>(limit.rlim_cur)));
  }
  return families;
}

}  // namespace portico::observe
