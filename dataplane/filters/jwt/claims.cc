#include "dataplane/filters/jwt/claims.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>

namespace portico::filters {
namespace {

// The block: the number of entries, the entries in the order of Before(), the texts.
struct Entry {
  uint32_t name_at, name_size, value_at, value_size;
};

// The length comes first: most names are told apart without looking at them.
bool Before(std::string_view a, std::string_view b) {
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

uint32_t CountOf(std::string_view packed) {
  uint32_t count = 0;
  if (packed.size() >= sizeof(count)) std::memcpy(&count, packed.data(), sizeof(count));
  return count;
}

class PackedClaims final : public snapshot::ClaimSource {
 public:
  explicit PackedClaims(std::string_view packed) : packed_(packed) {}
  std::optional<std::string_view> Find(std::string_view claim) const override { return FindClaim(packed_, claim); }

 private:
  const std::string_view packed_;
};

}  // namespace

std::string PackClaims(const std::vector<FlatValue>& claims) {
  std::vector<const FlatValue*> sorted;
  for (const FlatValue& claim : claims) sorted.push_back(&claim);
  std::stable_sort(sorted.begin(), sorted.end(), [](const FlatValue* a, const FlatValue* b) {
    return a->path != b->path ? Before(a->path, b->path) : a->depth < b->depth;
  });
  sorted.erase(std::unique(sorted.begin(), sorted.end(),
                           [](const FlatValue* a, const FlatValue* b) { return a->path == b->path; }),
               sorted.end());
  const auto count = static_cast<uint32_t>(sorted.size());
  std::string packed(sizeof(count) + count * sizeof(Entry), '\0');
  std::memcpy(packed.data(), &count, sizeof(count));
  for (uint32_t i = 0; i < count; ++i) {
    Entry entry{};
    entry.name_at = static_cast<uint32_t>(packed.size());
    entry.name_size = static_cast<uint32_t>(sorted[i]->path.size());
    packed += sorted[i]->path;
    entry.value_at = static_cast<uint32_t>(packed.size());
    entry.value_size = static_cast<uint32_t>(sorted[i]->text.size());
    packed += sorted[i]->text;
    std::memcpy(packed.data() + sizeof(count) + i * sizeof(Entry), &entry, sizeof(entry));
  }
  return packed;
}

std::optional<std::string_view> FindClaim(std::string_view packed, std::string_view claim) {
  uint32_t low = 0, high = CountOf(packed);
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    Entry entry;
    std::memcpy(&entry, packed.data() + sizeof(uint32_t) + middle * sizeof(Entry), sizeof(entry));
    const std::string_view name(packed.data() + entry.name_at, entry.name_size);
    const int order = name.size() == claim.size()  ? name.compare(claim)
                      : name.size() < claim.size() ? -1
                                                   : 1;
    if (order == 0) return std::string_view(packed.data() + entry.value_at, entry.value_size);
    if (order < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return std::nullopt;
}

const snapshot::ClaimSource* CopyClaims(std::string_view packed, base::Arena& arena) {
  // owned: by the arena, which runs no destructors; this one has nothing to do.
  return ::new (arena.Allocate(sizeof(PackedClaims), alignof(PackedClaims))) PackedClaims(arena.Copy(packed));
}

}  // namespace portico::filters
