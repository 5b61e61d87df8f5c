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

size_t H2Debt::Pay(size_t read) {
  const size_t paid = std::min(read, static_cast<size_t>(owed_));
  owed_ -= static_cast<int32_t>(paid);
  return read - paid;
}

int32_t H2Debt::Change(int32_t by) {
  if (by <= 0) {
    reduced_ -= by;
    owed_ -= by;
    return 0;
  }
  // Who had more before gets nothing new.
  const int32_t again = std::min(reduced_, by);
  const int32_t forgiven = std::min(owed_, again);
  reduced_ -= again;
  owed_ -= forgiven;
  return again - forgiven;
}

H2WindowChange H2Window::Change(int32_t by, H2Windows& all) {
  grown_ += by;
  all.grown_ += by;
  return {by, debt_.Change(by), all.debt_.Change(by)};
}

H2WindowChange H2Window::Read(size_t bytes, base::MonotonicNanos now, uint32_t streams, H2Windows& all) {
  if (began_ == 0) began_ = now;
  passed_ += static_cast<int32_t>(bytes);
  const int32_t window = all.first_ + grown_;
  const int64_t took = now - began_;
  const bool scarce = grown_ > 0 && all.scarce();
  const bool slow = grown_ > 0 && took > kSlow;
  if (passed_ < window && !scarce && !slow) return {};
  const bool waited = std::exchange(waited_, false);
  began_ = now;
  passed_ = 0;
  if (scarce) return Change(-grown_, all);
  // By halves, as far as its first size.
  if (slow) return Change(grown_ <= all.first_ ? -grown_ : -(window / 2), all);
  const int32_t most = all.MostGrowth(streams);
  if (grown_ > most) return Change(most - grown_, all);
  if (took > kFast || !waited || all.scarce()) return {};
  const int32_t by = std::min({window, most - grown_, all.most_ - all.grown_});
  // Not by little: each change is a frame.
  return by < window / 2 ? H2WindowChange() : Change(by, all);
}

H2WindowChange H2Window::End(H2Windows& all) {
  return grown_ == 0 ? H2WindowChange() : Change(-grown_, all);
}

void ChangeH2Windows(nghttp2_session* session, int32_t stream, const H2WindowChange& change) {
  if (change.by == 0) return;
  if (stream != 0) {
    const int32_t now = nghttp2_session_get_stream_effective_local_window_size(session, stream);
    if (now >= 0) {
      nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, stream,
                                            std::max(now + change.by, 0));
      nghttp2_session_consume_stream(session, stream, static_cast<size_t>(change.read_of_stream));
    }
  }
  const int32_t now = nghttp2_session_get_effective_local_window_size(session);
  nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                        std::max(now + change.by, 0));
  nghttp2_session_consume_connection(session, static_cast<size_t>(change.read_of_connection));
}

void ReleaseH2Connection(nghttp2_session* session, size_t unread, const H2Windows& windows) {
  const int64_t left = nghttp2_session_get_local_window_size(session);
  const int64_t used = nghttp2_session_get_effective_local_window_size(session) - left;
  const int64_t read =
      used - std::max<int64_t>(static_cast<int64_t>(unread) - windows.debt().owed(), 0);
  if (read <= 0 || read < left) return;
  nghttp2_submit_window_update(session, NGHTTP2_FLAG_NONE, 0, static_cast<int32_t>(read));
}

}  // namespace portico::http
