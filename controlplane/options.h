// How a control plane is started.
#ifndef CONTROLPLANE_OPTIONS_H_
#define CONTROLPLANE_OPTIONS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace portico::control {

struct Options {
  // "HOST:PORT" for both services; port 0 takes a free one.
  std::string grpc_address = "127.0.0.1:7400";
  // "HOST:PORT" for Prometheus, plain HTTP; empty for none.
  std::string metrics_address = "127.0.0.1:7401";
  // Path of the SQLite file.
  std::string store;
  // PEM files. All three are needed for mutual TLS; they are read again when they change.
  std::string tls_cert;
  std::string tls_key;
  std::string client_ca;
  // Names in certificates that may use the operators' services. Empty: everybody who may connect.
  std::vector<std::string> operators;
  // Plaintext, on loopback addresses only.
  bool insecure = false;
  // Of the file with the key that the store is encrypted with; empty: `store` with ".key" behind.
  std::string store_key_file;
  // How often a new key for session tickets is made; zero: never.
  absl::Duration ticket_key_rotation = absl::Hours(12);
  size_t keep_revisions = 1000;
  size_t max_proxies = 10'000;
};

// Whether the options make sense together and the named files are there.
// Errors: InvalidArgument, one line saying what to do.
absl::Status CheckOptions(const Options& options);

// Whether "HOST:PORT" names this machine's loopback.
bool IsLoopback(const std::string& address);

}  // namespace portico::control

#endif  // CONTROLPLANE_OPTIONS_H_
