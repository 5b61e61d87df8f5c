// A whole control plane: everything wired, listening.
#ifndef CONTROLPLANE_CONTROL_PLANE_H_
#define CONTROLPLANE_CONTROL_PLANE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "controlplane/model/clock.h"
#include "controlplane/options.h"
#include "controlplane/store/store.h"

namespace portico::control {

class ControlPlane {
 public:
  virtual ~ControlPlane() = default;
  // Where it listens, with the ports that were chosen; metrics: empty if there are none.
  virtual const std::string& grpc_address() const = 0;
  virtual const std::string& metrics_address() const = 0;
  // Ends all streams, lets calls in progress finish for up to 3 s, and closes. Idempotent.
  virtual void Stop() = 0;
  // Heartbeats, silence, forgetting; called once a second on its own, and by tests that move the
  // clock.
  virtual void Tick() = 0;
};

// Opens the store and starts listening. `clock` must outlive the result.
// Errors: one line saying what to do.
absl::StatusOr<std::unique_ptr<ControlPlane>> StartControlPlane(const Options& options,
                                                                const Clock& clock);
// The same over a store of the caller's, which must outlive the result; `options.store` is unused.
absl::StatusOr<std::unique_ptr<ControlPlane>> StartControlPlane(const Options& options,
                                                                const Clock& clock, Store& store);

}  // namespace portico::control

#endif  // CONTROLPLANE_CONTROL_PLANE_H_
