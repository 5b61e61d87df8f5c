// What the kernel, and whoever guards it, says to io_uring.
#ifndef DATAPLANE_EVENT_URING_PROBE_H_
#define DATAPLANE_EVENT_URING_PROBE_H_

#include <memory>
#include <optional>

#include "dataplane/event/engine.h"
#include "dataplane/event/engine_factory.h"

namespace portico::event {

// Tries all three system calls and all that the engine needs, on the calling thread.
// Nothing if it works.
std::optional<UringRefusal> ProbeUring();

// The reason for an error (negative errno) of io_uring's.
UringRefusal RefusalOf(int error);

// An engine without a probe; `gather_micros` as for CreateEngines(). 0 or -errno.
int OpenUringEngine(unsigned gather_micros, std::unique_ptr<Engine>& engine);

}  // namespace portico::event

#endif  // DATAPLANE_EVENT_URING_PROBE_H_
