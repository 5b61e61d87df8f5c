// How a proxy process is started.
#ifndef DATAPLANE_SERVER_SETTINGS_H_
#define DATAPLANE_SERVER_SETTINGS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataplane/base/clock.h"
#include "dataplane/event/engine_factory.h"
#include "dataplane/net/address.h"

namespace portico::server {

// Mirrors the flags of portico_proxy, see docs/proxy.md.
struct Settings {
  std::string node_id;
  // Of the program, told to the control plane and in portico_build_info.
  std::string version;
  // Either a file of resources, or a control plane.
  std::string config_file;
  std::string control_plane;
  bool insecure = false;
  std::string tls_cert, tls_key, tls_ca;
  // Folder of the last good revision; empty: none is kept.
  std::string cache_dir;
  // Empty: the key is derived from tls_key.
  std::string cache_key_file;
  net::SocketAddress admin_address;
  std::map<std::string, net::SocketAddress> listener_addresses;
  std::map<std::string, std::string> labels;
  uint32_t workers = 1;
  uint32_t max_connections = 0;
  uint32_t max_process_connections = 0;
  // Bytes; 0: DefaultMemoryLimit().
  uint64_t memory_limit = 0;
  uint64_t rate_limit_cells = 1 << 20;
  std::string address_file;
  int64_t drain_grace_nanos = 5 * base::kNanosPerSecond;
  int64_t drain_timeout_nanos = 30 * base::kNanosPerSecond;
  event::EngineKind io_engine = event::EngineKind::kAuto;
  uint32_t io_gather_micros = 0;
};

// Whether the settings make sense together. Errors: InvalidArgument: one line that
// names the flag and says what to do.
absl::Status CheckSettings(const Settings& settings);

// Three quarters of what this process may use, by its control group or by the machine, in
// bytes.
uint64_t DefaultMemoryLimit();

// "NAME=VALUE" entries of a flag. Errors: InvalidArgument naming the flag.
absl::StatusOr<std::map<std::string, std::string>> ParsePairs(
    const char* flag, const std::vector<std::string>& entries);

// "auto", "uring" or "epoll" of --io-engine. Errors: InvalidArgument naming the flag.
absl::StatusOr<event::EngineKind> ParseIoEngine(const std::string& name);

// "NAME=ADDRESS:PORT" entries of --listener-address.
absl::StatusOr<std::map<std::string, net::SocketAddress>> ParseListenerAddresses(
    const std::vector<std::string>& entries);

}  // namespace portico::server

#endif  // DATAPLANE_SERVER_SETTINGS_H_
