// What user_data means: a pointer whose lowest bits tell to what.
#ifndef DATAPLANE_EVENT_URING_TAGS_H_
#define DATAPLANE_EVENT_URING_TAGS_H_

#include <cstdint>

#include "dataplane/event/operation.h"

namespace portico::event {

struct UringTags {
  // kQuietSend: a send whose success makes no completion.
  enum Kind : uint64_t { kOperation = 0, kListener = 1, kWake = 2, kIgnored = 3, kQuietSend = 4 };
  static constexpr uint64_t kMask = 7;
  static_assert(alignof(Operation) > kMask);

  static Kind KindOf(uint64_t user_data) { return static_cast<Kind>(user_data & kMask); }

  static uint64_t Of(const Operation& op) { return reinterpret_cast<uint64_t>(&op) | kOperation; }
  static uint64_t OfQuietSend(const SendOperation& op) { return Of(op) | kQuietSend; }
  static Operation& OperationOf(uint64_t user_data) {
    return *reinterpret_cast<Operation*>(user_data & ~kMask);
  }

  // A listener of the engine, whose type is its own.
  template <typename Listener>
  static uint64_t OfListener(const Listener& listener) {
    static_assert(alignof(Listener) > kMask);
    return reinterpret_cast<uint64_t>(&listener) | kListener;
  }
  template <typename Listener>
  static Listener& ListenerOf(uint64_t user_data) {
    return *reinterpret_cast<Listener*>(user_data & ~kMask);
  }
};

}  // namespace portico::event

#endif  // DATAPLANE_EVENT_URING_TAGS_H_
