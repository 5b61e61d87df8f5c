#include "dataplane/upstream/subset.h"

#include <algorithm>
#include <utility>

namespace portico::upstream {
namespace {

constexpr uint64_t kMaxTotalWeight = uint64_t{1} << 31;
constexpr base::MonotonicNanos kNever = std::numeric_limits<base::MonotonicNanos>::max();

// How much of [begin, end) lies in [from, to).
uint64_t Overlap(uint64_t begin, uint64_t end, uint64_t from, uint64_t to) {
  const uint64_t first = std::max(begin, from), last = std::min(end, to);
  return first < last ? last - first : 0;
}

}  // namespace

uint64_t RingKey(std::string_view address, uint64_t seed) {
  // FNV-1a, and a finalizer that spreads neighbours (MurmurHash3's).
  uint64_t hash = 14695981039346656037u ^ seed;
  for (const char c : address) hash = (hash ^ static_cast<uint8_t>(c)) * 1099511628211u;
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdu;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53u;
  return hash ^ (hash >> 33);
}

void Subset::Reset(std::vector<Host*> hosts, const SubsetOptions& options) {
  options_ = options;
  ring_ = std::move(hosts);
  scale_ = 1;
  equal_ = std::all_of(ring_.begin(), ring_.end(), [this](const Host* host) {
    return host->listed_weight == ring_.front()->listed_weight;
  });
  coverage_ = options_.workers;
  if (options_.workers <= 1 || ring_.size() <= 1) return;
  std::sort(ring_.begin(), ring_.end(), [](const Host* a, const Host* b) {
    return a->ring_key != b->ring_key ? a->ring_key < b->ring_key
                                      : a->address_text < b->address_text;
  });
  sums_.assign(1, 0);
  sums_.reserve(ring_.size() + 1);
  for (const Host* host : ring_) {
    sums_.push_back(sums_.back() + (equal_ ? 1 : uint64_t{host->listed_weight} * options_.workers));
  }
  coverage_ = FindCoverage();
  if (!equal_) scale_ = sums_.back() / options_.workers * coverage_ / kMaxTotalWeight + 1;
}

uint32_t Subset::FindCoverage() const {
  const uint64_t endpoints = ring_.size();
  if (endpoints * options_.workers <= options_.max_pairs) return options_.workers;
  const uint64_t size = std::min<uint64_t>(endpoints, kMinSubset);
  uint64_t coverage = std::max<uint64_t>((size * options_.workers + endpoints - 1) / endpoints,
                                         options_.max_pairs / endpoints);
  // A heavy endpoint may fill arcs alone.
  while (coverage < options_.workers && Smallest(static_cast<uint32_t>(coverage)) < size) {
    coverage = equal_ ? coverage + 1 : coverage * 2;
  }
  return static_cast<uint32_t>(std::min<uint64_t>(coverage, options_.workers));
}

Subset::Arc Subset::ArcOf(uint32_t worker, uint32_t coverage) const {
  const uint64_t all = sums_.back();
  const auto cut = [&](uint64_t arc) {
    return all * (arc / options_.workers) + all * (arc % options_.workers) / options_.workers;
  };
  const uint64_t begin = cut(worker);
  return {begin, cut(uint64_t{worker} + coverage) - begin};
}

size_t Subset::At(uint64_t place) const {
  const auto after = std::upper_bound(sums_.begin(), sums_.end(), place % sums_.back());
  return static_cast<size_t>(after - sums_.begin()) - 1;
}

size_t Subset::Smallest(uint32_t coverage) const {
  size_t smallest = ring_.size();
  for (uint32_t worker = 0; worker < options_.workers; ++worker) {
    const Arc arc = ArcOf(worker, coverage);
    if (arc.length == 0) return 0;
    const size_t first = At(arc.begin), last = At(arc.begin + arc.length - 1);
    const bool wraps = last < first || (last == first && arc.begin + arc.length > sums_[first + 1]);
    smallest = std::min(smallest, last + (wraps ? ring_.size() : 0) - first + 1);
  }
  return smallest;
}

uint64_t Subset::PartOf(const Arc& arc, size_t index) const {
  const uint64_t from = sums_[index], to = sums_[index + 1], end = arc.begin + arc.length,
                 all = sums_.back();
  return Overlap(arc.begin, end, from, to) + Overlap(arc.begin, end, from + all, to + all);
}

void Subset::SetWeight(Host& host, uint64_t part) const {
  host.weight =
      equal_ ? host.listed_weight : static_cast<uint32_t>(std::max<uint64_t>(1, part / scale_));
}

std::vector<Host*> Subset::Choose(base::MonotonicNanos now) {
  stale_at_ = kNever;
  if (!partial()) {
    for (Host* host : ring_) host->weight = host->listed_weight;
    return ring_;
  }
  const Arc arc = ArcOf(options_.worker, coverage_);
  std::vector<Host*> chosen;
  size_t ejected = 0;
  for (size_t i = 0; i < ring_.size(); ++i) {
    const uint64_t part = PartOf(arc, i);
    if (part == 0) continue;
    SetWeight(*ring_[i], part);
    chosen.push_back(ring_[i]);
    if (ring_[i]->Available(now)) continue;
    ++ejected;
    stale_at_ = std::min(stale_at_, ring_[i]->ejected_until);
  }
  if (ejected == 0) return chosen;
  const size_t next = At(arc.begin + arc.length);
  for (size_t tried = 0; tried < ring_.size() && ejected > 0; ++tried) {
    const size_t i = (next + tried) % ring_.size();
    if (PartOf(arc, i) > 0 || !ring_[i]->Available(now)) continue;
    SetWeight(*ring_[i], sums_[i + 1] - sums_[i]);
    chosen.push_back(ring_[i]);
    --ejected;
  }
  return chosen;
}

}  // namespace portico::upstream
