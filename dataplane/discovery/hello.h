// How a proxy introduces itself.
#ifndef DATAPLANE_DISCOVERY_HELLO_H_
#define DATAPLANE_DISCOVERY_HELLO_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>

#include "api/resource/resource.h"
#include "proto/portico/discovery/v1/discovery.pb.h"

namespace portico::discovery_client {

struct Identity {
  std::string node_id = {};  // Required
  std::map<std::string, std::string> labels = {};
  std::string build = {};  // Of --version
  // Tells this process from the one before it; DiscoveryClient chooses it if empty.
  std::string process = {};
};

// The Hello messages for what is live, each of at most about `max_bytes`.
std::deque<discovery::v1::ProxyMessage> MakeHello(const Identity& identity, uint64_t revision,
                                                  const api::ResourceSet& applied,
                                                  size_t max_bytes = 1 << 20);

}  // namespace portico::discovery_client

#endif  // DATAPLANE_DISCOVERY_HELLO_H_
