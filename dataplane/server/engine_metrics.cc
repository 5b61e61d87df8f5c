#include "dataplane/server/engine_metrics.h"

#include <atomic>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "dataplane/base/log.h"
#include "dataplane/observe/metric_family.h"

namespace portico::server {

void LogEngineChoice(const EngineChoice& choice) {
  if (choice.fallback_reason.empty()) {
    base::Log(base::Severity::kInfo, "server", absl::StrCat("event engine: ", choice.name));
    return;
  }
  base::Log(
      base::Severity::kWarning, "server",
      absl::StrCat("event engine: ", choice.name, ", which costs more CPU than uring, because of ",
                   choice.fallback_reason, ": ", choice.fallback_message));
}

std::vector<prometheus::MetricFamily> EngineCollector::Collect() const {
  const auto sum = [this](std::atomic<uint64_t> event::EngineStats::*counter) {
    uint64_t total = 0;
    for (const event::EngineStats* stats : stats_)
      total += (stats->*counter).load(std::memory_order_relaxed);
    return static_cast<double>(total);
  };
  std::vector<prometheus::MetricFamily> families;
  auto info = observe::GaugeFamily("portico_io_engine_info",
                                   "Always 1; the labels say which event engine is used and why");
  observe::AddGauge(info, {{"engine", choice_.name}, {"fallback_reason", choice_.fallback_reason}},
                    1);
  families.push_back(std::move(info));
  families.push_back(observe::OneCounter("portico_io_engine_system_calls_total",
                                         "System calls of the workers' event engines",
                                         sum(&event::EngineStats::system_calls)));
  families.push_back(observe::OneCounter("portico_io_engine_completions_total",
                                         "Completions that the workers' event engines took",
                                         sum(&event::EngineStats::completions)));
  families.push_back(observe::OneCounter("portico_io_engine_buffer_shortages_total",
                                         "Receives that found no buffer and were repeated",
                                         sum(&event::EngineStats::buffer_shortages)));
  families.push_back(
      observe::OneCounter("portico_io_engine_buffer_refusals_total",
                          "Sizes of buffers that the kernel would not borrow from a worker",
                          sum(&event::EngineStats::buffer_refusals)));
  return families;
}

}  // namespace portico::server
