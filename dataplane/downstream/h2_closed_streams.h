// Streams of a connection that are closed, as far as what still comes for them needs to be judged
// (RFC 9113 section 5.1).
#ifndef DATAPLANE_DOWNSTREAM_H2_CLOSED_STREAMS_H_
#define DATAPLANE_DOWNSTREAM_H2_CLOSED_STREAMS_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace portico::downstream {

class H2ClosedStreams {
 public:
  // By us: until the client knows, it goes on sending. `at_once`: how many of them there may be.
  void WasReset(uint32_t id, size_t at_once) {
    if (reset_.size() < at_once) {
      reset_.push_back(id);
    } else {
      reset_[next_reset_++ % reset_.size()] = id;
    }
  }
  // The client had ended it, or has reset it.
  void WasEnded(uint32_t id) { ended_[next_ended_++ % ended_.size()] = id; }

  bool reset(uint32_t id) const {
    return std::find(reset_.begin(), reset_.end(), id) != reset_.end();
  }
  // Only of the last ones.
  bool ended(uint32_t id) const {
    return std::find(ended_.begin(), ended_.end(), id) != ended_.end();
  }

 private:
  std::vector<uint32_t> reset_;
  std::array<uint32_t, 16> ended_{};
  size_t next_reset_ = 0;
  size_t next_ended_ = 0;
};

}  // namespace portico::downstream

#endif  // DATAPLANE_DOWNSTREAM_H2_CLOSED_STREAMS_H_
