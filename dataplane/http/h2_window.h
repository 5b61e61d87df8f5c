// Windows for what is received (RFC 9113 section 5.2): small, and larger where a small one is what
// holds a transfer up. For both roles. No I/O.
#ifndef DATAPLANE_HTTP_H2_WINDOW_H_
#define DATAPLANE_HTTP_H2_WINDOW_H_

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>

#include "dataplane/base/clock.h"

namespace portico::http {

// What a peer was allowed to send and is to lose. nghttp2 makes a window smaller, but goes on to give
// back all that is read; so of what is read next, as much is kept from it. Bytes.
class H2Debt {
 public:
  // `read` bytes: how many of them nghttp2 is to know of.
  size_t Pay(size_t read);
  int32_t owed() const { return owed_; }

 private:
  friend class H2Window;
  // The window changes by this much. Returns how much of what was kept from nghttp2 it must
  // know of now: when the window grows again, it takes the peer for having had as much.
  int32_t Change(int32_t by);

  int32_t reduced_ = 0;  // As nghttp2 has it.
  int32_t owed_ = 0;     // Of that, not paid yet.
};

// How windows are to change.
struct H2WindowChange {
  int32_t by = 0;
  // Bytes that nghttp2 is to take for read now, of the stream and of the connection.
  int32_t read_of_stream = 0, read_of_connection = 0;
};

// Of one connection: how far the windows of its streams may grow. What a stream's window grows by,
// the connection's grows by as well, so that one which has grown, and whose reader then stops,
// takes nothing of what the others share.
class H2Windows {
 public:
  // Of one stream, and of what all streams of a connection grow by. Bytes. Less where the
  // connection is given less.
  static constexpr int32_t kMostOfStream = 1 << 20;
  static constexpr int32_t kMostGrowth = 3 << 20;

  // `stream`, `connection`: the first windows, in bytes. `scarce`: while true, what has grown goes
  // back to that; it outlives this object, and may be nullptr.
  H2Windows(uint32_t stream, uint32_t connection, const bool* scarce);

  // A stream's first window.
  int32_t first() const { return first_; }
  // By how much windows are larger than at first, all streams together.
  int32_t grown() const { return grown_; }
  // Of what is read on all of them.
  H2Debt& debt() { return debt_; }
  const H2Debt& debt() const { return debt_; }

 private:
  friend class H2Window;
  // What one of `streams` may grow by in all.
  int32_t MostGrowth(uint32_t streams) const;
  bool scarce() const { return scarce_ != nullptr && *scarce_; }

  // Constant after construction.
  const int32_t first_;
  int32_t most_of_stream_;  // Beyond the first window, as what follows.
  int32_t most_;
  const bool* const scarce_;

  int32_t grown_ = 0;
  H2Debt debt_;
};

// Of one stream. The receiver cannot see whether its window is what the sender waits for. But if
// all of it was used and read within a time that may be a round trip, and the reader had to wait
// for bytes, it may be: then it is doubled. So a window comes to hold what arrives in kFast.
class H2Window {
 public:
  // A window that passes in less may be too small; longer than this is no usual round trip.
  static constexpr int64_t kFast = 500 * base::kNanosPerMilli;
  // One that takes longer is larger than it need be.
  static constexpr int64_t kSlow = 2 * base::kNanosPerSecond;

  // The reader has read all that there is, and wants more.
  void ReaderWaits() { waited_ = true; }
  // It has read `bytes`. `streams`: how many are open on the connection, of whose windows `all`
  // knows.
  H2WindowChange Read(size_t bytes, base::MonotonicNanos now, uint32_t streams, H2Windows& all);
  // The stream has ended, and what was received on it is read or dropped. What the connection's
  // window is to change by.
  H2WindowChange End(H2Windows& all);

  // By how much it is larger than at first.
  int32_t grown() const { return grown_; }
  H2Debt& debt() { return debt_; }

 private:
  H2WindowChange Change(int32_t by, H2Windows& all);

  base::MonotonicNanos began_ = 0;  // With the window that passes now; 0: nothing was read.
  int32_t passed_ = 0;              // Of that window.
  int32_t grown_ = 0;
  bool waited_ = false;  // The reader has, for that window.
  H2Debt debt_;
};

// Changes the windows of a stream and of its connection. 0: only the connection's.
void ChangeH2Windows(nghttp2_session* session, int32_t stream, const H2WindowChange& change);

// After bytes were received or consumed: lets the peer send as much as was read, if it can hardly send
// anything else. nghttp2 alone waits for half of the window, and if more than that lies in streams
// that nobody reads, the others would wait for ever. `unread`: what was received, on all streams,
// and not consumed.
void ReleaseH2Connection(nghttp2_session* session, size_t unread, const H2Windows& windows);

}  // namespace portico::http

#endif  // DATAPLANE_HTTP_H2_WINDOW_H_
