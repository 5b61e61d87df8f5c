// Who takes revisions.
#ifndef DATAPLANE_DISCOVERY_REVISION_SINK_H_
#define DATAPLANE_DISCOVERY_REVISION_SINK_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "api/portico/v1/resource.pb.h"
#include "api/resource/resource.h"

namespace portico::discovery_client {

// What came of a revision: empty when it is live on every worker, else why it is
// not and everything is as before.
using ApplyResult = std::vector<v1::Violation>;

class RevisionSink {
 public:
  virtual ~RevisionSink() = default;
  // Makes a complete set live, or leaves all as it is. Returns soon; calls `done`
  // once, on any thread, or never when the process is about to end. `done` may be
  // called after the caller is gone.
  virtual void Offer(uint64_t revision, api::ResourceSet set,
                     std::function<void(ApplyResult)> done) = 0;
};

}  // namespace portico::discovery_client

#endif  // DATAPLANE_DISCOVERY_REVISION_SINK_H_
