#include "dataplane/http/h2_window.h"

#include <algorithm>
#include <utility>

namespace portico::http {

H2Windows::H2Windows(uint32_t stream, uint32_t connection, const bool* scarce)
    : first_(static_cast<int32_t>(stream)), scarce_(scarce) {
  const int64_t whole = connection;
  most_of_stream_ = std::max(
      0, static_cast<int32_t>(std::min<int64_t>(whole, kMostOfStream)) - first_);
  most_ = static_cast<int32_t>(std::min<int64_t>(3 * whole, kMostGrowth));
}

int32_t H2Windows::MostGrowth(uint32_t streams) const {
  return std::min(most_of_stream_, most_ / static_cast<int32_t>(std::max(streams, 1u)));
}

int32_t H2Window::Change(int32_t by, H2Windows& all) {
  grown_ += by;
  all.grown_ += by;
  // As nghttp2 has it: who had more before gets nothing new.
  all.reduced_ = by < 0 ? all.reduced_ - by : std::max(all.reduced_ - by, 0);
  return by;
}

int32_t H2Window::Read(size_t bytes, base::MonotonicNanos now, uint32_t streams, H2Windows& all) {
  if (began_ == 0) began_ = now;
  passed_ += static_cast<int32_t>(bytes);
  const int32_t window = all.first_ + grown_;
  const int64_t took = now - began_;
  const bool scarce = grown_ > 0 && all.scarce();
  const bool slow = grown_ > 0 && took > kSlow;
  if (passed_ < window && !scarce && !slow) return 0;
  const bool waited = std::exchange(waited_, false);
  began_ = now;
  passed_ = 0;
  if (scarce) return Change(-grown_, all);
  // By halves, as far as its first size.
  if (slow) return Change(grown_ <= all.first_ ? -grown_ : -(window / 2), all);
  const int32_t most = all.MostGrowth(streams);
  if (grown_ > most) return Change(most - grown_, all);
  if (took > kFast || !waited || all.scarce()) return 0;
  const int32_t by = std::min({window, most - grown_, all.most_ - all.grown_});
  // Not by little: each change is a frame.
  return by < window / 2 ? 0 : Change(by, all);
}

int32_t H2Window::End(H2Windows& all) { return grown_ == 0 ? 0 : Change(-grown_, all); }

void ChangeH2Windows(nghttp2_session* session, int32_t stream, int32_t by) {
  if (stream != 0) {
    const int32_t now = nghttp2_session_get_stream_effective_local_window_size(session, stream);
    if (now >= 0) {
      nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, stream,
                                            std::max(now + by, 0));
    }
  }
  const int32_t now = nghttp2_session_get_effective_local_window_size(session);
  nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, std::max(now + by, 0));
}

void ReleaseH2Connection(nghttp2_session* session, size_t unread, const H2Windows& windows) {
  const int64_t left = nghttp2_session_get_local_window_size(session);
  const int64_t used = nghttp2_session_get_effective_local_window_size(session) - left;
  const int64_t read =
      used - std::max<int64_t>(static_cast<int64_t>(unread) - windows.reduced(), 0);
  if (read <= 0 || read < left) return;
  nghttp2_submit_window_update(session, NGHTTP2_FLAG_NONE, 0, static_cast<int32_t>(read));
}

}  // namespace portico::http
