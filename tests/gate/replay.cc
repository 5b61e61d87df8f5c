// Replays requests through the data plane without a kernel, for counting what a
// request costs in instructions, allocations and locks: see tests/gate/instructions.py
// and docs/benchmarks.md. Prints one JSON object.
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <string>

#include "absl/flags/flag.h"
#include "tests/gate/counters.h"
#include "tests/gate/gateway.h"
#include "tests/gate/scenarios.h"
#include "tools/flags/flags.h"

ABSL_FLAG(std::string, scenario, "plain", "plain, full, body, tls or h2.");
ABSL_FLAG(uint64_t, requests, 2000, "How many requests are measured.");
ABSL_FLAG(uint64_t, warm_up, 1000, "How many come before.");
ABSL_FLAG(int, connections, 16, "How many clients ask at one time.");
ABSL_FLAG(std::string, access_log, "/dev/null", "The file that full writes its access log to.");
ABSL_FLAG(int, trace, 0,
          "Write where so many of the measured allocations and locks come from to standard error.");
ABSL_FLAG(bool, show, false, "Write a request as the upstream sees it, and a response.");

namespace portico::gate {

// What callgrind measures: it is told this name.
__attribute__((noinline)) void RunMeasured(Gateway& gateway, uint64_t requests) {
  gateway.RunCounted(requests);
}

int Main() {
  const Scenario scenario =
      MakeScenario(absl::GetFlag(FLAGS_scenario), absl::GetFlag(FLAGS_access_log));
  if (scenario.requests.empty() || absl::GetFlag(FLAGS_requests) < 1000 ||
      absl::GetFlag(FLAGS_connections) < 1) {
    std::fprintf(
        stderr,
        "replay: --scenario is plain, full, body, tls or h2; at least 1,000 requests and one "
        "connection\n");
    return 2;
  }
  const uint64_t requests = absl::GetFlag(FLAGS_requests);
  Gateway gateway(scenario, absl::GetFlag(FLAGS_connections));
  gateway.Run(absl::GetFlag(FLAGS_warm_up));
  gateway.FlushLog();
  TraceCounted(absl::GetFlag(FLAGS_trace));
  RunMeasured(gateway, requests);
  if (absl::GetFlag(FLAGS_show)) {
    std::fprintf(stderr, "%s\n---\n%s\n", gateway.last_request_upstream().c_str(),
                 gateway.last_response().c_str());
  }
  const Counters& counted = Counted();
  std::printf("{\"scenario\": \"%s\", \"requests\": %" PRIu64 ", \"allocations\": %" PRIu64
              ", \"allocated_bytes\": %" PRIu64 ", \"locks\": %" PRIu64
              ", \"upstream_connections\": %zu, \"log_records_dropped\": %" PRIu64 "}\n",
              scenario.name.c_str(), requests, counted.allocations, counted.allocated_bytes,
              counted.locks, gateway.upstream_connections(), gateway.log_records_dropped());
  return 0;
}

}  // namespace portico::gate

int main(int argc, char** argv) {
  portico::flags::ParseFlagsOrExit(
      argc, argv, {.name = "replay", .usage = "Replays requests through the data plane."});
  return portico::gate::Main();
}
