// Two connected streams in one process: for tests of what runs over streams.
#ifndef DATAPLANE_NET_SOCKET_PAIR_H_
#define DATAPLANE_NET_SOCKET_PAIR_H_

#include <memory>
#include <utility>

#include "dataplane/event/loop.h"
#include "dataplane/net/byte_stream.h"

namespace portico::net {

// Real sockets (AF_UNIX); what one sends the other receives. Their addresses are
// 0.0.0.0:0. Aborts when the kernel gives none.
std::pair<std::unique_ptr<ByteStream>, std::unique_ptr<ByteStream>> MakeSocketPair(event::Loop& loop);

}  // namespace portico::net

#endif  // DATAPLANE_NET_SOCKET_PAIR_H_
