#include "dataplane/upstream/balancer.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace portico::upstream {
namespace {

bool Usable(const Host& host, base::MonotonicNanos now, const Host* avoid) {
  return &host != avoid && host.Available(now);
}

// The host that may be used although it is `avoid`: better than none.
Host* LastResort(const Host* avoid, const std::vector<Host*>& hosts, base::MonotonicNanos now) {
  for (Host* host : hosts) {
    if (host == avoid && host->Available(now)) return host;
  }
  return nullptr;
}

// Equal weights: an index that goes round.
class EqualRoundRobin : public Balancer {
 public:
  EqualRoundRobin(std::vector<Host*> hosts, Random& random) : hosts_(std::move(hosts)) {
    if (!hosts_.empty()) next_ = random.Below(static_cast<uint32_t>(hosts_.size()));
  }

  Host* Pick(base::MonotonicNanos now, const Host* avoid) override {
    for (size_t tried = 0; tried < hosts_.size(); ++tried) {
      Host* host = hosts_[next_];
      if (++next_ == hosts_.size()) next_ = 0;
      if (Usable(*host, now, avoid)) return host;
    }
    return LastResort(avoid, hosts_, now);
  }

 private:
  std::vector<Host*> hosts_;
  size_t next_ = 0;
};

// Unequal weights: each host has a next turn, 1/weight after the one before; the
// earliest is next. A heap keeps a pick at O(log n).
class WeightedRoundRobin : public Balancer {
 public:
  WeightedRoundRobin(std::vector<Host*> hosts, Random& random) : hosts_(std::move(hosts)) {
    for (Host* host : hosts_) {
      const double step = 1.0 / host->weight;
      // A random phase within the first turn: workers start differently.
      const double phase = step * (static_cast<double>(random.Below(1 << 20)) / (1 << 20));
      heap_.push_back({phase, order_++, host});
    }
    std::make_heap(heap_.begin(), heap_.end(), Later);
    held_.reserve(heap_.size());
  }

  Host* Pick(base::MonotonicNanos now, const Host* avoid) override {
    Host* picked = nullptr;
    while (picked == nullptr && !heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end(), Later);
      Turn turn = heap_.back();
      heap_.pop_back();
      turn.when += 1.0 / turn.host->weight;
      turn.order = order_++;
      if (Usable(*turn.host, now, avoid)) picked = turn.host;
      held_.push_back(turn);
    }
    for (const Turn& turn : held_) {
      heap_.push_back(turn);
      std::push_heap(heap_.begin(), heap_.end(), Later);
    }
    held_.clear();
    return picked != nullptr ? picked : LastResort(avoid, hosts_, now);
  }

 private:
  struct Turn {
    double when;
    uint64_t order;  // First come, first served among equals.
    Host* host;
  };
  static bool Later(const Turn& a, const Turn& b) {
    return a.when != b.when ? a.when > b.when : a.order > b.order;
  }

  std::vector<Host*> hosts_;
  std::vector<Turn> heap_;
  std::vector<Turn> held_;  // Taken off the heap during one Pick().
  uint64_t order_ = 0;
};

class LeastRequest : public Balancer {
 public:
  LeastRequest(std::vector<Host*> hosts, Random& random) : hosts_(std::move(hosts)), random_(random) {
    for (const Host* host : hosts_) {
      total_ += host->weight;
      cumulative_.push_back(total_);
    }
  }

  Host* Pick(base::MonotonicNanos now, const Host* avoid) override {
    if (hosts_.empty()) return nullptr;
    Host* first = DrawUsable(now, avoid);
    if (first == nullptr) return LastResort(avoid, hosts_, now);
    Host* second = Draw();
    if (!Usable(*second, now, avoid)) return first;
    return second->active_requests < first->active_requests ? second : first;
  }

 private:
  Host* Draw() {
    const uint32_t point = random_.Below(total_);
    const auto it = std::upper_bound(cumulative_.begin(), cumulative_.end(), point);
    return hosts_[static_cast<size_t>(it - cumulative_.begin())];
  }
  // A few draws, then the next usable one after the last draw, so that a pick ends
  // even when nearly all hosts are ejected.
  Host* DrawUsable(base::MonotonicNanos now, const Host* avoid) {
    for (int tried = 0; tried < 3; ++tried) {
      Host* host = Draw();
      if (Usable(*host, now, avoid)) return host;
    }
    const size_t start = random_.Below(static_cast<uint32_t>(hosts_.size()));
    for (size_t i = 0; i < hosts_.size(); ++i) {
      Host* host = hosts_[(start + i) % hosts_.size()];
      if (Usable(*host, now, avoid)) return host;
    }
    return nullptr;
  }

  std::vector<Host*> hosts_;
  std::vector<uint32_t> cumulative_;
  uint32_t total_ = 0;
  Random& random_;
};

}  // namespace

std::unique_ptr<Balancer> MakeRoundRobin(std::vector<Host*> hosts, Random& random) {
  const bool equal = std::all_of(hosts.begin(), hosts.end(), [&](const Host* host) {
    return host->weight == hosts.front()->weight;
  });
  if (equal) return std::make_unique<EqualRoundRobin>(std::move(hosts), random);
  return std::make_unique<WeightedRoundRobin>(std::move(hosts), random);
}

std::unique_ptr<Balancer> MakeLeastRequest(std::vector<Host*> hosts, Random& random) {
  return std::make_unique<LeastRequest>(std::move(hosts), random);
}

}  // namespace portico::upstream
