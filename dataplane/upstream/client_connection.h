// A connection to an upstream endpoint, whatever HTTP version it speaks: what a
// pool holds.
#ifndef DATAPLANE_UPSTREAM_CLIENT_CONNECTION_H_
#define DATAPLANE_UPSTREAM_CLIENT_CONNECTION_H_

#include <cstdint>

#include "absl/status/status.h"
#include "dataplane/base/arena.h"
#include "dataplane/event/cancel.h"
#include "dataplane/http/stream.h"

namespace portico::upstream {

class ClientConnection;

// Who holds connections and is told what becomes of them. Called on the worker's
// thread, from the loop.
class ClientConnectionOwner {
 public:
  virtual ~ClientConnectionOwner() = default;
  // It will take no more streams: the peer closed it or sent something that nobody
  // asked for, while it rested. Comes at most once, before OnConnectionEnded(), and
  // never while a stream is open (EndStream() and reusable() tell then). The
  // connection closes itself.
  virtual void OnConnectionUnusable(ClientConnection& connection) = 0;
  // An HTTP/2 peer has said how many streams it takes: max_streams() may be another one.
  virtual void OnConnectionRoom(ClientConnection& /*connection*/) {}
  // Nothing of it is pending any more: the owner destroys it, here or later. Never
  // comes from inside a function of the connection.
  virtual void OnConnectionEnded(ClientConnection& connection) = 0;
};

// Life: created open; OpenStream(), EndStream(), ... ; Close(), or the peer ends
// it; OnConnectionEnded(). Destroy it only after that (checked).
class ClientConnection {
 public:
  virtual ~ClientConnection() = default;

  // Begins an exchange. `scope` is what its operations link into; the response head
  // is built in `arena`; both outlive the stream. nullptr if it can take none now.
  virtual http::ClientStream* OpenStream(event::CancelScope& scope, base::Arena& arena) = 0;
  // The exchange is over, complete or not; no function of the stream is waiting.
  // The pointer is dead afterwards. An incomplete h1 exchange ends the connection.
  virtual void EndStream(http::ClientStream* stream) = 0;

  // 1 for HTTP/1.1, what the peer allows for HTTP/2.
  virtual uint32_t max_streams() const = 0;
  virtual uint32_t open_streams() const = 0;
  // Whether OpenStream() would work, now or after an open stream has ended.
  virtual bool reusable() const = 0;
  // Exchanges begun so far.
  virtual uint64_t streams_opened() const = 0;

  // Ends it as soon as no stream is open; now if none is. May be called again.
  virtual void Close() = 0;
};

}  // namespace portico::upstream

#endif  // DATAPLANE_UPSTREAM_CLIENT_CONNECTION_H_
