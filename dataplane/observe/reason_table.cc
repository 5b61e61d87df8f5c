#include "dataplane/observe/reason_table.h"

#include <algorithm>

namespace portico::observe {
namespace {

bool IsReasonName(std::string_view text) {
  if (text.empty() || text.size() > ReasonTable::kMaxReasonLength) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

uint32_t HashOf(std::string_view text) {
  uint32_t hash = 2166136261u;  // FNV-1a: the names are short and ours.
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
  return hash ^ (hash >> 16);
}

}  // namespace

void ReasonTable::Add(std::string_view reason) {
  if (!IsReasonName(reason) || reason == "other") return other_.Add();
  const uint32_t size = size_.load(std::memory_order_relaxed);
  for (uint32_t slot = HashOf(reason) % kSlots;; slot = (slot + 1) % kSlots) {
    if (slots_[slot] != 0) {
      Entry& entry = entries_[slots_[slot] - 1];
      if (std::string_view(entry.name.data(), entry.length) != reason) continue;
      return entry.count.Add();
    }
    if (size == kMaxReasons) return other_.Add();
    Entry& entry = entries_[size];
    std::copy(reason.begin(), reason.end(), entry.name.begin());
    entry.length = static_cast<uint8_t>(reason.size());
    entry.count.Add();
    slots_[slot] = static_cast<uint8_t>(size + 1);
    size_.store(size + 1, std::memory_order_release);
    return;
  }
}

}  // namespace portico::observe
