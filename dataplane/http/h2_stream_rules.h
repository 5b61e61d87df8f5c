// Which frames may still come on which stream of a client (RFC 9113 sections 5.1 and 5.1.1).
#ifndef DATAPLANE_HTTP_H2_STREAM_RULES_H_
#define DATAPLANE_HTTP_H2_STREAM_RULES_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/http/h2_frames.h"

namespace portico::http {

// nghttp2 passes over what comes for streams that it has closed. This sees frames before it does,
// by their heads alone and in the order in which they come, so that it knows at once of a stream
// that its client has just ended. What comes on streams that we have reset is not held against the
// client: it goes on sending until it knows.
class H2StreamRules {
 public:
  enum class Verdict : uint8_t {
    kMayCome,
    kProtocolError,  // A stream that was left out: identifiers go up.
    kStreamClosed    // The client has ended it, or has reset it.
  };
  Verdict See(const H2FrameHead& head);

 private:
  // What is older than that is passed over.
  static constexpr size_t kEnded = 32, kGaps = 4;
  struct Gap {
    uint32_t first = 0, last = 0;
  };

  Verdict SeeHeaders(uint32_t stream);
  bool Ended(uint32_t stream) const;
  void End(uint32_t stream) { ended_[ended_count_++ % kEnded] = stream; }

  uint32_t next_ = 1;  // Streams from here on were not opened yet.
  std::array<uint32_t, kEnded> ended_{};
  std::array<Gap, kGaps> gaps_{};
  uint8_t ended_count_ = 0, gap_count_ = 0;  // Modulo their sizes: where the next goes.
};

}  // namespace portico::http

#endif  // DATAPLANE_HTTP_H2_STREAM_RULES_H_
