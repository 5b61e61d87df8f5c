#include "dataplane/server/settings.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace portico::server {
namespace {

constexpr uint32_t kMaxWorkers = 1024;
constexpr uint32_t kMaxGatherMicros = 1000;
constexpr uint64_t kMinMemoryLimit = 1 << 20;

absl::Status Missing(const std::string& path, const char* flag) {
  if (path.empty() || access(path.c_str(), R_OK) == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, "=", path, ": cannot be read; name a file that this user may read"));
}

// Printable ASCII, from `first` on; other bytes a control plane may not be able to read.
bool IsPlain(const std::string& text, char first) {
  return std::all_of(text.begin(), text.end(), [&](char c) { return c >= first && c <= '~'; });
}

// As the control plane takes it (HelloLimits).
absl::Status CheckIdentity(const Settings& settings) {
  if (settings.node_id.empty() || settings.node_id.size() > 128 ||
      !IsPlain(settings.node_id, '!')) {
    return absl::InvalidArgumentError(
        "--node-id must have 1 to 128 printable ASCII characters, without spaces");
  }
  bool good = settings.labels.size() <= 64;
  for (const auto& [name, value] : settings.labels) {
    good = good && name.size() <= 1024 && value.size() <= 1024 && IsPlain(name, ' ') &&
           IsPlain(value, ' ');
  }
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "--label: at most 64, with names and values of at most 1024 printable ASCII characters");
}

absl::Status CheckControlPlane(const Settings& settings) {
  const bool any_tls =
      !settings.tls_cert.empty() || !settings.tls_key.empty() || !settings.tls_ca.empty();
  const bool all_tls =
      !settings.tls_cert.empty() && !settings.tls_key.empty() && !settings.tls_ca.empty();
  if (settings.insecure && any_tls) {
    return absl::InvalidArgumentError(
        "--insecure and --tls-... exclude each other; drop one of them");
  }
  if (!settings.insecure && !all_tls) {
    return absl::InvalidArgumentError(
        "--control-plane needs --tls-cert, --tls-key and --tls-ca, or --insecure on loopback");
  }
  if (!settings.cache_dir.empty() && settings.cache_key_file.empty() && settings.insecure) {
    return absl::InvalidArgumentError(
        "--cache-dir needs --cache-key-file, a file of 32 random bytes, when there is no TLS key to "
        "derive one from");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckSettings(const Settings& settings) {
  if (settings.config_file.empty() == settings.control_plane.empty()) {
    return absl::InvalidArgumentError(
        "give either --control-plane=HOST:PORT or --config=FILE; see --help");
  }
  if (absl::Status status = CheckIdentity(settings); !status.ok()) return status;
  if (settings.workers < 1 || settings.workers > kMaxWorkers) {
    return absl::InvalidArgumentError(absl::StrCat("--workers=", settings.workers,
                                                   ": must be 1 to ", kMaxWorkers));
  }
  if (settings.memory_limit != 0 && settings.memory_limit < kMinMemoryLimit) {
    return absl::InvalidArgumentError(absl::StrCat("--memory-limit=", settings.memory_limit,
                                                   ": must be 0 or at least ", kMinMemoryLimit,
                                                   " bytes"));
  }
  if (settings.drain_grace_nanos < 0 || settings.drain_timeout_nanos < 0) {
    return absl::InvalidArgumentError("--drain-grace and --drain-timeout must not be negative");
  }
  if (settings.rate_limit_cells < 1024 || settings.rate_limit_cells > (uint64_t{1} << 28)) {
    return absl::InvalidArgumentError(absl::StrCat("--rate-limit-cells=", settings.rate_limit_cells,
                                                   ": must be 1024 to 268435456"));
  }
  if (settings.io_gather_micros > kMaxGatherMicros) {
    return absl::InvalidArgumentError(absl::StrCat("--io-gather-micros=", settings.io_gather_micros,
                                                   ": must be 0 to ", kMaxGatherMicros));
  }
  for (const auto& [path, flag] :
       {std::pair(settings.config_file, "config"), std::pair(settings.tls_cert, "tls-cert"),
        std::pair(settings.tls_key, "tls-key"), std::pair(settings.tls_ca, "tls-ca"),
        std::pair(settings.cache_key_file, "cache-key-file")}) {
    if (absl::Status status = Missing(path, flag); !status.ok()) return status;
  }
  if (!settings.control_plane.empty()) return CheckControlPlane(settings);
  return absl::OkStatus();
}

uint64_t DefaultMemoryLimit() {
  uint64_t bytes =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  std::ifstream file("/sys/fs/cgroup/memory.max");
  std::string text;
  uint64_t limit = 0;
  // "max" without a limit.
  if (file >> text && absl::SimpleAtoi(text, &limit) && limit > 0) bytes = std::min(bytes, limit);
  return bytes / 4 * 3;
}

absl::StatusOr<std::map<std::string, std::string>> ParsePairs(
    const char* flag, const std::vector<std::string>& entries) {
  std::map<std::string, std::string> pairs;
  for (const std::string& entry : entries) {
    const size_t equals = entry.find('=');
    if (equals == std::string::npos || equals == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", flag, "=", entry, ": must be written NAME=VALUE"));
    }
    pairs[entry.substr(0, equals)] = entry.substr(equals + 1);
  }
  return pairs;
}

absl::StatusOr<event::EngineKind> ParseIoEngine(const std::string& name) {
  const std::optional<event::EngineKind> kind = event::ParseEngineKind(name);
  if (kind.has_value()) return *kind;
  return absl::InvalidArgumentError(
      absl::StrCat("--io-engine=", name, ": must be auto, uring or epoll"));
}

absl::StatusOr<std::map<std::string, net::SocketAddress>> ParseListenerAddresses(
    const std::vector<std::string>& entries) {
  auto pairs = ParsePairs("listener-address", entries);
  if (!pairs.ok()) return pairs.status();
  std::map<std::string, net::SocketAddress> addresses;
  for (const auto& [name, text] : *pairs) {
    auto address = net::SocketAddress::Parse(text);
    if (!address.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--listener-address=", name, "=", text, ": ",
                                                     address.status().message()));
    }
    addresses[name] = *address;
  }
  return addresses;
}

}  // namespace portico::server
