// portico_proxy: serves requests as its configuration says.

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "dataplane/server/process.h"
#include "dataplane/server/settings.h"
#include "tools/flags/flags.h"
#include "tools/flags/version.h"

ABSL_FLAG(std::string, node_id, "",
          "Name of this proxy, unique in the fleet and the same after a restart. Default: the host's name.");
ABSL_FLAG(std::string, control_plane, "", "HOST:PORT of the control plane.");
ABSL_FLAG(std::string, config, "",
          "File of resources (YAML or JSON) to serve instead of what a control plane sends.");
ABSL_FLAG(std::string, tls_cert, "", "PEM file of the certificate shown to the control plane.");
ABSL_FLAG(std::string, tls_key, "", "PEM file of its key.");
ABSL_FLAG(std::string, tls_ca, "",
          "PEM file of the authorities that the control plane's certificate must come from.");
ABSL_FLAG(bool, insecure, false, "Plaintext to the control plane, on loopback addresses only.");
ABSL_FLAG(std::string, cache_dir, "",
          "Folder for the last good revision, served when the control plane is away. Default: none is kept.");
ABSL_FLAG(std::string, cache_key_file, "",
          "File with the key of the cache: 32 random bytes or 64 hexadecimal digits. Default: derived from "
          "--tls-key.");
ABSL_FLAG(std::string, admin_address, "127.0.0.1:9901",
          "ADDRESS:PORT of the admin endpoint, loopback only. Port 0 takes a free one.");
ABSL_FLAG(std::vector<std::string>, listener_address, {},
          "NAME=ADDRESS:PORT: where this proxy opens the named listener, instead of what its resource says. "
          "May be repeated.");
ABSL_FLAG(std::vector<std::string>, label, {},
          "NAME=VALUE: told to the control plane, shown by `porticoctl fleet`. May be repeated.");
ABSL_FLAG(int64_t, workers, -1, "Threads that serve. Default: the number of processors.");
ABSL_FLAG(uint32_t, max_connections, 0,
          "Client connections open at once on each listener. Default: 0, no limit.");
ABSL_FLAG(uint32_t, max_process_connections, 0,
          "Client connections open at once on all listeners together. Default: 0, no limit.");
ABSL_FLAG(
    uint64_t, memory_limit, 0,
    "Bytes of buffers and connections that the workers may hold together: near it, they stop "
    "keep-alive, then answer 503. Default: three quarters of the memory of the control group or "
    "the machine.");
ABSL_FLAG(std::string, io_engine, "auto",
          "How the kernel is asked for I/O: auto, uring or epoll. auto takes uring where the "
          "kernel allows it.");
ABSL_FLAG(uint32_t, io_gather_micros, 0,
          "With io_uring: microseconds, 0 to 1000, that a half busy worker with many clients waits "
          "for more of them before it goes on: less CPU, more latency. Default: 0, not at all.");
ABSL_FLAG(uint64_t, rate_limit_cells, 1 << 20,
          "Rate limit counters, 16 bytes each, shared by all policies.");
ABSL_FLAG(std::string, address_file, "",
          "File to write the addresses to that are listened on: lines admin=ADDRESS:PORT and "
          "listener.NAME=ADDRESS:PORT.");
ABSL_FLAG(absl::Duration, drain_grace, absl::Seconds(5),
          "After SIGTERM: time to go on accepting while already not ready.");
ABSL_FLAG(absl::Duration, drain_timeout, absl::Seconds(30),
          "After that: time for open exchanges before they are cut.");

namespace portico::server {
namespace {

constexpr char kUsage[] =
    "Serves requests as its configuration says.\n"
    "Example: portico_proxy --control-plane=127.0.0.1:7400 --insecure\n"
    "Example: portico_proxy --config=routes.yaml";

constexpr int kExitUsage = 2;

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "portico_proxy: %s\n", std::string(status.message()).c_str());
  return kExitUsage;
}

std::string HostName() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

