#include "tools/porticoctl/text_diff.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace portico::ctl {
namespace {

using Lines = std::vector<std::string>;

constexpr size_t kContext = 3;
// Cells of the table of common subsequences: 16 MiB.
constexpr size_t kMaxCells = 4u << 20;

struct Edit {
  char sign;  // '+', '-', ' '
  const std::string* line;
};

Lines SplitLines(const std::string& text) {
  Lines lines = absl::StrSplit(text, '\n');
  if (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

// The middle parts, which begin and end differently: longest common subsequence.
void DiffMiddle(const Lines& before, size_t before_end, const Lines& after, size_t after_end,
                size_t begin, std::vector<Edit>& edits) {
  const size_t rows = before_end - begin;
  const size_t columns = after_end - begin;
  size_t i = begin;
  size_t j = begin;
  if ((rows + 1) * (columns + 1) <= kMaxCells) {
    std::vector<uint32_t> common((rows + 1) * (columns + 1), 0);
    const auto at = [&](size_t row, size_t column) -> uint32_t& {
      return common[row * (columns + 1) + column];
    };
    for (size_t row = rows; row-- > 0;) {
      for (size_t column = columns; column-- > 0;) {
        at(row, column) = before[begin + row] == after[begin + column]
                              ? at(row + 1, column + 1) + 1
                              : std::max(at(row + 1, column), at(row, column + 1));
      }
    }
    while (i < before_end && j < after_end) {
      if (before[i] == after[j]) {
        edits.push_back({' ', &after[j]});
        ++i;
        ++j;
      } else if (at(i - begin + 1, j - begin) >= at(i - begin, j - begin + 1)) {
        edits.push_back({'-', &before[i++]});
      } else {
        edits.push_back({'+', &after[j++]});
      }
    }
  }
  while (i < before_end) edits.push_back({'-', &before[i++]});
  while (j < after_end) edits.push_back({'+', &after[j++]});
}

}  // namespace

std::string LineDiff(const std::string& before, const std::string& after) {
  if (before == after) return "";
  const Lines old_lines = SplitLines(before);
  const Lines new_lines = SplitLines(after);
  std::vector<Edit> edits;
  size_t begin = 0;
  size_t old_end = old_lines.size();
  size_t new_end = new_lines.size();
  while (begin < old_end && begin < new_end && old_lines[begin] == new_lines[begin]) {
    edits.push_back({' ', &new_lines[begin++]});
  }
  while (old_end > begin && new_end > begin && old_lines[old_end - 1] == new_lines[new_end - 1]) {
    --old_end;
    --new_end;
  }
  DiffMiddle(old_lines, old_end, new_lines, new_end, begin, edits);
  for (size_t i = new_end; i < new_lines.size(); ++i) edits.push_back({' ', &new_lines[i]});

  // A line is shown when a change is at most kContext lines away.
  std::vector<bool> shown(edits.size(), false);
  for (size_t i = 0; i < edits.size(); ++i) {
    if (edits[i].sign == ' ') continue;
    const size_t last = std::min(edits.size(), i + kContext + 1);
    for (size_t k = i - std::min(i, kContext); k < last; ++k) shown[k] = true;
  }
  std::string text;
  for (size_t i = 0; i < edits.size(); ++i) {
    if (shown[i]) {
      absl::StrAppend(&text, std::string(1, edits[i].sign), " ", *edits[i].line, "\n");
    } else if (i == 0 || shown[i - 1]) {
      text += "  ...\n";
    }
  }
  return text;
}

}  // namespace portico::ctl
