// The proxy's end of the discovery stream.
#ifndef DATAPLANE_DISCOVERY_CLIENT_H_
#define DATAPLANE_DISCOVERY_CLIENT_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataplane/base/clock.h"
#include "dataplane/discovery/change_set_assembler.h"
#include "dataplane/discovery/channel.h"
#include "dataplane/discovery/hello.h"
#include "dataplane/discovery/last_good_cache.h"
#include "dataplane/discovery/revision_sink.h"
#include "dataplane/observe/proxy_status.h"

namespace portico::discovery_client {

struct ClientOptions {
  ChannelOptions channel;
  Identity identity;
  ChangeSetAssembler::Limits limits;
  // The protocol's times (discovery.proto).
  int64_t heartbeat_nanos = 10 * base::kNanosPerSecond;
  int64_t silence_nanos = 30 * base::kNanosPerSecond;
  // Waits between attempts to connect; the shortest again after a stream that was
  // up for `stable_nanos` or brought a revision.
  int64_t min_backoff_nanos = 200 * base::kNanosPerMilli;
  int64_t max_backoff_nanos = 10 * base::kNanosPerSecond;
  int64_t stable_nanos = 5 * base::kNanosPerSecond;
};

// Keeps a stream to the control plane, offers what arrives to the sink, answers,
// and puts what became live into the cache. What is live survives lost streams and
// is where the next one resumes. Runs a thread of its own; public functions are
// thread-safe.
class DiscoveryClient {
 public:
  // `sink`, `clock` and `status` must outlive the client; `cache` may be null.
  // Errors: InvalidArgument for options that can never work.
  static absl::StatusOr<std::unique_ptr<DiscoveryClient>> Create(ClientOptions options,
                                                                 RevisionSink& sink,
                                                                 const base::Clock& clock,
                                                                 observe::ProxyStatus& status,
                                                                 LastGoodCache* cache);
  // Shutdown().
  virtual ~DiscoveryClient() = default;

  // Begins to connect, once. `revision` and `applied` are what is live already, from
  // the cache; 0 and null for nothing.
  virtual void Start(uint64_t revision, ResourceSetPtr applied) = 0;
  // Ends the stream and the thread, within moments. A revision that is being
  // applied is not waited for.
  virtual void Shutdown() = 0;
};

}  // namespace portico::discovery_client

#endif  // DATAPLANE_DISCOVERY_CLIENT_H_
