#include "dataplane/filters/rate_limit/cell_table.h"

#include <bit>
#include <cstdlib>
#include <limits>

#include "dataplane/base/check.h"
#include "openssl/rand.h"

namespace portico::filters {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr size_t kGroups = 2;

template <typename T>
std::atomic_ref<T> Atomic(T& value) {
  return std::atomic_ref<T>(value);
}

}  // namespace

void CellTable::Free::operator()(Cell* cells) const { std::free(cells); }

CellTable::CellTable(size_t cells) {
  const size_t count = std::bit_ceil(std::max<size_t>(cells, kGroups * kGroup));
  mask_ = count - 1;
  // Zeroed pages of the kernel take no memory until they are used.
  cells_.reset(static_cast<Cell*>(std::calloc(count, sizeof(Cell))));
  PORTICO_CHECK(cells_ != nullptr);
  RAND_bytes(reinterpret_cast<uint8_t*>(secret_.data()), sizeof(secret_));
}

CellKey CellTable::HashOf(std::string_view text) const {
  const auto [place, tag] = base::TableHash::Hash128(secret_, text);
  return {.place = place, .tag = tag == 0 ? 1 : tag};
}

// The places in the order in which they are looked at, the same for all threads.
CellTable::Cell* CellTable::Place(CellKey key, size_t index) const {
  uint64_t group = key.place;
  // There is an even number of groups: an odd step leads to another one.
  if (index >= kGroup) group += (key.place >> 32) | 1;
  return &cells_[(static_cast<size_t>(group) * kGroup & mask_) + index % kGroup];
}

CellTable::Cell* CellTable::Find(CellKey key) const {
  for (size_t i = 0; i < kGroups * kGroup; ++i) {
    Cell* cell = Place(key, i);
    if (Atomic(cell->tag).load(std::memory_order_acquire) == key.tag) return cell;
  }
  return nullptr;
}

CellTable::Cell* CellTable::FindOrClaim(CellKey key, base::MonotonicNanos now) {
  while (true) {
    Cell* candidate = nullptr;
    uint64_t candidate_tag = 0;
    int64_t candidate_tat = std::numeric_limits<int64_t>::max();
    for (size_t i = 0; i < kGroups * kGroup; ++i) {
      Cell* cell = Place(key, i);
      const uint64_t tag = Atomic(cell->tag).load(std::memory_order_acquire);
      if (tag == key.tag) return cell;
      // The first that was never used; else the one that rests longest or will rest
      // soonest, which is the same one for all threads.
      if (candidate != nullptr && candidate_tag == 0) continue;
      const int64_t tat = tag == 0 ? std::numeric_limits<int64_t>::min() : Atomic(cell->tat).load(kRelaxed);
      if (tat >= candidate_tat) continue;
      candidate = cell;
      candidate_tag = tag;
      candidate_tat = tat;
    }
    if (candidate == nullptr) candidate = Place(key, 0);
    if (!Atomic(candidate->tag).compare_exchange_strong(candidate_tag, key.tag, std::memory_order_acq_rel)) continue;
    if (candidate_tag != 0 && candidate_tat > now) {
      taken_.fetch_add(1, kRelaxed);
      Atomic(candidate->tat).compare_exchange_strong(candidate_tat, now, kRelaxed);
    }
    // Of two that claimed for the same key, the one at the later place gives way.
    Cell* first = Find(key);
    if (first == candidate || first == nullptr) return candidate;
    uint64_t own = key.tag;
    Atomic(candidate->tag).compare_exchange_strong(own, 0, std::memory_order_acq_rel);
    return first;
  }
}

GcraDecision CellTable::Peek(CellKey key, const GcraRate& rate, int64_t ceiling, base::MonotonicNanos now) {
  Cell* cell = Find(key);
  if (cell == nullptr) return DecideGcra(rate, 0, now);
  int64_t tat = Atomic(cell->tat).load(kRelaxed);
  if (tat > now && tat - now > ceiling &&
      Atomic(cell->tat).compare_exchange_strong(tat, now + ceiling, kRelaxed)) {
    tat = now + ceiling;
  }
  return DecideGcra(rate, tat, now);
}

GcraDecision CellTable::Take(CellKey key, const GcraRate& rate, int64_t ceiling, base::MonotonicNanos now) {
  Cell* cell = FindOrClaim(key, now);
  int64_t tat = Atomic(cell->tat).load(kRelaxed);
  while (true) {
    const int64_t effective = tat > now && tat - now > ceiling ? now + ceiling : tat;
    const GcraDecision decision = DecideGcra(rate, effective, now);
    if (!decision.admitted) {
      if (effective != tat) Atomic(cell->tat).compare_exchange_strong(tat, effective, kRelaxed);
      return decision;
    }
    if (Atomic(cell->tat).compare_exchange_weak(tat, decision.tat, kRelaxed)) return decision;
  }
}

void CellTable::Return(CellKey key, const GcraRate& rate) {
  if (Cell* cell = Find(key); cell != nullptr) Atomic(cell->tat).fetch_sub(rate.interval, kRelaxed);
}

}  // namespace portico::filters
