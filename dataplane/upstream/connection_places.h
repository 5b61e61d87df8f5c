// `max_connections` of one upstream, shared by the workers of the process.
#ifndef DATAPLANE_UPSTREAM_CONNECTION_PLACES_H_
#define DATAPLANE_UPSTREAM_CONNECTION_PLACES_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "dataplane/event/loop.h"

namespace portico::upstream {

// A worker's side of the exchange of places. Called on its thread, from its loop.
class PlaceMember {
 public:
  virtual ~PlaceMember() = default;
  // Another worker seeks a place: a connection that can be spared should go.
  virtual void OnPlaceSought() = 0;
  // The place that was sought is here, and counts as taken.
  virtual void OnPlaceGranted() = 0;
};

// Every connection, open or opening, holds a place. When all are taken, a worker that
// has none, or very few, seeks one: then the next place that comes free anywhere is
// handed to it, first come, first served, and workers with more than their share give
// up connections for it: those at rest, and those of HTTP/2 that never are. Without a seeker a place is one atomic count.
//
// Thread-safe but for Seat::seeking(). Nothing here is written by a request that finds
// a connection; sought() is all that it reads, from a cache line that rests meanwhile.
class ConnectionPlaces {
 public:
  // One worker's membership.
  class Seat {
   public:
    Seat(event::Loop& loop, PlaceMember& member) : loop_(loop), member_(&member) {}
    // Whether it waits for a place. Member's thread only; may still say true when a grant
    // is on its way.
    bool seeking() const { return seeking_.load(std::memory_order_relaxed); }
    // Grants that are on their way.
    uint32_t on_the_way() const { return on_the_way_.load(std::memory_order_relaxed); }

   private:
    friend class ConnectionPlaces;
    event::Loop& loop_;
    PlaceMember* member_;  // Member's thread only; nullptr after Leave().
    // Written under the exchange's lock; set by the member's thread only.
    std::atomic<bool> seeking_{false};
    std::atomic<uint32_t> on_the_way_{0};
  };

  // Held or on their way to who sought them.
  int64_t taken() const { return taken_.load(std::memory_order_relaxed); }
  // Takes one of `max`; false if all are taken.
  bool Take(int64_t max);
  // A place is not needed any more: it is handed to who seeks one, or is free.
  // `claimed`: by Claim().
  void Return(int64_t max, bool claimed = false);

  // Somebody seeks a place and nobody has claimed one for them yet.
  bool sought() const { return sought_.load(std::memory_order_relaxed) > 0; }
  // Takes it upon the caller to return a place soon for one who seeks; false if nobody does.
  bool Claim();

  // The member outlives Leave(); the loop outlives all members, as they wake one another.
  std::shared_ptr<Seat> Join(event::Loop& loop, PlaceMember& member);
  // REQUIRES: nothing is on the way (checked). Member's thread only.
  void Leave(const std::shared_ptr<Seat>& seat);
  // Asks for one place; does nothing while one is being sought. The caller tries Take() once
  // more afterwards: a place that came free just before goes to nobody.
  void Seek(const std::shared_ptr<Seat>& seat);
  // No more. A grant may be on its way all the same.
  void EndSeek(const std::shared_ptr<Seat>& seat);

 private:
  // Hands a place to the first who seeks; false if nobody does.
  bool Give(bool claimed);
  // Requires mutex_.
  void Publish();

  std::atomic<int64_t> taken_{0};
  // Who seeks without a place being claimed for them. Who returns a place counts down first
  // and reads this then; who seeks writes this first and reads the count then: one of the
  // two sees the other.
  alignas(64) std::atomic<int64_t> sought_{0};
  alignas(64) std::mutex mutex_;
  // Guarded by mutex_.
  std::vector<std::shared_ptr<Seat>> members_;
  std::deque<std::shared_ptr<Seat>> seekers_;
  size_t claimed_ = 0;
};

}  // namespace portico::upstream

#endif  // DATAPLANE_UPSTREAM_CONNECTION_PLACES_H_
