// What a listener's resource says of its connections.
#ifndef DATAPLANE_DOWNSTREAM_LISTENER_OPTIONS_H_
#define DATAPLANE_DOWNSTREAM_LISTENER_OPTIONS_H_

#include "dataplane/downstream/connection.h"
#include "dataplane/snapshot/snapshot.h"

namespace portico::downstream {

// All of it; what no resource says keeps its default.
ConnectionOptions OptionsOf(const snapshot::ListenerEntry& listener);

}  // namespace portico::downstream

#endif  // DATAPLANE_DOWNSTREAM_LISTENER_OPTIONS_H_
