// Sessions that connections to endpoints resume.
#ifndef DATAPLANE_TLS_SESSION_CACHE_H_
#define DATAPLANE_TLS_SESSION_CACHE_H_

#include <openssl/ssl.h>

#include <cstddef>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace portico::tls {

// Thread-safe; asked once or twice for each handshake, never for a request. Bounded: a few sessions
// for each endpoint, and of so many endpoints; above, any other endpoint's are forgotten.
class SessionCache {
 public:
  static constexpr size_t kMaxPeers = 1024;
  static constexpr size_t kSessionsOfAPeer = 4;

  // The newest. Those of TLS 1.3 are given out once (RFC 8446 appendix C.4). nullptr: none.
  bssl::UniquePtr<SSL_SESSION> Take(const std::string& peer);
  void Add(const std::string& peer, bssl::UniquePtr<SSL_SESSION> session);
  // Endpoints that have some.
  size_t peers() const;

 private:
  mutable std::mutex mutex_;
  // Guarded by mutex_. The newest last.
  absl::flat_hash_map<std::string, std::vector<bssl::UniquePtr<SSL_SESSION>>> sessions_;
};

}  // namespace portico::tls

#endif  // DATAPLANE_TLS_SESSION_CACHE_H_
