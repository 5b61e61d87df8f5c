// Evens out how many client connections each worker has.
#ifndef DATAPLANE_DOWNSTREAM_ACCEPT_GROUP_H_
#define DATAPLANE_DOWNSTREAM_ACCEPT_GROUP_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "dataplane/downstream/address_counts.h"
#include "dataplane/event/loop.h"
#include "dataplane/net/address.h"

namespace portico::downstream {

class Acceptor;

// How many client connections each worker of the process has, on all listeners, those
// on their way to it included. Written when a connection is accepted or ends, never by a
// request. Thread-safe.
class WorkerLoads {
 public:
  explicit WorkerLoads(size_t workers) : cells_(workers) {}
  size_t workers() const { return cells_.size(); }
  int64_t connections(size_t worker) const {
    return cells_[worker].connections.load(std::memory_order_relaxed);
  }
  void Add(size_t worker, int64_t connections) {
    cells_[worker].connections.fetch_add(connections, std::memory_order_relaxed);
  }

  // One of at most `max` connections of the process; false when there is none left. 0: no
  // limit, nothing is counted.
  bool TakePlace(uint32_t max);
  void ReturnPlace(uint32_t max);

 private:
  struct alignas(64) Cell {
    std::atomic<int64_t> connections{0};
  };
  std::vector<Cell> cells_;
  std::atomic<uint32_t> places_{0};
};

// Who serves a connection that `self` accepted: `self` while it has no more than an
// eighth above the worker that has the fewest, else that one. So the busiest worker
// has at most 1.125 times as many as the least busy one, plus one; and when there are
// many, nearly all stay where the kernel put them. Only workers for which `open` is true
// are considered, besides `self`.
size_t ChooseWorker(const WorkerLoads& loads, size_t self, absl::FunctionRef<bool(size_t)> open);

// The acceptors of one listener, one for each worker. Thread-safe. The loops of the
// members outlive all members.
class AcceptGroup {
 public:
  explicit AcceptGroup(std::shared_ptr<WorkerLoads> loads)
      : loads_(std::move(loads)), members_(loads_->workers()) {}

  // From now on connections may be handed to `acceptor`. Once for each worker.
  void Open(size_t worker, event::Loop& loop, Acceptor& acceptor);
  // No more are, but those that are on their way still come: until quiet().
  void Close(size_t worker);
  bool quiet(size_t worker) const { return members_[worker].on_the_way.load() == 0; }

  // Gives a connection to a worker that has fewer than `self`. False: it is for `self`.
  // Either way it counts in the loads of who is to serve it.
  bool HandOver(size_t self, int fd, const net::SocketAddress& peer);
  // The acceptor has got a connection that was on its way.
  void Arrived(size_t worker) { members_[worker].on_the_way.fetch_sub(1); }
  // A connection of this worker has ended.
  void Ended(size_t worker) { loads_->Add(worker, -1); }

  // One of at most `max` connections that all members may have open together; false
  // when there is none left. 0: no limit, nothing is counted.
  bool TakePlace(uint32_t max);
  void ReturnPlace(uint32_t max);
  WorkerLoads& loads() { return *loads_; }
  AddressCounts& addresses() { return addresses_; }

 private:
  struct alignas(64) Member {
    // Set before `open`.
    event::Loop* loop = nullptr;
    Acceptor* acceptor = nullptr;
    // Who hands over counts first and looks at `open` then; who closes does it the other
    // way round. So either the connection is known to be coming, or it does not come.
    std::atomic<bool> open{false};
    std::atomic<uint32_t> on_the_way{0};
  };

  const std::shared_ptr<WorkerLoads> loads_;
  std::vector<Member> members_;
  alignas(64) std::atomic<uint32_t> places_{0};
  AddressCounts addresses_;
};

}  // namespace portico::downstream

#endif  // DATAPLANE_DOWNSTREAM_ACCEPT_GROUP_H_
