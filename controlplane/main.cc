// portico_control: keeps the configuration and streams it to the proxies.

#include <grpc/support/log.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "controlplane/control_plane.h"
#include "controlplane/model/clock.h"
#include "controlplane/model/log.h"
#include "tools/flags/flags.h"

ABSL_FLAG(std::string, grpc_address, "127.0.0.1:7400",
          "HOST:PORT of the services for operators and proxies. Port 0 takes a free one.");
ABSL_FLAG(std::string, metrics_address, "127.0.0.1:7401",
          "HOST:PORT of the metrics for Prometheus, at /metrics. Empty: none.");
ABSL_FLAG(std::string, store, "", "Path of the file that keeps the configuration. Required.");
ABSL_FLAG(std::string, store_key_file, "",
          "File with the key that the store is encrypted with, made with a new store. Empty: the "
          "store's path with .key behind it.");
ABSL_FLAG(absl::Duration, ticket_key_rotation, absl::Hours(12),
          "How often the fleet gets a new key for TLS session tickets. 0: never.");
ABSL_FLAG(std::string, tls_cert, "", "PEM file of the certificate shown to clients.");
ABSL_FLAG(std::string, tls_key, "", "PEM file of its key.");
ABSL_FLAG(std::string, client_ca, "",
          "PEM file of the authorities that clients' certificates must come from.");
ABSL_FLAG(std::vector<std::string>, operators, {},
          "Names in certificates that may use the operators' services, separated by commas. Empty: "
          "everybody who may connect.");
ABSL_FLAG(bool, insecure, false, "Plaintext and no authentication, on loopback addresses only.");
ABSL_FLAG(uint64_t, keep_revisions, 1000, "Revisions kept for diff and rollback.");
ABSL_FLAG(uint64_t, max_proxies, 10000, "Proxies served at a time.");
ABSL_FLAG(
    std::string, address_file, "",
    "File to write the chosen addresses to once they are listened on: lines grpc=HOST:PORT and "
    "metrics=HOST:PORT.");

namespace portico::control {
namespace {

constexpr char kUsage[] =
    "Keeps the configuration of a fleet of Portico proxies and streams it to them.\n"
    "Example: portico_control --store=/var/lib/portico/store.db --insecure";

// Bad usage, or something outside of the program that must be set right.
constexpr int kExitUsage = 2;

int Fail(const absl::Status& status) {
  fprintf(stderr, "portico_control: %s\n", std::string(status.message()).c_str());
  return kExitUsage;
}

// gRPC's own errors go into our log; what it does for its own information does not.
void ForwardGrpcLog(gpr_log_func_args* args) {
  if (args->severity == GPR_LOG_SEVERITY_ERROR) WriteLog(LogLevel::kWarning, "grpc", args->message);
}

// Every proxy is a connection.
void RaiseFileLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Whole or not at all, so that whoever waits for the file never reads half of it.
absl::Status WriteAddressFile(const std::string& path, const ControlPlane& running) {
  const std::string draft = path + ".tmp";
  std::ofstream file(draft);
  file << "grpc=" << running.grpc_address() << "\n";
  if (!running.metrics_address().empty()) file << "metrics=" << running.metrics_address() << "\n";
  file.close();
  if (!file || rename(draft.c_str(), path.c_str()) != 0) {
    return absl::UnavailableError(absl::StrCat("--address-file: cannot write ", path,
                                               ": check that the folder may be written"));
  }
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  const auto rest =
      flags::ParseFlagsOrExit(argc, argv, {.name = "portico_control", .usage = kUsage});
  if (rest.size() > 1) {
    return Fail(absl::InvalidArgumentError(
        absl::StrCat("unexpected argument \"", rest[1],
                     "\": flags start with --; run with --help for the list")));
  }
  // Before any thread starts, so that all inherit it and only sigwait below sees the signals.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  gpr_set_log_function(ForwardGrpcLog);
  RaiseFileLimit();

  Options options;
  options.grpc_address = absl::GetFlag(FLAGS_grpc_address);
  options.metrics_address = absl::GetFlag(FLAGS_metrics_address);
  options.store = absl::GetFlag(FLAGS_store);
  options.store_key_file = absl::GetFlag(FLAGS_store_key_file);
  options.ticket_key_rotation = absl::GetFlag(FLAGS_ticket_key_rotation);
  options.tls_cert = absl::GetFlag(FLAGS_tls_cert);
  options.tls_key = absl::GetFlag(FLAGS_tls_key);
  options.client_ca = absl::GetFlag(FLAGS_client_ca);
  options.operators = absl::GetFlag(FLAGS_operators);
  options.insecure = absl::GetFlag(FLAGS_insecure);
  options.keep_revisions = absl::GetFlag(FLAGS_keep_revisions);
  options.max_proxies = absl::GetFlag(FLAGS_max_proxies);

  const RealClock clock;
  absl::StatusOr<std::unique_ptr<ControlPlane>> running = StartControlPlane(options, clock);
  if (!running.ok()) return Fail(running.status());
  if (const std::string path = absl::GetFlag(FLAGS_address_file); !path.empty()) {
    if (absl::Status status = WriteAddressFile(path, **running); !status.ok()) return Fail(status);
  }
  int signal_number = 0;
  sigwait(&signals, &signal_number);
  LogInfo("main", "stopping on signal ", signal_number);
  (*running)->Stop();
  return 0;
}

}  // namespace
}  // namespace portico::control

int main(int argc, char** argv) { return portico::control::Main(argc, argv); }
