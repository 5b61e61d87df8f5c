#include "dataplane/http/h2_stream_rules.h"

#include <algorithm>

namespace portico::http {
namespace {

// RFC 9113 section 6.
constexpr uint8_t kData = 0, kHeaders = 1, kRstStream = 3;
constexpr uint8_t kEndStream = 1;

}  // namespace

H2StreamRules::Verdict H2StreamRules::See(const H2FrameHead& head) {
  const bool ends = (head.flags & kEndStream) != 0;
  if (head.type == kHeaders) {
    if (const Verdict verdict = SeeHeaders(head.stream); verdict != Verdict::kMayCome) {
      return verdict;
    }
    if (ends) End(head.stream);
  } else if (head.type == kData) {
    if (Ended(head.stream)) return Verdict::kStreamClosed;
    if (ends) End(head.stream);
  } else if (head.type == kRstStream && head.stream < next_ && !Ended(head.stream)) {
    End(head.stream);
  }
  return Verdict::kMayCome;
}

H2StreamRules::Verdict H2StreamRules::SeeHeaders(uint32_t stream) {
  if (stream % 2 == 0) return Verdict::kMayCome;  // nghttp2 sees to that.
  if (stream >= next_) {
    if (stream > next_) gaps_[gap_count_++ % kGaps] = {next_, stream - 2};
    next_ = stream + 2;
    return Verdict::kMayCome;
  }
  for (const Gap& gap : gaps_) {
    if (stream >= gap.first && stream <= gap.last) return Verdict::kProtocolError;
  }
  return Ended(stream) ? Verdict::kStreamClosed : Verdict::kMayCome;
}

bool H2StreamRules::Ended(uint32_t stream) const {
  return stream != 0 && std::find(ended_.begin(), ended_.end(), stream) != ended_.end();
}

}  // namespace portico::http
