#include "api/resource/near.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "api/resource/strings.h"

namespace portico::api {
namespace {

constexpr size_t kMaxBytes = 128;

// Optimal string alignment distance, by rows.
size_t Distance(std::string_view a, std::string_view b) {
  std::array<std::array<size_t, kMaxBytes + 1>, 3> rows;
  for (size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    auto& row = rows[i % 3];
    const auto& above = rows[(i + 2) % 3];
    const auto& two_above = rows[(i + 1) % 3];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], two_above[j - 2] + 1);
      }
    }
  }
  return rows[a.size() % 3][b.size()];
}

}  // namespace

NearestName::NearestName(std::string_view wanted)
    : wanted_(absl::AsciiStrToLower(Absl(wanted.substr(0, kMaxBytes)))),
      best_(std::clamp<size_t>(wanted_.size() / 3, 1, 3) + 1) {}

void NearestName::Consider(std::string_view candidate) {
  candidate = candidate.substr(0, kMaxBytes);
  const size_t longer = std::max(candidate.size(), wanted_.size());
  const size_t shorter = std::min(candidate.size(), wanted_.size());
  if (longer - shorter >= best_) return;
  const size_t distance = Distance(wanted_, absl::AsciiStrToLower(Absl(candidate)));
  if (distance >= best_ || distance >= longer) return;
  best_ = distance;
  name_ = std::string(candidate);
}

std::string Nearest(std::string_view wanted, const std::vector<std::string>& candidates) {
  NearestName nearest(wanted);
  for (const std::string& candidate : candidates) nearest.Consider(candidate);
  return nearest.name();
}

}  // namespace portico::api
