// What engines share: reading operations, whatever the kernel interface.
#ifndef DATAPLANE_EVENT_ENGINE_COMMON_H_
#define DATAPLANE_EVENT_ENGINE_COMMON_H_

#include <cstddef>
#include <cstdint>

#include "dataplane/event/operation.h"

namespace portico::event {

// The socket of a started operation; -1 if it was never started.
int FdOf(const Operation& op);

// Whether a (positive) errno of accept(2) is about one connection that is already
// gone, or about nothing: the next one may be asked for at once.
bool IsErrorOfOneConnection(int error);

// Takes `count` sent bytes off the front. True when nothing is left.
bool AdvanceSlices(SendOperation& op, size_t count);

// Moves bytes from the socket into the empty pipe of `op`. How many, 0 at the end of
// stream; -errno, -EAGAIN when the socket has none. Counts its system calls.
int32_t SpliceIntoPipe(ReceiveOperation& op, uint64_t& system_calls);

// Moves what the pipe of `op`, if it has one, holds into the socket. op.sent when nothing
// is left; -errno, -EAGAIN when the socket takes no more now.
int32_t SpliceFromPipe(SendOperation& op, uint64_t& system_calls);

}  // namespace portico::event

#endif  // DATAPLANE_EVENT_ENGINE_COMMON_H_
