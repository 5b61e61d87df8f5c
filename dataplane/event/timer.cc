#include "dataplane/event/timer.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "dataplane/base/check.h"

namespace portico::event {
namespace {

constexpr int64_t kTick = base::kNanosPerMilli;

// The first tick that is not before `when`.
int64_t TickAtOrAfter(base::MonotonicNanos when) {
  return when <= 0 ? 0 : when / kTick + (when % kTick != 0 ? 1 : 0);
}

}  // namespace

TimerWheel::TimerWheel() = default;

TimerWheel::~TimerWheel() { PORTICO_CHECK(armed_ == 0); }

void TimerWheel::Arm(Timer& timer, base::MonotonicNanos deadline) {
  if (timer.armed()) {
    PORTICO_CHECK(timer.wheel_ == this);
    Disarm(timer);
  }
  PORTICO_CHECK(timer.on_fire != nullptr);
  timer.wheel_ = this;
  timer.deadline_ = deadline;
  ++armed_;
  if (deadline <= last_advance_) {
    Link(timer, kDue);
  } else {
    Insert(timer);
  }
}

void TimerWheel::Insert(Timer& timer) {
  const int64_t tick = TickAtOrAfter(timer.deadline_);
  if (tick <= current_tick_) {
    Link(timer, kDue);
    return;
  }
  // The lowest level whose 64 slots reach as far as the deadline.
  int level = (std::bit_width(static_cast<uint64_t>(tick - current_tick_) | 1) - 1) / kSlotBits;
  if (level >= kLevels) level = kLevels - 1;
  int shift = level * kSlotBits;
  int64_t distance = (tick >> shift) - (current_tick_ >> shift);
  // The current slot may be nearly over, so that one more is needed.
  if (distance >= kSlots && level < kLevels - 1) {
    ++level;
    shift += kSlotBits;
    distance = (tick >> shift) - (current_tick_ >> shift);
  }
  const int64_t slot = (current_tick_ >> shift) + std::min<int64_t>(distance, kSlots - 1);
  Link(timer, static_cast<uint16_t>(level * kSlots + (slot & (kSlots - 1))));
}

void TimerWheel::MoveAll(uint16_t from, uint16_t to) {
  while (Timer* timer = heads_[from]) {
    Unlink(*timer);
    Link(*timer, to);
  }
}

int64_t TimerWheel::NextTick() const {
  int64_t next = std::numeric_limits<int64_t>::max();
  for (int level = 0; level < kLevels; ++level) {
    if (occupied_[level] == 0) continue;
    const int shift = level * kSlotBits;
    const int64_t position = current_tick_ >> shift;
    // Bit 0 of the rotated word is the slot after the current one.
    const uint64_t ahead = std::rotr(occupied_[level], static_cast<int>((position + 1) & (kSlots - 1)));
    const int64_t slot = position + 1 + std::countr_zero(ahead);
    next = std::min(next, slot << shift);
  }
  return next;
}

void TimerWheel::Cascade() {
  // From the top, as a timer may come down several levels at once.
  for (int level = kLevels - 1; level > 0; --level) {
    const int shift = level * kSlotBits;
    if ((current_tick_ & ((int64_t{1} << shift) - 1)) != 0) continue;
    const auto slot = static_cast<uint16_t>(level * kSlots + ((current_tick_ >> shift) & (kSlots - 1)));
    Timer* timer = heads_[slot];
    heads_[slot] = nullptr;
    occupied_[level] &= ~(uint64_t{1} << (slot % kSlots));
    while (timer != nullptr) {
      Timer* next = std::exchange(timer->next_, nullptr);
      Insert(*timer);
      timer = next;
    }
  }
}

void TimerWheel::Advance(base::MonotonicNanos now) {
  // Callbacks arm and disarm timers, so the due ones stay linked until their turn.
  last_advance_ = std::max(last_advance_, now);
  const int64_t target = now < 0 ? -1 : now / kTick;
  if (armed_ == 0) {
    current_tick_ = std::max(current_tick_, target);
    return;
  }
  MoveAll(kDue, kCollected);
  while (current_tick_ < target) {
    const int64_t next = NextTick();
    if (next > target) {
      current_tick_ = target;
      break;
    }
    current_tick_ = next;
    Cascade();
    MoveAll(static_cast<uint16_t>(current_tick_ & (kSlots - 1)), kCollected);
    // What came down from a higher level exactly at its deadline.
    MoveAll(kDue, kCollected);
  }
  Fire();
}

void TimerWheel::Fire() {
  MoveAll(kCollected, kFiring);
  while (Timer* timer = heads_[kFiring]) {
    Unlink(*timer);
    timer->wheel_ = nullptr;
    --armed_;
    timer->on_fire(*timer);
  }
}

int64_t TimerWheel::NanosUntilNext(base::MonotonicNanos now) const {
  if (armed_ == 0) return -1;
  if (heads_[kDue] != nullptr || heads_[kFiring] != nullptr) return 0;
  const int64_t tick = NextTick();
  const int64_t limit = std::numeric_limits<int64_t>::max() / kTick;
  return std::max<int64_t>(0, std::min(tick, limit) * kTick - now);
}

}  // namespace portico::event
