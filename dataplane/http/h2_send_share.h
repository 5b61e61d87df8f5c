// How much of bodies the streams of one connection hold for a client that does not take it yet.
// No I/O.
#ifndef DATAPLANE_HTTP_H2_SEND_SHARE_H_
#define DATAPLANE_HTTP_H2_SEND_SHARE_H_

#include <cstddef>
#include <cstdint>

#include "dataplane/base/buffer.h"

namespace portico::http {

// Of one connection: what its streams may hold beyond one small piece for each, which none is ever
// refused, so that nobody waits for anybody.
class H2SendShare {
 public:
  static constexpr int64_t kBytes = 512 * 1024;

  // What is left; below 0 where pieces came larger than they were asked for.
  int64_t left() const { return left_; }

 private:
  friend class H2SendStake;
  int64_t left_ = kBytes;
};

// Of one stream, whose pieces come one after the other: the next one is asked for when the one
// before was taken, and is held until it is.
class H2SendStake {
 public:
  // The size of a piece that is always granted, and of the largest.
  static constexpr size_t kLeast = base::BufferPool::kSmall;
  static constexpr size_t kMost = base::BufferPool::kHuge;

  // How large what is received next may be; as much counts as held until the next call or End().
  // Larger than kLeast only for a stream whose pieces come that large, as far as there is share
  // left: one that is alone gets all it can use, and each further one half of what is left.
  // `window`: what the client lets the stream send now. Streams beyond theirs leave half of the
  // share to those that can send.
  size_t Next(size_t window, H2SendShare& share);
  // `bytes` came; several pieces may come of one receive.
  void Came(size_t bytes, H2SendShare& share);
  // Nothing is held any more.
  void End(H2SendShare& share);

 private:
  void Hold(int64_t bytes, H2SendShare& share);

  int64_t held_ = 0;  // Of the share.
  size_t limit_ = 0;  // As Next() said.
  size_t came_ = 0;   // Since then.
};

}  // namespace portico::http

#endif  // DATAPLANE_HTTP_H2_SEND_SHARE_H_
