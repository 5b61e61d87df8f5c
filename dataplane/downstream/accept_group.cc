#include "dataplane/downstream/accept_group.h"

#include "dataplane/base/check.h"
#include "dataplane/downstream/acceptor.h"

namespace portico::downstream {
namespace {

bool TakeOneOf(std::atomic<uint32_t>& places, uint32_t max) {
  if (max == 0 || places.fetch_add(1, std::memory_order_relaxed) < max) return true;
  places.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

}  // namespace

size_t ChooseWorker(const WorkerLoads& loads, size_t self, absl::FunctionRef<bool(size_t)> open) {
  const size_t workers = loads.workers();
  size_t best = self;
  int64_t fewest = loads.connections(self);
  // From the next one on: of several with as few, workers prefer different ones.
  for (size_t i = 1; i < workers; ++i) {
    const size_t other = (self + i) % workers;
    const int64_t connections = loads.connections(other);
    if (connections < fewest && open(other)) {
      best = other;
      fewest = connections;
    }
  }
  return loads.connections(self) > fewest + fewest / 8 ? best : self;
}

void AcceptGroup::Open(size_t worker, event::Loop& loop, Acceptor& acceptor) {
  Member& member = members_[worker];
  PORTICO_CHECK(member.acceptor == nullptr);
  member.loop = &loop;
  member.acceptor = &acceptor;
  member.open.store(true);
}

void AcceptGroup::Close(size_t worker) { members_[worker].open.store(false); }

bool AcceptGroup::HandOver(size_t self, int fd, const net::SocketAddress& peer) {
  const size_t chosen = ChooseWorker(*loads_, self, [this](size_t worker) {
    return members_[worker].open.load(std::memory_order_relaxed);
  });
  Member& member = members_[chosen];
  if (chosen != self) {
    member.on_the_way.fetch_add(1);
    if (member.open.load()) {
      loads_->Add(chosen, 1);
      member.loop->Post(
          [acceptor = member.acceptor, fd, peer] { acceptor->TakeHandedOver(fd, peer); });
      return true;
    }
    member.on_the_way.fetch_sub(1);
  }
  loads_->Add(self, 1);
  return false;
}

bool AcceptGroup::TakePlace(uint32_t max) { return TakeOneOf(places_, max); }

void AcceptGroup::ReturnPlace(uint32_t max) {
  if (max != 0) places_.fetch_sub(1, std::memory_order_relaxed);
}

bool WorkerLoads::TakePlace(uint32_t max) { return TakeOneOf(places_, max); }

void WorkerLoads::ReturnPlace(uint32_t max) {
  if (max != 0) places_.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace portico::downstream
