// Timers of one loop.
#ifndef DATAPLANE_EVENT_TIMER_H_
#define DATAPLANE_EVENT_TIMER_H_

#include <cstddef>
#include <cstdint>

#include "dataplane/base/check.h"
#include "dataplane/base/clock.h"

namespace portico::event {

class TimerWheel;

// Lives in the object that waits. Destroying an armed timer disarms it.
class Timer {
 public:
  using Callback = void (*)(Timer& timer);
  Timer() = default;
  inline ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  bool armed() const { return wheel_ != nullptr; }
  // Of the last arming.
  base::MonotonicNanos deadline() const { return deadline_; }

  // Set before arming. Called once from the loop; the timer is then disarmed and
  // may be armed again or destroyed.
  Callback on_fire = nullptr;
  void* context = nullptr;

 private:
  friend class TimerWheel;
  TimerWheel* wheel_ = nullptr;
  Timer* next_ = nullptr;
  Timer* previous_ = nullptr;
  base::MonotonicNanos deadline_ = 0;
  uint16_t slot_ = 0;
};

// A hashed wheel with millisecond ticks: arming and disarming cost O(1). A timer
// never fires early, and at most one tick (1 ms) plus the loop's delay late.
class TimerWheel {
 public:
  TimerWheel();
  ~TimerWheel();
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // Arms, or moves an armed timer. A deadline in the past fires in the next turn.
  void Arm(Timer& timer, base::MonotonicNanos deadline);
  void Disarm(Timer& timer) {
    if (!timer.armed()) return;
    PORTICO_CHECK(timer.wheel_ == this);
    Unlink(timer);
    timer.wheel_ = nullptr;
    --armed_;
  }

  // Fires everything due.
  void Advance(base::MonotonicNanos now);
  // How long the loop may wait: nanoseconds until the next timer may be due,
  // negative if none is armed. May be early, never late.
  int64_t NanosUntilNext(base::MonotonicNanos now) const;
  size_t armed() const { return armed_; }

 private:
  // Four levels of 64 slots: a slot is 1 ms, 64 ms, 4 s, 262 s. What is further away
  // waits in the last slot of the last level and is sorted in again from there.
  static constexpr int kLevels = 4;
  static constexpr int kSlotBits = 6;
  static constexpr int kSlots = 1 << kSlotBits;
  // More lists: armed with a deadline in the past, found to be due (the last tick
  // first), and being fired (the first tick first).
  static constexpr uint16_t kDue = kLevels * kSlots;
  static constexpr uint16_t kCollected = kDue + 1;
  static constexpr uint16_t kFiring = kDue + 2;

  void Insert(Timer& timer);
  void Link(Timer& timer, uint16_t slot) {
    Timer*& head = heads_[slot];
    timer.slot_ = slot;
    timer.previous_ = nullptr;
    timer.next_ = head;
    if (head != nullptr) head->previous_ = &timer;
    head = &timer;
    if (slot < kDue) occupied_[slot / kSlots] |= uint64_t{1} << (slot % kSlots);
  }
  void Unlink(Timer& timer) {
    if (timer.next_ != nullptr) timer.next_->previous_ = timer.previous_;
    if (timer.previous_ != nullptr) {
      timer.previous_->next_ = timer.next_;
    } else {
      const uint16_t slot = timer.slot_;
      heads_[slot] = timer.next_;
      if (timer.next_ == nullptr && slot < kDue) {
        occupied_[slot / kSlots] &= ~(uint64_t{1} << (slot % kSlots));
      }
    }
    timer.next_ = nullptr;
    timer.previous_ = nullptr;
  }
  void MoveAll(uint16_t from, uint16_t to);
  void Cascade();
  void Fire();
  // The next tick at which a slot is due or must be sorted in again.
  int64_t NextTick() const;

  Timer* heads_[kFiring + 1] = {};
  uint64_t occupied_[kLevels] = {};
  int64_t current_tick_ = -1;
  base::MonotonicNanos last_advance_ = -1;
  size_t armed_ = 0;
};

inline Timer::~Timer() {
  if (armed()) wheel_->Disarm(*this);
}

}  // namespace portico::event

#endif  // DATAPLANE_EVENT_TIMER_H_
