// The counters of all rate limit policies of a process.
#ifndef DATAPLANE_FILTERS_RATE_LIMIT_CELL_TABLE_H_
#define DATAPLANE_FILTERS_RATE_LIMIT_CELL_TABLE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "dataplane/base/clock.h"
#include "dataplane/base/sip_hash.h"
#include "dataplane/filters/rate_limit/gcra.h"

namespace portico::filters {

// What a counter is found by: a keyed hash of policy and key parts.
struct CellKey {
  uint64_t place = 0;
  uint64_t tag = 0;  // Not 0.
};

// A fixed number of cells, shared by all workers without locks. A cell is a tag
// and a TAT; a key has sixteen places. A cell whose TAT has passed is at rest: it
// says the same about every key, so whoever needs a cell may take it, and nothing
// is ever swept. If all places of a new key are busy, the one that is nearest to
// rest is taken from its key, which thereby gets its burst back early; taken()
// counts that. Two keys are mixed up if their 64-bit tags are the same at the same
// place.
//
// Two threads that take different cells for one new key at the same moment settle
// on the first of them; at worst one burst is admitted twice.
class CellTable {
 public:
  // `cells` is rounded up to a power of two; 16 bytes each, touched when used.
  explicit CellTable(size_t cells);
  CellTable(const CellTable&) = delete;
  CellTable& operator=(const CellTable&) = delete;

  // A keyed hash; the same text hashes differently in every process.
  CellKey HashOf(std::string_view text) const;

  // What Take() would say; changes nothing but a TAT beyond `now` + `ceiling`,
  // which an earlier, slower rate has left: it is brought down to that.
  GcraDecision Peek(CellKey key, const GcraRate& rate, int64_t ceiling, base::MonotonicNanos now);
  // Admits and counts one request, or does neither, but for a TAT as above.
  GcraDecision Take(CellKey key, const GcraRate& rate, int64_t ceiling, base::MonotonicNanos now);
  // Takes back one admitted request.
  void Return(CellKey key, const GcraRate& rate);

  size_t capacity() const { return mask_ + 1; }
  uint64_t taken() const { return taken_.load(std::memory_order_relaxed); }

 private:
  // Both are accessed through std::atomic_ref only.
  struct Cell {
    uint64_t tag;
    int64_t tat;
  };
  static constexpr size_t kGroup = 8;  // Cells, two cache lines.
  struct Free {
    void operator()(Cell* cells) const;
  };

  // The cell of the key; nullptr if it has none.
  Cell* Find(CellKey key) const;
  Cell* FindOrClaim(CellKey key, base::MonotonicNanos now);
  Cell* Place(CellKey key, size_t index) const;

  // Constant after construction.
  size_t mask_ = 0;
  base::TableHash::Secret secret_{};
  // Atomic, shared.
  std::unique_ptr<Cell[], Free> cells_;
  std::atomic<uint64_t> taken_{0};
};

}  // namespace portico::filters

#endif  // DATAPLANE_FILTERS_RATE_LIMIT_CELL_TABLE_H_
