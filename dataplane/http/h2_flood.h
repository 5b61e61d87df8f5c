// Frames that cost us more than the peer: how many of them a connection may see. For both roles.
#ifndef DATAPLANE_HTTP_H2_FLOOD_H_
#define DATAPLANE_HTTP_H2_FLOOD_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/base/clock.h"

namespace portico::http {

// A bucket of tokens for each kind of frame: full at first, and filled again by time and by
// what the connection is for, streams and their data. An honest peer never sees its bottom.
class H2FloodGuard {
 public:
  enum class Kind : uint8_t {
    kPing,
    kSettings,
    kPriority,  // PRIORITY and PRIORITY_UPDATE.
    kWindowUpdate,
    kEmptyFrame,    // DATA or CONTINUATION without content that end nothing.
    kUnknownFrame,  // Of a type that we do not know.
    // Streams that the peer resets, and those that its errors make us reset (CVE-2023-44487,
    // CVE-2025-8671): what was done for them is lost.
    kReset,
    kCount
  };

  // One more has come. False: too many; close the connection with ENHANCE_YOUR_CALM.
  bool Take(Kind kind, base::MonotonicNanos now);

  // A stream was opened; a DATA frame with content was received or sent.
  void StreamOpened() { ++streams_; }
  void DataMoved() { ++data_frames_; }

  // "ping_flood", ...: the reason to close.
  static std::string_view Reason(Kind kind);

 private:
  static constexpr size_t kKinds = static_cast<size_t>(Kind::kCount);
  void Refill(base::MonotonicNanos now);

  // How much was taken, in halves of a token.
  std::array<int32_t, kKinds> taken_{};
  uint32_t streams_ = 0;  // Since the last refill.
  uint32_t data_frames_ = 0;
  base::MonotonicNanos refilled_ = 0;
};

}  // namespace portico::http

#endif  // DATAPLANE_HTTP_H2_FLOOD_H_
