#include "dataplane/upstream/connection_places.h"

#include <utility>

#include "dataplane/base/check.h"

namespace portico::upstream {

bool ConnectionPlaces::Take(int64_t max) {
  int64_t now = taken_.load();
  while (now < max) {
    if (taken_.compare_exchange_weak(now, now + 1)) return true;
  }
  return false;
}

void ConnectionPlaces::Return(int64_t max, bool claimed) {
  if ((claimed || sought()) && Give(claimed)) return;
  while (true) {
    taken_.fetch_sub(1);
    // Who began to seek in between found it still taken.
    if (sought_.load() == 0 || !Take(max)) return;
    if (Give(/*claimed=*/false)) return;
  }
}

bool ConnectionPlaces::Give(bool claimed) {
  const std::lock_guard lock(mutex_);
  if (claimed) --claimed_;
  const bool given = !seekers_.empty();
  if (given) {
    const std::shared_ptr<Seat> seat = std::move(seekers_.front());
    seekers_.pop_front();
    seat->seeking_.store(false, std::memory_order_relaxed);
    seat->on_the_way_.fetch_add(1, std::memory_order_relaxed);
    // The member does not leave as long as this is on its way.
    seat->loop_.Post([seat] {
      seat->on_the_way_.fetch_sub(1, std::memory_order_relaxed);
      seat->member_->OnPlaceGranted();
    });
  }
  Publish();
  return given;
}

bool ConnectionPlaces::Claim() {
  const std::lock_guard lock(mutex_);
  if (seekers_.size() <= claimed_) return false;
  ++claimed_;
  Publish();
  return true;
}

void ConnectionPlaces::Publish() {
  sought_.store(seekers_.size() > claimed_ ? static_cast<int64_t>(seekers_.size() - claimed_) : 0);
}

std::shared_ptr<ConnectionPlaces::Seat> ConnectionPlaces::Join(event::Loop& loop,
                                                               PlaceMember& member) {
  auto seat = std::make_shared<Seat>(loop, member);
  const std::lock_guard lock(mutex_);
  members_.push_back(seat);
  return seat;
}

void ConnectionPlaces::Leave(const std::shared_ptr<Seat>& seat) {
  EndSeek(seat);
  PORTICO_CHECK(seat->on_the_way() == 0);
  seat->member_ = nullptr;
  const std::lock_guard lock(mutex_);
  std::erase(members_, seat);
}

void ConnectionPlaces::Seek(const std::shared_ptr<Seat>& seat) {
  std::vector<std::shared_ptr<Seat>> others;
  {
    const std::lock_guard lock(mutex_);
    if (seat->seeking()) return;
    seat->seeking_.store(true, std::memory_order_relaxed);
    seekers_.push_back(seat);
    Publish();
    others = members_;
  }
  // Outside of the lock: waking a worker is a system call.
  for (const std::shared_ptr<Seat>& other : others) {
    if (other == seat) continue;
    other->loop_.Post([other] {
      if (other->member_ != nullptr) other->member_->OnPlaceSought();
    });
  }
}

void ConnectionPlaces::EndSeek(const std::shared_ptr<Seat>& seat) {
  const std::lock_guard lock(mutex_);
  if (!seat->seeking()) return;
  seat->seeking_.store(false, std::memory_order_relaxed);
  std::erase(seekers_, seat);
  Publish();
}

}  // namespace portico::upstream
