// A connection as two directions of bytes: TCP now, TLS over TCP the same.
#ifndef DATAPLANE_NET_BYTE_STREAM_H_
#define DATAPLANE_NET_BYTE_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataplane/base/buffer.h"
#include "dataplane/event/cancel.h"
#include "dataplane/event/loop.h"
#include "dataplane/event/operation.h"
#include "dataplane/event/pipe.h"
#include "dataplane/net/address.h"

namespace portico::net {

// Completion-based, like event::Engine: at most one receive, one send and one
// hang-up watch pending at a time. Implementations set `fd` of the operations.
// Owned by one worker. Destroy only when nothing is pending.
class ByteStream : public event::Progress {
 public:
  virtual ~ByteStream() = default;
  virtual void StartReceive(event::ReceiveOperation& op) = 0;
  virtual void StartSend(event::SendOperation& op) = 0;
  virtual void StartHangUpWatch(event::HangUpOperation& op) = 0;
  virtual void Cancel(event::Operation& op) = 0;
  // Last words that nobody waits for, such as an alert: how many bytes of them the kernel takes
  // at once. Only while no send is pending.
  virtual size_t SendNow(std::string_view /*bytes*/) { return 0; }
  // Sends end-of-stream; receiving goes on.
  virtual void ShutdownWrite() = 0;
  // Makes the peer see a reset instead of an orderly end, when the stream is
  // destroyed.
  virtual void Abort() = 0;
  // Both ask the kernel.
  virtual SocketAddress peer() const = 0;
  virtual SocketAddress local() const = 0;
  // Where pipes for its operations come from; nullptr if its bytes must pass through
  // this process: encrypted ones, or with an engine that moves none.
  virtual event::PipePool* pipes() const { return nullptr; }
  // Whether bytes, the end or an error wait to be received, while no receive is pending.
  // Asks the kernel; where it cannot be known, false.
  virtual bool HasUnread() const { return false; }
  // Of sending: grows whenever the peer takes bytes. Asks the kernel.
  uint64_t made() const override { return 0; }
};

// Takes ownership of a connected, non-blocking socket; closes it in the destructor.
std::unique_ptr<ByteStream> MakeTcpStream(event::Loop& loop, int fd);

// Tasks wait for all this with the awaitables of dataplane/net/await.h.

}  // namespace portico::net

#endif  // DATAPLANE_NET_BYTE_STREAM_H_
