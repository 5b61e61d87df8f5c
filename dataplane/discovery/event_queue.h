// What happens to the discovery client, in order.
#ifndef DATAPLANE_DISCOVERY_EVENT_QUEUE_H_
#define DATAPLANE_DISCOVERY_EVENT_QUEUE_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "dataplane/discovery/revision_sink.h"
#include "proto/portico/discovery/v1/discovery.pb.h"

namespace portico::discovery_client {

struct Event {
  enum class Kind { kRead, kWritten, kEnded, kApplied };
  Kind kind = Kind::kEnded;
  uint64_t stream = 0;                   // Not for kApplied.
  discovery::v1::ServerMessage message;  // kRead
  bool ok = false;                       // kRead, kWritten: false when the stream is broken
  std::string error;                     // kEnded: why; empty if the server ended it in peace
  uint64_t offer = 0;                    // kApplied: which
  ApplyResult result;                    // kApplied
};

// Many threads push, one takes. Thread-safe.
class EventQueue {
 public:
  void Push(Event event) {
    {
      std::lock_guard lock(mutex_);
      events_.push_back(std::move(event));
    }
    changed_.notify_one();
  }

  // Makes every Take return nullopt at once, from now on.
  void Stop() {
    {
      std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    changed_.notify_one();
  }
  bool stopped() const {
    std::lock_guard lock(mutex_);
    return stopped_;
  }

  // The next event; nullopt after `nanos` without one. `even_if_stopped`: for
  // waiting for a stream to end.
  std::optional<Event> Take(int64_t nanos, bool even_if_stopped = false) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::nanoseconds(nanos < 0 ? 0 : nanos),
                      [&] { return !events_.empty() || (stopped_ && !even_if_stopped); });
    if (events_.empty() || (stopped_ && !even_if_stopped)) return std::nullopt;
    std::optional<Event> event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

 private:
  mutable std::mutex mutex_;  // Guards what follows.
  std::condition_variable changed_;
  std::deque<Event> events_;
  bool stopped_ = false;
};

}  // namespace portico::discovery_client

#endif  // DATAPLANE_DISCOVERY_EVENT_QUEUE_H_
