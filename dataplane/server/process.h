// Everything a proxy process consists of, wired together.
#ifndef DATAPLANE_SERVER_PROCESS_H_
#define DATAPLANE_SERVER_PROCESS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "dataplane/server/settings.h"

namespace portico::server {

// Thread-safe once started.
class Process {
 public:
  // Starts workers, the admin endpoint, and either the file's resources or the
  // stream to the control plane; with a control plane, the last good revision from
  // disk is served at once. Errors: InvalidArgument and others with what to do;
  // for a file of resources all its violations, a line each.
  static absl::StatusOr<std::unique_ptr<Process>> Start(Settings settings);
  // Ends everything; open exchanges are cut unless a drain has ended before.
  virtual ~Process() = default;

  // See Server::Drain().
  virtual void Drain() = 0;
  virtual void WaitUntilDrained() = 0;
  virtual void ReopenLogs() = 0;
};

}  // namespace portico::server

#endif  // DATAPLANE_SERVER_PROCESS_H_
