// The gRPC channel to the control plane.
#ifndef DATAPLANE_DISCOVERY_CHANNEL_H_
#define DATAPLANE_DISCOVERY_CHANNEL_H_

#include <grpcpp/channel.h>

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace portico::discovery_client {

struct ChannelOptions {
  // "host:port", "[::1]:port". Required.
  std::string address = {};
  // No TLS. Only for loopback addresses.
  bool insecure = false;
  // PEM files: who may have signed the control plane's certificate, and what the
  // proxy shows itself. All three are required without `insecure`; they are read
  // for each connection, so new certificates need no restart.
  std::string ca_file = {}, certificate_file = {}, key_file = {};
  // The name that the control plane's certificate must hold. Default: the host of
  // `address`.
  std::string server_name = {};
  // Largest message that is accepted. Default: 4 MiB.
  size_t max_message_bytes = 4 << 20;
};

// What can be said without connecting. Errors: InvalidArgument naming the option,
// its value and the fix.
absl::Status CheckChannelOptions(const ChannelOptions& options);

// A new channel that shares nothing with earlier ones, so that it connects at once.
// Errors: as above, and files that cannot be read.
absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const ChannelOptions& options);

}  // namespace portico::discovery_client

#endif  // DATAPLANE_DISCOVERY_CHANNEL_H_
