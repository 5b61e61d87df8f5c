#include "dataplane/http/h2_send_share.h"

#include <algorithm>
#include <bit>

namespace portico::http {

void H2SendStake::Hold(int64_t bytes, H2SendShare& share) {
  share.left_ += held_ - bytes;
  held_ = bytes;
}

size_t H2SendStake::Next(size_t window, H2SendShare& share) {
  // Of a chunked body the framing is not among what came.
  const bool filled = came_ + came_ / 8 >= limit_;
  const size_t wanted = std::min(filled ? 4 * std::max(limit_, came_) : 2 * came_, kMost);
  Hold(0, share);
  came_ = 0;
  limit_ = kLeast;
  if (wanted > kLeast) {
    constexpr int64_t kHalf = H2SendShare::kBytes / 2;
    const int64_t left = std::max<int64_t>(share.left_, 0);
    const int64_t can_send = std::min(static_cast<int64_t>(std::min(window, kMost)), left / 2);
    const int64_t cannot = std::max<int64_t>(left - kHalf, 0) / 2;
    const size_t most = kLeast + static_cast<size_t>(std::max(can_send, cannot));
    // Buffers have these sizes.
    limit_ = std::bit_floor(std::min(wanted, most));
    Hold(static_cast<int64_t>(limit_ - kLeast), share);
  }
  return limit_;
}

void H2SendStake::Came(size_t bytes, H2SendShare& share) {
  came_ += bytes;
  // What lies in one receive's buffer counts already.
  const auto held = static_cast<int64_t>(bytes - std::min(bytes, kLeast));
  if (held > held_) Hold(held, share);
}

void H2SendStake::End(H2SendShare& share) { Hold(0, share); }

}  // namespace portico::http
