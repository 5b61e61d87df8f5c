#include "dataplane/http/h2_flood.h"

#include <algorithm>

namespace portico::http {
namespace {

// In halves of a token.
struct Budget {
  int32_t burst;
  int32_t per_second;
  int32_t per_stream;
  int32_t per_data_frame;
  std::string_view reason;
};

// Clients ping to measure the path while data flows, update windows for every few KiB of a DATA
// frame, and drop what they do not want any more: up to half of their streams for ever, and a
// page's worth of them at once.
constexpr Budget kBudgets[] = {
    {200, 20, 2, 2, "ping_flood"},        {64, 2, 0, 0, "settings_flood"},
    {400, 20, 8, 0, "priority_flood"},    {1000, 40, 8, 20, "window_update_flood"},
    {200, 20, 4, 0, "empty_frame_flood"}, {200, 20, 2, 0, "unknown_frame_flood"},
    {200, 20, 1, 0, "reset_flood"},
};
static_assert(std::size(kBudgets) == static_cast<size_t>(H2FloodGuard::Kind::kCount));

constexpr int64_t kMaxSeconds = 3600;  // What has been still for that long is full again.
constexpr int64_t kMaxCount = 1 << 20;

}  // namespace

bool H2FloodGuard::Take(Kind kind, base::MonotonicNanos now) {
  const auto index = static_cast<size_t>(kind);
  taken_[index] += 2;
  if (taken_[index] <= kBudgets[index].burst) return true;
  Refill(now);
  return taken_[index] <= kBudgets[index].burst;
}

void H2FloodGuard::Refill(base::MonotonicNanos now) {
  if (refilled_ == 0) refilled_ = now;
  // Whole tenths of a second, so that nothing is lost to rounding.
  constexpr int64_t kTick = 100 * base::kNanosPerMilli;
  const int64_t ticks = std::clamp<int64_t>((now - refilled_) / kTick, 0, kMaxSeconds * 10);
  refilled_ += ticks * kTick;
  const int64_t streams = std::min<int64_t>(streams_, kMaxCount);
  const int64_t data_frames = std::min<int64_t>(data_frames_, kMaxCount);
  streams_ = data_frames_ = 0;
  for (size_t i = 0; i < kKinds; ++i) {
    const Budget& budget = kBudgets[i];
    const int64_t back = ticks * budget.per_second / 10 + streams * budget.per_stream +
                         data_frames * budget.per_data_frame;
    taken_[i] = static_cast<int32_t>(std::max<int64_t>(0, taken_[i] - back));
  }
}

std::string_view H2FloodGuard::Reason(Kind kind) {
  return kBudgets[static_cast<size_t>(kind)].reason;
}

}  // namespace portico::http