absl::StatusOr<Settings> SettingsFromFlags() {
  Settings settings;
  settings.version = kVersion;
  settings.node_id = absl::GetFlag(FLAGS_node_id);
  if (settings.node_id.empty()) settings.node_id = HostName();
  settings.control_plane = absl::GetFlag(FLAGS_control_plane);
  settings.config_file = absl::GetFlag(FLAGS_config);
  settings.tls_cert = absl::GetFlag(FLAGS_tls_cert);
  settings.tls_key = absl::GetFlag(FLAGS_tls_key);
  settings.tls_ca = absl::GetFlag(FLAGS_tls_ca);
  settings.insecure = absl::GetFlag(FLAGS_insecure);
  settings.cache_dir = absl::GetFlag(FLAGS_cache_dir);
  settings.cache_key_file = absl::GetFlag(FLAGS_cache_key_file);
  settings.address_file = absl::GetFlag(FLAGS_address_file);
  settings.max_connections = absl::GetFlag(FLAGS_max_connections);
  settings.max_process_connections = absl::GetFlag(FLAGS_max_process_connections);
  settings.memory_limit = absl::GetFlag(FLAGS_memory_limit);
  settings.io_gather_micros = absl::GetFlag(FLAGS_io_gather_micros);
  settings.rate_limit_cells = absl::GetFlag(FLAGS_rate_limit_cells);
  settings.drain_grace_nanos = absl::ToInt64Nanoseconds(absl::GetFlag(FLAGS_drain_grace));
  settings.drain_timeout_nanos = absl::ToInt64Nanoseconds(absl::GetFlag(FLAGS_drain_timeout));
  const int64_t workers = absl::GetFlag(FLAGS_workers);
  settings.workers = workers < 0 ? std::thread::hardware_concurrency() : static_cast<uint32_t>(workers);

  auto io_engine = ParseIoEngine(absl::GetFlag(FLAGS_io_engine));
  if (!io_engine.ok()) return io_engine.status();
  settings.io_engine = *io_engine;
  const std::string admin = absl::GetFlag(FLAGS_admin_address);
  auto admin_address = net::SocketAddress::Parse(admin);
  if (!admin_address.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--admin-address=", admin, ": ", admin_address.status().message()));
  }
  settings.admin_address = *admin_address;
  auto labels = ParsePairs("label", absl::GetFlag(FLAGS_label));
  if (!labels.ok()) return labels.status();
  settings.labels = *std::move(labels);
  auto listeners = ParseListenerAddresses(absl::GetFlag(FLAGS_listener_address));
  if (!listeners.ok()) return listeners.status();
  settings.listener_addresses = *std::move(listeners);
  if (absl::Status status = CheckSettings(settings); !status.ok()) return status;
  return settings;
}

// Every connection is a descriptor, and two with its upstream.
void RaiseFileLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int Main(int argc, char** argv) {
  const auto rest =
      flags::ParseFlagsOrExit(argc, argv, {.name = "portico_proxy", .usage = kUsage});
  if (rest.size() > 1) {
    return Fail(absl::InvalidArgumentError(absl::StrCat(
        "unexpected argument \"", rest[1], "\": flags start with --; run with --help for the list")));
  }
  absl::StatusOr<Settings> settings = SettingsFromFlags();
  if (!settings.ok()) return Fail(settings.status());

  // Before any thread starts, so that all inherit it and only sigwait sees them.
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGUSR1, SIGUSR2}) sigaddset(&signals, number);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  RaiseFileLimit();

  absl::StatusOr<std::unique_ptr<Process>> process = Process::Start(*std::move(settings));
  if (!process.ok()) return Fail(process.status());

  // The end of a drain, however it began, arrives as a signal too.
  std::thread drained([running = process->get()] {
    running->WaitUntilDrained();
    kill(getpid(), SIGUSR2);
  });
  for (int number = 0; number != SIGUSR2;) {
    if (sigwait(&signals, &number) != 0) continue;
    if (number == SIGUSR1) (*process)->ReopenLogs();
    if (number == SIGTERM || number == SIGINT) (*process)->Drain();
  }
  drained.join();
  process->reset();
  return 0;
}

}  // namespace
}  // namespace portico::server

int main(int argc, char** argv) { return portico::server::Main(argc, argv); }
